"""Networks of the study, by name."""

from collections.abc import Callable

from keras_wgd.models.resnet import resnet8, resnet20

# A builder takes the input shape and the number of classes, and returns a
# model that ends in logits.
MODELS: dict[str, Callable] = {
    "resnet8": resnet8,
    "resnet20": resnet20,
}


def build(name: str, input_shape: tuple[int, ...], classes: int, **options):
    """Build a network of the study.

    Args:
        name: A key of `MODELS`.
        input_shape: `(height, width, channels)`.
        classes: The number of logits.
        **options: What else the builder takes, such as `l2`.

    Returns:
        A built `keras.Model` from images to logits.

    Raises:
        ValueError: If there is no network of that name.
    """
    check(name)
    return MODELS[name](input_shape, classes, **options)


def check(name: str) -> None:
    """Raise a ValueError if there is no network of that name."""
    if name not in MODELS:
        raise ValueError(
            f"model must be one of {', '.join(MODELS)}. Received: {name!r}"
        )
