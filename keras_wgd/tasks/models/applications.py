"""Networks that others made: keras.applications, by name, and .keras files."""

import inspect
from pathlib import Path

import keras
from keras import layers

from keras_wgd.choices import did_you_mean


def load(network: str) -> keras.Model:
    """A network of `keras.applications`, with random weights, or from a file.

    Args:
        network: A name, in upper or lower case, or the path of a `.keras` file.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no network of that name, or the file is absent
            or damaged.
    """
    if network.endswith(".keras"):
        return _read(Path(network))
    builders = {
        name.lower(): builder
        for name, builder in vars(keras.applications).items()
        if inspect.isfunction(builder)
    }
    if network.lower() not in builders:
        raise ValueError(
            "network must be a .keras file or one of "
            f"{', '.join(sorted(builders))}. "
            f"Received: {network!r}{did_you_mean(network, builders)}"
        )
    return builders[network.lower()](weights=None)


def resnet50(
    input_shape: tuple[int, ...], classes: int, stem: str | None = None
) -> keras.Model:
    """ResNet-50 of keras.applications; its convolutions have biases.

    Args:
        input_shape: `(height, width, channels)`; at least 32 by 32.
        classes: The number of logits.
        stem: `"small"` or `None`, as for `models.build`.

    Returns:
        A model from images to logits, with random weights.
    """
    return _build(keras.applications.ResNet50, input_shape, classes, stem)


def densenet121(
    input_shape: tuple[int, ...], classes: int, stem: str | None = None
) -> keras.Model:
    """DenseNet-121 of keras.applications; all else as for `resnet50`."""
    return _build(keras.applications.DenseNet121, input_shape, classes, stem)


def _build(application, input_shape, classes, stem):
    model = application(
        weights=None,
        input_shape=input_shape,
        classes=classes,
        classifier_activation=None,
    )
    if stem is None:
        return model
    return keras.models.clone_model(model, clone_function=_small_stem)


def _small_stem(layer):
    """The layer that stands for `layer` where the stem is small.

    In these networks the stem alone has a 7x7 convolution, padding layers and
    maximum pooling.
    """
    if isinstance(layer, layers.ZeroPadding2D | layers.MaxPooling2D):
        return layers.Identity()
    config = layer.get_config()
    if isinstance(layer, layers.Conv2D) and layer.kernel_size == (7, 7):
        config |= {"kernel_size": (3, 3), "strides": (1, 1), "padding": "same"}
    return type(layer).from_config(config)


def _read(path):
    if not path.is_file():
        raise ValueError(f"network must be a file that exists. Received: {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever a damaged file leads to
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"network must be a whole .keras file of layers that are known here. "
            f"Received: {path}: {reason}"
        ) from error
