"""Residual networks for small images, of 6n + 2 layers (He et al., 2016)."""

import keras
from keras import layers

# Few steps make an epoch of a small data set: the default of 0.99 would still
# hold the initial statistics when the first epochs are evaluated.
_MOMENTUM = 0.9


def resnet(
    input_shape: tuple[int, ...], classes: int, blocks: int, l2: float = 0.0
) -> keras.Model:
    """A residual network of `6 * blocks + 2` layers in three stages.

    Args:
        input_shape: `(height, width, channels)`; at least 4 by 4.
        classes: The number of logits.
        blocks: Residual blocks in each stage, of 16, 32 and 64 filters.
        l2: The factor of L2 on every weight: it adds `2 * l2 * w` to the
            gradient of each weight `w`.

    Returns:
        A model from images to logits.

    References:
        He et al., 2016, Sec. 4.2, with 1x1 convolutions on the shortcuts.
    """
    regularizer = keras.regularizers.L2(l2) if l2 else None

    def convolution(x, filters, size, strides=1):
        x = layers.Conv2D(
            filters,
            size,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer,
        )(x)
        return layers.BatchNormalization(
            momentum=_MOMENTUM,
            gamma_regularizer=regularizer,
            beta_regularizer=regularizer,
        )(x)

    inputs = keras.Input(input_shape)
    x = layers.ReLU()(convolution(inputs, 16, 3))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            y = layers.ReLU()(convolution(x, filters, 3, strides))
            y = convolution(y, filters, 3)
            if strides > 1:
                x = convolution(x, filters, 1, strides)
            x = layers.ReLU()(layers.add([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(
        classes,
        kernel_regularizer=regularizer,
        bias_regularizer=regularizer,
        name="logits",
    )(x)
    return keras.Model(inputs, logits, name=f"resnet{6 * blocks + 2}")


def resnet8(input_shape, classes, l2=0.0) -> keras.Model:
    """`resnet` with one block in each stage."""
    return resnet(input_shape, classes, blocks=1, l2=l2)


def resnet20(input_shape, classes, l2=0.0) -> keras.Model:
    """`resnet` with three blocks in each stage."""
    return resnet(input_shape, classes, blocks=3, l2=l2)
