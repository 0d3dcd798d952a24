"""What `WGD.summary()` shows; imports neither Keras nor the optimizers."""
