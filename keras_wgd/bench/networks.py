"""Networks whose weights have the shapes that a step is measured on."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from keras_wgd.bench import NETWORKS
from keras_wgd.choices import check_choice
from keras_wgd.tasks import models


def build(name: str, image_size: int = 224) -> keras.Model:
    """Build a network with random weights, for the 1,000 classes of ImageNet."""
    check_choice("model", name, NETWORKS)
    shape = (image_size, image_size, 3)
    if name == "many-small":
        return _many_small(shape)
    if name == "mobilenetv2":
        return keras.applications.MobileNetV2(shape, weights=None)
    return models.build(name, shape, 1000)


def kernels(count: int, filters: int) -> list[keras.Variable]:
    """`count` convolution kernels of shape `(3, 3, filters, filters)`."""
    shape, variables = (3, 3, filters, filters), []
    for number in range(count):
        with keras.name_scope(f"conv2d_{number}"):
            variables.append(keras.Variable("he_normal", shape=shape, name="kernel"))
    return variables


def size(variables: Sequence[keras.Variable]) -> int:
    """The number of scalars in variables."""
    return sum(math.prod(variable.shape) for variable in variables)


def _many_small(shape):
    """402 weights: 100 small convolutions with batch normalization, and a head."""
    inputs = x = keras.Input(shape)
    for number in range(100):
        # Strides make the images small at once: only the weights matter.
        x = layers.Conv2D(16, 3, 2 if number < 3 else 1, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1000)(x), name="many-small")
