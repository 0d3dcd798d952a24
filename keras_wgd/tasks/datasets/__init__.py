"""Built-in data sets."""

import functools
from collections.abc import Callable

from keras_wgd.choices import check_choice
from keras_wgd.tasks.datasets import animals10, digits, from_keras
from keras_wgd.tasks.datasets.dataset import Dataset
from keras_wgd.tasks.datasets.names import SIZES

_MIN_SIZE = 8
_LOADERS: dict[str, Callable[[str | None, int | None], Dataset]] = {
    "animals10": animals10.load,
    "digits": digits.load,
    **{name: functools.partial(from_keras.load, name) for name in from_keras.SETS},
}


def load(
    name: str,
    data_dir: str | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Load a built-in data set: a key of `SIZES`.

    `train_size` and `test_size` are how many images to keep, with the classes balanced;
    `None` keeps all. `image_size` is their height and width in pixels, at least 8;
    `None` is the data set's own.
    """
    check_choice("dataset", name, SIZES)
    if image_size is not None and not (
        type(image_size) is int and image_size >= _MIN_SIZE
    ):
        raise ValueError(
            f"image_size must be a whole number of at least {_MIN_SIZE}, or None. "
            f"Received: {image_size!r}"
        )
    data = _LOADERS[name](data_dir, image_size)
    return data.subset(train_size, test_size)
