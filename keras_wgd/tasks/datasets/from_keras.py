"""The images of keras.datasets, from a file NAME.npz or from Keras."""

import contextlib
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_wgd import archive
from keras_wgd.tasks.datasets.dataset import Dataset

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# Five times the size of the largest set.
_MAX_BYTES = 2**30

# The names of the fine labels, from 0 to 99.
_CIFAR100 = """
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


class _Set(NamedTuple):
    """What is known of a data set before it is read."""

    shape: tuple[int, ...]  # of an image as it is stored
    class_names: tuple[str, ...]
    # Of the training set, by channel, in pixel values from 0 to 255.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    arguments: tuple[str, ...] = ()  # of Keras's `load_data`
    names: str = ""  # the array of a file with the names of the classes


SETS = {
    "cifar10": _Set(
        (32, 32, 3),
        (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        mean=(125.307, 122.950, 113.865),
        std=(62.993, 62.089, 66.705),
    ),
    "cifar100": _Set(
        (32, 32, 3),
        tuple(_CIFAR100.split()),
        mean=(129.304, 124.070, 112.434),
        std=(68.170, 65.392, 70.418),
        arguments=("fine",),
        names="fine_label_names",
    ),
    "fashion_mnist": _Set(
        (28, 28),
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        mean=(72.940,),
        std=(90.021,),
    ),
    "mnist": _Set((28, 28), tuple("0123456789"), mean=(33.318,), std=(78.567,)),
}


def load(
    name: str, data_dir: str | None = None, image_size: int | None = None
) -> Dataset:
    """The data set `keras.datasets.NAME`: a key of `SETS`.

    `data_dir` holds `NAME.npz`, with the four arrays of `load_data` and, for CIFAR-100,
    the names of the classes; `None` calls that function, which downloads a copy once.
    Pixels are normalized to mean 0 and standard deviation 1 in each channel.
    """
    about = SETS[name]
    if data_dir is None:
        what, where, arrays = name, "Keras's own copy", _from_keras(name)
    else:
        path = Path(data_dir) / f"{name}.npz"
        what, where, arrays = path.name, str(path), _from_file(path, about.names)
    x_train, y_train, x_test, y_test, names = arrays
    for x, y in ((x_train, y_train), (x_test, y_test)):
        _check(x, y, about, what, where)
    if names.shape != (len(about.class_names),):
        raise ValueError(
            f"{what} must hold the names of {len(about.class_names)} classes. "
            f"Received: {where}, with names of shape {names.shape}"
        )
    return Dataset(
        name,
        x_train.reshape(*x_train.shape[:3], -1),
        y_train.reshape(-1).astype("int64"),
        x_test.reshape(*x_test.shape[:3], -1),
        y_test.reshape(-1).astype("int64"),
        class_names=tuple(map(str, names)),
        mean=about.mean,
        std=about.std,
        image_size=image_size,
    )


def _from_keras(name):
    try:
        import keras

        # Keras draws its progress bar on standard output, which a program may read.
        with contextlib.redirect_stdout(sys.stderr):
            module = getattr(keras.datasets, name)
            train, test = module.load_data(*SETS[name].arguments)
    except Exception as error:  # Keras raises a bare Exception for a failed download
        raise ValueError(
            f"{name} needs --data-dir: a folder with {name}.npz, or Keras's own copy, "
            "which it downloads once. Received: no folder, and "
            f"{' '.join(str(error).split()) or type(error).__name__}"
        ) from error
    return *train, *test, np.array(SETS[name].class_names)


def _from_file(path, names):
    if not path.is_file():
        raise ValueError(
            f"--data-dir must be a folder with {path.name}. Received: {path.parent}, "
            + ("without it" if path.parent.is_dir() else "which is no folder")
        )
    wanted = (*_ARRAYS, names) if names else _ARRAYS
    try:
        arrays = archive.read(path, wanted, _MAX_BYTES)
    except KeyError as error:
        raise ValueError(
            f"{path.name} must hold {', '.join(wanted)}. "
            f"Received: {path}, without {error.args[0]}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path.name} must be a whole NumPy archive; get it again. "
            f"Received: {path}, which cannot be read ({error})"
        ) from error
    return arrays if names else [*arrays, np.array(SETS[path.stem].class_names)]


def _check(x, y, about, what, where):
    if (
        x.shape[1:] != about.shape
        or x.dtype != np.uint8
        or y.shape not in ((len(x),), (len(x), 1))
    ):
        shape = ", ".join(map(str, about.shape))
        raise ValueError(
            f"{what} must hold uint8 images (n, {shape}), each with a label. "
            f"Received: {where}, with {x.dtype} {x.shape} and labels {y.shape}"
        )
    classes = len(about.class_names)
    if y.dtype.kind not in "iu" or (y.size and not 0 <= y.min() <= y.max() < classes):
        kind = "fine labels" if about.names else "labels"
        raise ValueError(
            f"{what} must hold {kind} from 0 to {classes - 1}. "
            f"Received: {where}, with other labels of {y.dtype}"
        )
