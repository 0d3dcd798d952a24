"""The names of samplers, for those who must not load Keras."""

SAMPLERS = ("shuffled", "weighted")
