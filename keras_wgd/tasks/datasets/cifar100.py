"""CIFAR-100 from a file cifar100.npz, or from Keras."""

import contextlib
import sys
from pathlib import Path

import numpy as np

from keras_wgd import archive
from keras_wgd.tasks.datasets.dataset import Dataset

FILE = "cifar100.npz"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test", "fine_label_names")

# Five times the size of the whole set.
_MAX_BYTES = 2**30

# The names of the fine labels, from 0 to 99.
_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy
bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock
cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
snail snake spider squirrel streetcar sunflower sweet_pepper table tank
telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
CLASSES = tuple(_NAMES.split())

# Of the training set, by channel, in pixel values from 0 to 255.
MEAN = (129.304, 124.070, 112.434)
STD = (68.170, 65.392, 70.418)


def load(data_dir: str | None = None, image_size: int | None = None) -> Dataset:
    """60,000 color images of 32 by 32 pixels in a hundred classes.

    `data_dir` holds `cifar100.npz`, with the four arrays of
    `keras.datasets.cifar100.load_data` and the names of the classes; `None` calls that
    function, which downloads a copy once. Pixels are normalized to mean 0 and standard
    deviation 1 in each channel.
    """
    if data_dir is None:
        what, where, arrays = "cifar100", "Keras's own copy", _from_keras()
    else:
        path = Path(data_dir) / FILE
        what, where, arrays = FILE, str(path), _from_file(path)
    x_train, y_train, x_test, y_test, names = arrays
    for x, y in ((x_train, y_train), (x_test, y_test)):
        _check(x, y, what, where)
    if names.shape != (100,):
        raise ValueError(
            f"{what} must hold the names of 100 classes. "
            f"Received: {where}, with names of shape {names.shape}"
        )
    return Dataset(
        "cifar100",
        x_train,
        y_train.reshape(-1).astype("int64"),
        x_test,
        y_test.reshape(-1).astype("int64"),
        class_names=tuple(map(str, names)),
        mean=MEAN,
        std=STD,
        image_size=image_size,
    )


def _from_keras():
    try:
        import keras

        # Keras draws its progress bar on standard output, which a program may read.
        with contextlib.redirect_stdout(sys.stderr):
            train, test = keras.datasets.cifar100.load_data("fine")
    except Exception as error:  # Keras raises a bare Exception for a failed download
        raise ValueError(
            f"cifar100 needs --data-dir: a folder with {FILE}, or Keras's own copy, "
            "which it downloads once. Received: no folder, and "
            f"{' '.join(str(error).split()) or type(error).__name__}"
        ) from error
    return *train, *test, np.array(CLASSES)


def _from_file(path):
    if not path.is_file():
        raise ValueError(
            f"--data-dir must be a folder with {FILE}. Received: {path.parent}, "
            + ("without it" if path.parent.is_dir() else "which is no folder")
        )
    try:
        return archive.read(path, _ARRAYS, _MAX_BYTES)
    except KeyError as error:
        raise ValueError(
            f"{FILE} must hold {', '.join(_ARRAYS)}. "
            f"Received: {path}, without {error.args[0]}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{FILE} must be a whole NumPy archive; get it again. "
            f"Received: {path}, which cannot be read ({error})"
        ) from error


def _check(x, y, what, where):
    if (
        x.shape[1:] != (32, 32, 3)
        or x.dtype != np.uint8
        or y.shape not in ((len(x),), (len(x), 1))
    ):
        raise ValueError(
            f"{what} must hold uint8 images (n, 32, 32, 3), each with a label. "
            f"Received: {where}, with {x.dtype} {x.shape} and labels {y.shape}"
        )
    if y.dtype.kind not in "iu" or (y.size and not 0 <= y.min() <= y.max() < 100):
        raise ValueError(
            f"{what} must hold fine labels from 0 to 99. "
            f"Received: {where}, with other labels of {y.dtype}"
        )
