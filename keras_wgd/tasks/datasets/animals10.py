"""Animals-10 from its folders of photos."""

from pathlib import Path

from keras_wgd.tasks.datasets import photos
from keras_wgd.tasks.datasets.dataset import Dataset
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


def load(data_dir: str | None, image_size: int | None = None) -> Dataset:
    """26,179 photos of animals in ten classes of 1,446 to 4,863.

    `data_dir` holds `raw-img`, which has the ten class folders, or `animals10/raw-img`.
    No symbolic link below it is followed. A tenth of each class is the test set; the
    split depends on the names of the files alone. Photos are decoded when they are
    indexed, and resized to a square.

    Every file is decoded here once, as `photos.dataset` says, which takes half a minute
    or more for the whole set.
    """
    root = _root(data_dir)
    split = [photos.split(photos.image_names(root, folder)) for folder in CLASSES]
    train, test = zip(*split, strict=True)
    data = photos.dataset(
        "animals10",
        root,
        {"train": train, "test": test},
        tuple(CLASSES.values()),
        image_size or SIZES["animals10"],
    )
    found = {*data.y_train, *data.y_test}
    empty = [name for label, name in enumerate(CLASSES) if label not in found]
    if empty:
        raise ValueError(
            f"{FOLDER} must hold an image that can be read in each class folder. "
            f"Received: {root}, with none in {', '.join(empty)}"
        )
    return data


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
