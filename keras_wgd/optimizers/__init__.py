"""The wrapper, its means, and RAdam."""
