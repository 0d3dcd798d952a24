"""Networks of keras.applications, and models from `.keras` files."""

import inspect
from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from keras_wgd.choices import did_you_mean


def build(
    input_shape: tuple[int, ...],
    classes: int,
    application: str,
    stem: str | None = None,
) -> keras.Model:
    """Build `"ResNet50"`, whose convolutions have biases, or `"DenseNet121"`."""
    model = getattr(keras.applications, application)(
        weights=None,
        input_shape=input_shape,
        classes=classes,
        classifier_activation=None,
    )
    if stem is None:
        return model
    return keras.models.clone_model(model, clone_function=_with_small_stem)


def builders() -> dict[str, Callable[..., keras.Model]]:
    """The functions of keras.applications that build a network, by lower-case name."""
    return {
        name.lower(): builder
        for name, builder in vars(keras.applications).items()
        if inspect.isfunction(builder)
    }


def load(network: str) -> keras.Model:
    """Load a model by its name in keras.applications, in any case, or from a file."""
    if network.endswith(".keras"):
        return read(Path(network))
    known = builders()
    if network.lower() not in known:
        raise ValueError(
            "network must be a .keras file or one of "
            f"{', '.join(sorted(known))}. "
            f"Received: {network!r}{did_you_mean(network, known)}"
        )
    return known[network.lower()](weights=None)


def read(path: Path, name: str = "network") -> keras.Model:
    """Load a model, not compiled, from a file; `name` is the argument's in messages."""
    if not path.is_file():
        raise ValueError(f"{name} must be a file that exists. Received: {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged file may raise anything
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{name} must be a whole .keras file of layers that are known here. "
            f"Received: {path}: {reason}"
        ) from error


def _with_small_stem(layer):
    # In these networks only the stem has a 7x7 convolution, padding and max pooling.
    if isinstance(layer, layers.ZeroPadding2D | layers.MaxPooling2D):
        return layers.Identity()
    config = layer.get_config()
    if isinstance(layer, layers.Conv2D) and layer.kernel_size == (7, 7):
        config |= {"kernel_size": (3, 3), "strides": (1, 1), "padding": "same"}
    return type(layer).from_config(config)
