"""Plain NumPy twins in float64 of what the library computes with Keras."""
