"""Residual networks (He et al., 2016): for small images, and ResNet-18."""

import functools

import keras
from keras import layers

# A small data set has few steps per epoch: with the default of 0.99 the statistics
# would still be close to their initial values when the first epochs are evaluated.
_MOMENTUM = 0.9


def cifar_resnet(
    input_shape: tuple[int, ...], classes: int, blocks: int, groups: int | None = None
) -> keras.Model:
    """A residual network of `6 * blocks + 2` layers for small images.

    There are three stages of `blocks` blocks, of 16, 32 and 64 filters. `groups` are
    those of group normalization (Wu and He, 2018); `None` is batch normalization. The
    source is He et al., 2016, Sec. 4.2, with 1x1 convolutions on the shortcuts.
    """
    convolution = functools.partial(_convolution, groups=groups)
    inputs = keras.Input(input_shape)
    x = layers.ReLU()(convolution(inputs, 16, 3))
    x = _stages(x, (16, 32, 64), blocks, convolution)
    logits = layers.Dense(classes, name="logits")(x)
    name = f"resnet{6 * blocks + 2}{'_gn' if groups else ''}"
    return keras.Model(inputs, logits, name=name)


def resnet18(
    input_shape: tuple[int, ...], classes: int, stem: str | None = None
) -> keras.Model:
    """ResNet-18, equal to that of torchvision and keras-hub.

    That of keras-cv pads only at the bottom and right where a convolution of stride 2
    has an input of even size. The source is He et al., 2016, Table 1, with 1x1
    convolutions on the shortcuts.
    """
    inputs = keras.Input(input_shape)
    if stem == "small":
        x = layers.ReLU()(_torch_convolution(inputs, 64, 3))
    else:
        x = layers.ReLU()(_torch_convolution(inputs, 64, 7, strides=2))
        # All values are at least 0, so padding with zeros does not change a maximum.
        x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    x = _stages(x, (64, 128, 256, 512), 2, _torch_convolution)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name="resnet18")


def _stages(x, stages, blocks, convolution):
    """Stages of basic blocks, and average pooling."""
    for stage, filters in enumerate(stages):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            y = layers.ReLU()(convolution(x, filters, 3, strides))
            y = convolution(y, filters, 3)
            if strides > 1:
                x = convolution(x, filters, 1, strides)
            x = layers.ReLU()(layers.add([x, y]))
    return layers.GlobalAveragePooling2D()(x)


def _convolution(
    x, filters, size, strides=1, padding="same", epsilon=1e-3, groups=None
):
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    if groups:
        return layers.GroupNormalization(groups, epsilon=epsilon)(x)
    return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=epsilon)(x)


def _torch_convolution(x, filters, size, strides=1):
    """A convolution padded equally on all sides, also at stride 2."""
    padding = "same"
    if strides > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
        padding = "valid"
    return _convolution(x, filters, size, strides, padding, epsilon=1e-5)
