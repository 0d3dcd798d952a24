"""The task of `compare`: the user's data, model and optimizers."""
