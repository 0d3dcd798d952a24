"""Photos in files, a folder for each class: which files are used, and in which part."""

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_wgd.files import printable
from keras_wgd.tasks.datasets.dataset import Dataset
from keras_wgd.tasks.datasets.images import FileImages, check

# Of ImageNet, by channel, in pixel values from 0 to 255.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def image_names(root: Path, folder: str) -> list[str]:
    """The images of a class: `folder/name`, by their suffix; hidden files are none."""
    try:
        names = os.listdir(root / folder)
    except OSError as error:
        raise ValueError(
            f"{root.name} must hold folders that can be read. "
            f"Received: {root / folder} ({error.strerror})"
        ) from error
    return [
        f"{folder}/{name}"
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]


def split(names: Collection[str], share: int = 10) -> tuple[list[str], list[str]]:
    """The training and the test images of a class, sorted.

    One of `share` images is for tests, at least one. The split depends on the names
    alone.
    """
    names = sorted(names)
    order = np.random.default_rng(0).permutation(len(names))
    test = set(order[: max(1, len(names) // share)])
    return (
        [name for i, name in enumerate(names) if i not in test],
        [name for i, name in enumerate(names) if i in test],
    )


def dataset(
    name: str,
    root: Path,
    parts: Mapping[str, Sequence[Sequence[str]]],
    class_names: Sequence[str],
    size: int | None,
) -> Dataset:
    """The photos below `root`: those of `parts["train"]` and `parts["test"]`, by class.

    Photos are decoded when they are indexed, and resized to a square. Every file is
    decoded here once to find those that are no images. The `problems` of the data set
    name them; they do not move other files between the parts. Its `warnings` name the
    first 16-bit image, and the first with a rotation in its EXIF data. Where `size` is
    `None`, all photos must be squares of one size.
    """
    pairs = {
        part: [(file, label) for label, files in enumerate(classes) for file in files]
        for part, classes in parts.items()
    }
    names = sorted(file for found in pairs.values() for file, _ in found)
    problems, warned, sizes = _check(root, names, size)
    size = size or _common(sizes)
    images, labels = {}, {}
    for part, found in pairs.items():
        usable = [pair for pair in found if pair[0] not in problems]
        images[part] = FileImages([str(root / file) for file, _ in usable], size)
        labels[part] = np.array([label for _, label in usable], dtype="int64")
    return Dataset(
        name,
        images["train"],
        labels["train"],
        images["test"],
        labels["test"],
        class_names=tuple(class_names),
        mean=MEAN,
        std=STD,
        problems=tuple(
            f"{root.name}/{printable(file)} is skipped: {reason}"
            for file, reason in problems.items()
        ),
        warnings=tuple(
            f"{root.name}/{printable(files[0])}"
            f"{f' and {len(files) - 1} more' if len(files) > 1 else ''}: {warning}"
            for warning, files in sorted(warned.items())
        ),
    )


def _check(root, names, size):
    """Decode every file once: problems by name, names by warning, sizes by name."""
    from PIL import Image

    def checked(name):
        path = root / name
        try:
            if path.is_symlink():
                return "a link", "", None
            if not path.is_file():  # opening a pipe would block
                return "not a file", "", None
            if not path.stat().st_size:
                return "empty", "", None
            return "", *check(str(path), size)
        except Exception as error:  # hostile files may raise anything
            return _reason(error), "", None

    problems: dict[str, str] = {}
    warned: dict[str, list[str]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", UserWarning)  # of damaged EXIF data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        results = pool.map(checked, names)
        for name, (problem, warning, stored) in zip(names, results, strict=True):
            if problem:
                problems[name] = problem
            else:
                sizes[name] = stored
            if warning:
                warned.setdefault(warning, []).append(name)
    return problems, warned, sizes


def _common(sizes):
    """The size of all images, which are squares."""
    first_of = {size: name for name, size in reversed(sizes.items())}
    if len(first_of) == 1 and len({*next(iter(first_of))}) == 1:
        return next(iter(first_of))[0]
    examples = [
        f"{printable(name)} of {width} by {height} pixels"
        for (width, height), name in reversed(first_of.items())
    ]
    raise ValueError(
        "--image-size must be given where images differ in size or are not square. "
        f"Received: {' and '.join(examples[:2]) or 'no image that can be read'}"
    )


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
