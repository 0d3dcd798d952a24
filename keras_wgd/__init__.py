"""Whitened gradient descent for every Keras 3 optimizer."""

__version__ = "0.1.0"
