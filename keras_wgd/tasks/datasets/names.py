"""The data sets and samplers, for those who must not load Keras."""

SAMPLERS = ("shuffled", "weighted")

# The data sets, each read by the module of its name in `keras_wgd.tasks.datasets`, and
# the height and width of their images where no other size is asked for.
SIZES = {"animals10": 224, "cifar100": 32, "digits": 8}
