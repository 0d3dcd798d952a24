"""Frames of all runs, and what statistics say of them; without Keras."""
