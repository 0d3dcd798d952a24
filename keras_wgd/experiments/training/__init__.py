"""One run: its data, its network, its epochs."""
