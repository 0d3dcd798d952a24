"""Networks of the study, by name."""

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
    """Build a network of the study.

    The initial weights are those of `keras.utils.set_random_seed`.

    Args:
        name: A key of `MODELS`.
        input_shape: `(height, width, channels)`.
        classes: The number of logits.
        stem: `None` is the network's own; `"small"`, for small images, is a 3x3
            convolution of stride 1 in place of a 7x7 one of stride 2 and the
            pooling after it, so that stages see images four times as high and
            wide.

    Returns:
        A built model from images to logits.

    Raises:
        ValueError: If there is no network of that name, it cannot have that stem
            or that input, or a package that it needs is absent.
    """
    check(name, input_shape, stem)
    module = importlib.import_module(f"{__name__}.{MODELS[name].module}")
    options = {} if stem is None else {"stem": stem}
    return getattr(module, name)(input_shape, classes, **options)


def check(
    name: str,
    input_shape: tuple[int, int, int] | None = None,
    stem: str | None = None,
) -> None:
    """Raise the ValueError that `build` would, without Keras and in no time.

    Args:
        name: As for `build`.
        input_shape: As for `build`; `None`, if it is not known yet, is not looked
            at.
        stem: As for `build`.
    """
    check_choice("model", name, MODELS)
    _, least, needs = MODELS[name]
    if stem not in least:
        raise ValueError(
            f"stem must be {' or '.join(map(repr, least))} for {name}. "
            f"Received: {stem!r}"
        )
    if input_shape is not None and min(input_shape[:2]) < least[stem]:
        kind = "" if stem is None else f" with stem {stem!r}"
        raise ValueError(
            f"input_shape must be at least {least[stem]} by {least[stem]} for "
            f"{name}{kind}. Received: {input_shape}"
        )
    for package in needs:
        if find_spec(package) is None:
            raise ValueError(
                f"model {name} needs keras-cv: pip install 'keras-wgd[keras-cv]'. "
                f"Received: no module {package}"
            )
