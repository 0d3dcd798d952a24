"""Animals-10 from its folders of photos."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_wgd.files import printable
from keras_wgd.tasks.datasets.dataset import Dataset
from keras_wgd.tasks.datasets.images import FileImages, check
from keras_wgd.tasks.datasets.names import SIZES

FOLDER = "raw-img"
_PLACES = f"{FOLDER} or animals10/{FOLDER}"

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
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def load(data_dir: str | None, image_size: int | None = None) -> Dataset:
    """26,179 photos of animals in ten classes of 1,446 to 4,863.

    `data_dir` holds `raw-img`, which has the ten class folders, or `animals10/raw-img`.
    No symbolic link below it is followed. A tenth of each class is the test set; the
    split depends on the names of the files alone. Photos are decoded when they are
    indexed, and resized to a square.

    Every file is decoded here once to find those that are no images, which takes half a
    minute or more for the whole set. The `problems` of the data set name the files that
    were skipped; they do not move other files between the parts. Its `warnings` name
    the first 16-bit image, and the first with a rotation in its EXIF data.
    """
    root = _root(data_dir)
    size = image_size or SIZES["animals10"]
    files: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for label, folder in enumerate(CLASSES):
        names = _image_names(root / folder)
        for part, chosen in zip(files, split(names), strict=True):
            files[part] += [(f"{folder}/{name}", label) for name in chosen]
    names = sorted(name for pairs in files.values() for name, _ in pairs)
    problems, warned = _check(root, names, size)
    images, labels = {}, {}
    for part, pairs in files.items():
        usable = [pair for pair in pairs if pair[0] not in problems]
        images[part] = FileImages([str(root / name) for name, _ in usable], size)
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
        images["train"],
        labels["train"],
        images["test"],
        labels["test"],
        class_names=tuple(CLASSES.values()),
        mean=MEAN,
        std=STD,
        problems=tuple(
            f"{FOLDER}/{printable(name)} is skipped: {reason}"
            for name, reason in problems.items()
        ),
        warnings=tuple(
            f"{FOLDER}/{printable(names[0])}"
            f"{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {warning}"
            for warning, names in sorted(warned.items())
        ),
    )


def split(names: list[str]) -> tuple[list[str], list[str]]:
    """The training and the test images of a class, sorted; a tenth is for tests."""
    names = sorted(names)
    order = np.random.default_rng(0).permutation(len(names))
    test = set(order[: max(1, len(names) // 10)])
    return (
        [name for i, name in enumerate(names) if i not in test],
        [name for i, name in enumerate(names) if i in test],
    )


def _root(data_dir):
    """The folder with the class folders. None of them is a link."""
    if data_dir is None:
        raise ValueError(
            f"animals10 needs --data-dir: a folder with {_PLACES}. Received: no folder"
        )
    rule, folder = f"--data-dir must be a folder with {_PLACES}", Path(data_dir)
    if not folder.is_dir():
        raise ValueError(f"{rule}. Received: {data_dir}, which is no folder")
    for place in (folder / FOLDER, folder / "animals10", folder / "animals10" / FOLDER):
        if place.is_symlink():
            raise ValueError(
                f"{rule}, and no link to it. "
                f"Received: {data_dir}, where {place.name} is a link"
            )
        if place.name == FOLDER and place.is_dir():
            break
    else:
        raise ValueError(f"{rule}. Received: {data_dir}, without it")
    missing = [
        name
        for name in CLASSES
        if (place / name).is_symlink() or not (place / name).is_dir()
    ]
    if missing:
        raise ValueError(
            f"{FOLDER} must hold the folders {', '.join(CLASSES)}, and no links to "
            f"them. Received: {place}, without {', '.join(missing)}"
        )
    return place


def _image_names(folder):
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
    """Decode every file once: problems by name, and names by warning."""
    from PIL import Image

    def checked(name):
        path = root / name
        try:
            if path.is_symlink():
                return "a link", ""
            if not path.is_file():  # opening a pipe would block
                return "not a file", ""
            if not path.stat().st_size:
                return "empty", ""
            return "", check(str(path), size)
        except Exception as error:  # hostile files may raise anything
            return _reason(error), ""

    problems: dict[str, str] = {}
    warned: dict[str, list[str]] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", UserWarning)  # of damaged EXIF data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        results = pool.map(checked, names)
        for name, (problem, warning) in zip(names, results, strict=True):
            if problem:
                problems[name] = problem
            if warning:
                warned.setdefault(warning, []).append(name)
    return problems, warned


def _reason(error):
    """An error in a few words. Its own message may hold a path."""
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
