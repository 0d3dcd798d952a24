"""Residual networks (He et al., 2016): for small images, and ResNet-18."""

from collections.abc import Callable

import keras
from keras import layers

# Few steps make an epoch of a small data set: the default of 0.99 would still
# hold the initial statistics when the first epochs are evaluated.
_MOMENTUM = 0.9


def resnet(input_shape: tuple[int, ...], classes: int, blocks: int) -> keras.Model:
    """A residual network of `6 * blocks + 2` layers in three stages.

    Args:
        input_shape: `(height, width, channels)`; at least 4 by 4.
        classes: The number of logits.
        blocks: Residual blocks in each stage, of 16, 32 and 64 filters.

    Returns:
        A model from images to logits.

    References:
        He et al., 2016, Sec. 4.2, with 1x1 convolutions on the shortcuts.
    """
    inputs = keras.Input(input_shape)
    x = layers.ReLU()(_convolution(inputs, 16, 3))
    x = _stages(x, (16, 32, 64), blocks, _convolution)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name=f"resnet{6 * blocks + 2}")


def resnet8(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """`resnet` with one block in each stage."""
    return resnet(input_shape, classes, blocks=1)


def resnet20(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """`resnet` with three blocks in each stage."""
    return resnet(input_shape, classes, blocks=3)


def resnet18(
    input_shape: tuple[int, ...], classes: int, stem: str | None = None
) -> keras.Model:
    """ResNet-18, equal to torchvision's and to the one of keras-hub.

    That of keras-cv pads the bottom and the right alone where a convolution of
    stride 2 sees an even height or width; at 33 by 33 pixels, where none does,
    the two are equal.

    Args:
        input_shape: `(height, width, channels)`; at least 32 by 32, or with the
            small stem 8 by 8.
        classes: The number of logits.
        stem: `"small"` or `None`, as for `models.build`.

    Returns:
        A model from images to logits.

    References:
        He et al., 2016, Table 1, with 1x1 convolutions on the shortcuts.
    """
    inputs = keras.Input(input_shape)
    if stem == "small":
        x = layers.ReLU()(_torch_convolution(inputs, 64, 3))
    else:
        x = layers.ReLU()(_torch_convolution(inputs, 64, 7, strides=2))
        # Nothing is below zero here, so zeros change no maximum.
        x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    x = _stages(x, (64, 128, 256, 512), 2, _torch_convolution)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name="resnet18")


def _stages(x, stages, blocks, convolution: Callable):
    """Basic blocks, stage after stage, and the mean of what is left of an image."""
    for stage, filters in enumerate(stages):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            y = layers.ReLU()(convolution(x, filters, 3, strides))
            y = convolution(y, filters, 3)
            if strides > 1:
                x = convolution(x, filters, 1, strides)
            x = layers.ReLU()(layers.add([x, y]))
    return layers.GlobalAveragePooling2D()(x)


def _convolution(x, filters, size, strides=1, padding="same", epsilon=1e-3):
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=epsilon)(x)


def _torch_convolution(x, filters, size, strides=1):
    """A convolution that pads all sides alike, as "same" does at stride 1 alone."""
    padding = "same"
    if strides > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
        padding = "valid"
    return _convolution(x, filters, size, strides, padding, epsilon=1e-5)
