"""Animals-10 from its folders of photos."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_wgd.tasks.datasets.dataset import Dataset
from keras_wgd.tasks.datasets.images import FileImages, check
from keras_wgd.tasks.datasets.names import SIZES

FOLDER = "raw-img"

# The folder of each class, in the order of the paper's Table 2.
CLASSES = {
    "cane": "Dog",
    "cavallo": "Horse",
    "elefante": "Elephant",
    "farfalla": "Butterfly",
    "gallina": "Chicken",
    "gatto": "Cat",
    "mucca": "Cow",
    "pecora": "Sheep",
    "ragno": "Spider",
    "scoiattolo": "Squirrel",
}

# Of ImageNet, by channel, in pixel values from 0 to 255.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
DEVIATION = (0.229 * 255, 0.224 * 255, 0.225 * 255)

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def load(
    data_dir: str | None, image_size: int | None = None, split_seed: int = 0
) -> Dataset:
    """26,179 photos of animals in ten classes of 1,446 to 4,863.

    A tenth of each class is the test set. Photos are decoded when they are
    asked for, squashed to a square; pixels are normalised by the means and
    deviations of ImageNet. Every file is decoded once here, so that what is no
    image is found now: half a minute or more for the whole set.

    Args:
        data_dir: A folder with `raw-img`, which holds the ten class folders, or
            with `animals10/raw-img`, so that one folder may serve other data
            sets too. Below it no symbolic link is followed.
        image_size: Height and width in pixels; `None` is 224.
        split_seed: The split depends on it and on the names of the files.

    Returns:
        A `Dataset`. Its `problems` name the files that were skipped; the other
        files are in the same part as if those could be read. Its `warnings` name
        the first 16-bit image, and the first that has a rotation in its EXIF data.

    Raises:
        ValueError: If a class folder is absent or without a usable image.
    """
    root = _root(data_dir)
    size = SIZES["animals10"] if image_size is None else image_size
    files: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for label, folder in enumerate(CLASSES):
        names = _names(root / folder)
        for part, chosen in zip(files, split(names, split_seed), strict=True):
            files[part] += [(f"{folder}/{name}", label) for name in chosen]
    names = sorted(name for part in files.values() for name, _ in part)
    problems, warned = _check(root, names, size)
    sources, labels = {}, {}
    for part, pairs in files.items():
        usable = [pair for pair in pairs if pair[0] not in problems]
        sources[part] = FileImages([str(root / name) for name, _ in usable], size)
        labels[part] = np.array([label for _, label in usable], dtype="int64")
    found = {*labels["train"], *labels["test"]}
    empty = [name for label, name in enumerate(CLASSES) if label not in found]
    if empty:
        raise ValueError(
            f"{FOLDER} must hold an image that can be read in each class folder. "
            f"Received: {root}, with none in {', '.join(empty)}"
        )
    return Dataset(
        "animals10",
        sources["train"],
        labels["train"],
        sources["test"],
        labels["test"],
        tuple(CLASSES.values()),
        MEAN,
        DEVIATION,
        tuple(
            f"{FOLDER}/{_printable(name)} is skipped: {problems[name]}"
            for name in problems
        ),
        tuple(_warning(text, warned[text]) for text in sorted(warned)),
    )


def split(names: list[str], seed: int) -> tuple[list[str], list[str]]:
    """Divide the images of a class into training and test images.

    Args:
        names: The names of its files, in any order.
        seed: Another seed, another split.

    Returns:
        Names of training images, and of test images: a tenth, rounded down, and
        one at least. Both are sorted.
    """
    names = sorted(names)
    order = np.random.default_rng(seed).permutation(len(names))
    tested = set(order[: max(1, len(names) // 10)])
    return (
        [name for i, name in enumerate(names) if i not in tested],
        [name for i, name in enumerate(names) if i in tested],
    )


def _root(data_dir):
    """The folder with the class folders, all of which are there."""
    places = f"{FOLDER} or animals10/{FOLDER}"
    if data_dir is None:
        raise ValueError(
            f"animals10 needs --data-dir: a folder with {places}. Received: no folder"
        )
    if not Path(data_dir).is_dir():
        raise ValueError(
            f"--data-dir must be a folder with {places}. "
            f"Received: {data_dir}, which is no folder"
        )
    for parts in ((FOLDER,), ("animals10", FOLDER)):
        root = Path(data_dir)
        for part in parts:
            root /= part
            if root.is_symlink():
                raise ValueError(
                    f"--data-dir must be a folder with {places}, and no link to it. "
                    f"Received: {data_dir}, where {part} is a link"
                )
        if root.is_dir():
            break
    else:
        raise ValueError(
            f"--data-dir must be a folder with {places}. "
            f"Received: {data_dir}, without it"
        )
    missing = [
        name
        for name in CLASSES
        if (root / name).is_symlink() or not (root / name).is_dir()
    ]
    if missing:
        raise ValueError(
            f"{FOLDER} must hold the folders {', '.join(CLASSES)}, and no links to "
            f"them. Received: {root}, without {', '.join(missing)}"
        )
    return root


def _names(folder):
    """The names of the images of a class, whether they can be read or not."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise ValueError(
            f"{FOLDER} must hold folders that can be read. "
            f"Received: {folder} ({error.strerror})"
        ) from error
    return [
        name
        for name in names
        if name.lower().endswith(_SUFFIXES) and not name.startswith(".")
    ]


def _check(root, names, size):
    """Decode every file once.

    Returns:
        Why files cannot be used, by their names, and the names of files that are used
        with a warning, by the warning.
    """

    def checked(name):
        path = root / name
        try:
            if path.is_symlink():
                return "a link", ""
            # Opening a pipe would wait for ever.
            if not path.is_file():
                return "not a file", ""
            if not path.stat().st_size:
                return "empty", ""
            return "", check(str(path), size)
        except Exception as error:  # a file of a stranger may raise anything
            return _reason(error), ""

    problems: dict[str, str] = {}
    warned: dict[str, list[str]] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        from PIL import Image

        warnings.simplefilter("ignore", UserWarning)  # of damaged EXIF data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for name, (problem, warning) in zip(
            names, pool.map(checked, names), strict=True
        ):
            if problem:
                problems[name] = problem
            if warning:
                warned.setdefault(warning, []).append(name)
    return problems, warned


def _warning(text, names):
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{FOLDER}/{_printable(names[0])}{others}: {text}"


def _reason(error):
    """A few words for an error; its own may hold a path."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "too many pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if "truncated" in str(error).lower():
        return "truncated"
    return f"cannot be decoded ({type(error).__name__})"


def _printable(name):
    """A name on one line, whatever a stranger put into it."""
    return repr(name)[1:-1]
