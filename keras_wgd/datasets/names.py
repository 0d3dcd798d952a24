"""Samplers, and the sizes of images, for those who must not load Keras."""

SAMPLERS = ("shuffled", "weighted")

# Height and width of a data set's images, where no other size is asked for.
SIZES = {"animals10": 224, "cifar100": 32, "digits": 8}
