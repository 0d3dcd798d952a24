"""The paper: its runs, its numbers and the layout of its tables."""
