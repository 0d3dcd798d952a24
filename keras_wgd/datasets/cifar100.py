"""CIFAR-100 from a file cifar100.npz."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_wgd.datasets.dataset import Dataset

FILE = "cifar100.npz"

# What NumPy raises, by where in the file the damage is.
_UNREADABLE = (
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

# Of the whole training set, by channel, in pixel values from 0 to 255.
MEAN = (129.304, 124.070, 112.434)
DEVIATION = (68.170, 65.392, 70.418)


def load(data_dir: str | None) -> Dataset:
    """60,000 colour images of 32 by 32 pixels in a hundred classes.

    Pixels are normalised to mean 0 and deviation 1 in each channel.

    Args:
        data_dir: A folder with `cifar100.npz`, whose arrays `x_train`,
            `y_train`, `x_test`, `y_test` are shaped as those that
            `keras.datasets.cifar100.load_data("fine")` gives, with the names
            of the classes in `fine_label_names`.

    Returns:
        A `Dataset` of 50,000 training and 10,000 test images.

    Raises:
        ValueError: If the file is absent, damaged, or something else.
    """
    if data_dir is None:
        raise ValueError(
            f"cifar100 needs --data-dir: a folder with {FILE}. Received: no folder"
        )
    path = Path(data_dir) / FILE
    if not path.is_file():
        raise ValueError(
            f"--data-dir must be a folder with {FILE}. Received: {data_dir}, "
            + ("without it" if Path(data_dir).is_dir() else "which is no folder")
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            x_train, y_train, x_test, y_test, names = (
                arrays[key]
                for key in (
                    "x_train",
                    "y_train",
                    "x_test",
                    "y_test",
                    "fine_label_names",
                )
            )
    except KeyError as error:
        raise ValueError(
            f"{FILE} must hold x_train, y_train, x_test, y_test and fine_label_names. "
            f"Received: {path}, without {error.args[0].split(' ')[0]}"
        ) from error
    except _UNREADABLE as error:
        raise ValueError(
            f"{FILE} must be a whole NumPy archive; get it again. "
            f"Received: {path}, which cannot be read ({type(error).__name__})"
        ) from error
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if (
            x.shape[1:] != (32, 32, 3)
            or x.dtype != np.uint8
            or y.shape not in ((len(x),), (len(x), 1))
        ):
            raise ValueError(
                f"{FILE} must hold uint8 images (n, 32, 32, 3), each with a label. "
                f"Received: {path}, with {x.dtype} {x.shape} and labels {y.shape}"
            )
        if y.dtype.kind not in "iu" or (y.size and not 0 <= y.min() <= y.max() < 100):
            raise ValueError(
                f"{FILE} must hold fine labels from 0 to 99. "
                f"Received: {path}, with labels of {y.dtype} that are not"
            )
    if names.shape != (100,):
        raise ValueError(
            f"{FILE} must hold the names of 100 classes. "
            f"Received: {path}, with names of shape {names.shape}"
        )
    return Dataset(
        "cifar100",
        x_train,
        y_train.reshape(-1).astype("int64"),
        x_test,
        y_test.reshape(-1).astype("int64"),
        tuple(str(name) for name in names),
        MEAN,
        DEVIATION,
    )
