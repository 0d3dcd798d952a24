"""Built-in networks."""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from keras_wgd.choices import check_choice
from keras_wgd.tasks.models.names import MODELS

if TYPE_CHECKING:
    import keras


def build(
    name: str, input_shape: tuple[int, int, int], classes: int, stem: str | None = None
) -> "keras.Model":
    """Build a network, from images to logits.

    `name` is a key of `MODELS` and `input_shape` is `(height, width, channels)`. With
    `stem="small"`, for small images, a 3x3 convolution of stride 1 takes the place of a
    7x7 convolution of stride 2 and pooling; `None` is the network's own stem. The
    initial weights are those of `keras.utils.set_random_seed`.
    """
    check(name, input_shape, stem)
    module, function = MODELS[name].builder.split(".")
    builder = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    stems = {} if stem is None else {"stem": stem}
    return builder(input_shape, classes, **MODELS[name].options, **stems)


def check(
    name: str,
    input_shape: tuple[int, int, int] | None = None,
    stem: str | None = None,
) -> None:
    """Raise the ValueError that `build` would raise, without importing Keras.

    `input_shape` is `None` if it is not known yet.
    """
    check_choice("model", name, MODELS)
    network = MODELS[name]
    if stem not in network.min_sizes:
        raise ValueError(
            f"stem must be {' or '.join(map(repr, network.min_sizes))} for {name}. "
            f"Received: {stem!r}"
        )
    size = network.min_sizes[stem]
    if input_shape is not None and min(input_shape[:2]) < size:
        with_stem = "" if stem is None else f" with stem {stem!r}"
        raise ValueError(
            f"input_shape must be at least {size} by {size} for {name}{with_stem}. "
            f"Received: {input_shape}"
        )
    for package in network.packages:
        if find_spec(package) is None:
            raise ValueError(
                f"model {name} needs keras-cv: pip install 'keras-wgd[keras-cv]'. "
                f"Received: no module {package}"
            )
