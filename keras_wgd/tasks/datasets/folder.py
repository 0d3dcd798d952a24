"""Photos of the user's own, in a folder with a subfolder for each class."""

from pathlib import Path

import numpy as np

from keras_wgd.tasks.datasets import photos
from keras_wgd.tasks.datasets.dataset import Dataset

TRAINING, VALIDATION = "train", ("val", "validation", "test")
# One of this many images of a class is for validation.
_SHARE = 5


def load(folder: Path, image_size: int | None = None) -> Dataset:
    """The photos of a folder: its subfolders, in sorted order, are the classes.

    Where it has the subfolders `train` and `val`, `validation` or `test` (the first of
    these), the classes are below them. Otherwise a fifth of each class, rounded down
    but at least one image, is for validation: the split depends on the names of the
    files alone. No symbolic link below the folder is followed. `image_size` is as for
    `photos.dataset`.
    """
    if not folder.is_dir():
        what = "which is a file" if folder.exists() else "which does not exist"
        raise ValueError(
            "--images must be a folder with a subfolder for each class. "
            f"Received: {folder}, {what}"
        )
    root = folder.resolve()
    names = _subfolders(root)
    validation = next((name for name in VALIDATION if name in names), None)
    if TRAINING in names and validation:
        classes = _subfolders(root / TRAINING)
        others = _subfolders(root / validation)
        if classes != others:
            raise ValueError(
                f"{TRAINING} and {validation} must hold the same class folders. "
                f"Received: {folder}, with {', '.join(sorted({*classes} ^ {*others}))} "
                "in one of them"
            )
        train, test = (
            [sorted(photos.image_names(root, f"{part}/{name}")) for name in classes]
            for part in (TRAINING, validation)
        )
        rule = "an image that can be read in each class folder"
    else:
        classes = names
        split = [photos.split(photos.image_names(root, n), _SHARE) for n in classes]
        train, test = ([pair[part] for pair in split] for part in (0, 1))
        rule = "two images that can be read in each class folder, one for validation"
    if len(classes) < 2:
        raise ValueError(
            "--images must hold the folders of at least two classes. "
            f"Received: {folder}, with {' and '.join(classes) or 'none'}"
        )
    if not any((*train, *test)):
        raise ValueError(
            f"--images must hold images that end in {', '.join(photos.SUFFIXES)}. "
            f"Received: {folder}, with none in {', '.join(classes)}"
        )
    parts = {"train": train, "test": test}
    data = photos.dataset(root.name, root, parts, classes, image_size)
    labels = range(len(classes))
    few = [
        classes[label]
        for label in labels
        if not (np.any(data.y_train == label) and np.any(data.y_test == label))
    ]
    if few:
        raise ValueError(
            f"--images must hold {rule}. "
            f"Received: {folder}, with too few in {', '.join(few)}"
        )
    return data


def _subfolders(folder):
    """The names of subfolders, sorted; a hidden one is none."""
    found = [path for path in folder.iterdir() if path.name[0] != "."]
    links = [path.name for path in found if path.is_symlink() and path.is_dir()]
    if links:
        raise ValueError(
            "--images must hold folders, and no links to them. "
            f"Received: {folder}, where {', '.join(sorted(links))} is a link"
        )
    return sorted(path.name for path in found if path.is_dir())
