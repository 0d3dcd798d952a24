"""ResNet-18 of keras-cv."""

import keras
from keras import layers
from keras_cv.models import ResNetBackbone


def resnet18(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """The backbone of keras-cv with average pooling and logits.

    keras-cv's own alias `ResNet18Backbone()` downloads these arguments.
    """
    backbone = ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=[2, 2, 2, 2],
        stackwise_strides=[1, 2, 2, 2],
        block_type="basic_block",
        include_rescaling=False,
        input_shape=input_shape,
    )
    x = layers.GlobalAveragePooling2D()(backbone.output)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(backbone.input, logits, name="keras_cv_resnet18")
