"""The data sets and samplers, for those who must not load Keras."""

SAMPLERS = ("shuffled", "weighted")

# The data sets, and the height and width of their images where no other size is asked
# for.
SIZES = {
    "animals10": 224,
    "cifar10": 32,
    "cifar100": 32,
    "digits": 8,
    "fashion_mnist": 28,
    "mnist": 28,
}
