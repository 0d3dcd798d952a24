"""Networks whose weights have the shapes that a step is measured on."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from keras_wgd.bench.names import NETWORKS
from keras_wgd.choices import check_choice
from keras_wgd.tasks import models


def build(name: str, image_size: int = 224) -> keras.Model:
    """A network with random weights, for the 1,000 classes of ImageNet.

    Args:
        name: One of `NETWORKS`. `"many-small"` has 100 convolutions of 16 filters,
            402 weights in all.
        image_size: Height and width of its images, in pixels.

    Returns:
        A built model.

    Raises:
        ValueError: If there is no network of that name, or the images are too
            small for it.
    """
    check_choice("model", name, NETWORKS)
    shape = (image_size, image_size, 3)
    if name == "many-small":
        return _many_small(shape)
    if name == "mobilenetv2":
        return keras.applications.MobileNetV2(shape, weights=None)
    return models.build(name, shape, 1000)


def kernels(count: int, filters: int) -> list[keras.Variable]:
    """Convolution kernels of 3x3 without their network.

    Args:
        count: How many.
        filters: The filters of each, and its channels.

    Returns:
        Variables of shape `(3, 3, filters, filters)`.
    """
    variables = []
    for number in range(count):
        with keras.name_scope(f"conv2d_{number}"):
            shape = (3, 3, filters, filters)
            variables.append(keras.Variable("he_normal", shape=shape, name="kernel"))
    return variables


def size(variables: Sequence[keras.Variable]) -> int:
    """How many numbers there are in variables."""
    return sum(math.prod(variable.shape) for variable in variables)


def _many_small(shape):
    inputs = x = keras.Input(shape)
    for number in range(100):
        # The images shrink at once: the weights are what is looked at.
        strides = 2 if number < 3 else 1
        x = layers.Conv2D(16, 3, strides, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1000)(x), name="many-small")
