"""The words that the wrapper's arguments take, for those who do without Keras."""

MEANS = ("filters", "fan_in", "kernels")
PLACEMENTS = ("gradient", "update")
