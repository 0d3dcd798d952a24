"""Data sets of the study, by name."""

from collections.abc import Callable

from keras_wgd.datasets import cifar100, digits
from keras_wgd.datasets.dataset import Dataset

DATASETS: dict[str, Callable[[str | None], Dataset]] = {
    "cifar100": cifar100.load,
    "digits": digits.load,
}


def load(
    name: str,
    data_dir: str | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
) -> Dataset:
    """Load a data set of the study.

    Args:
        name: A key of `DATASETS`.
        data_dir: The folder with its files, where it needs some.
        train_size: How many training images to keep, the classes in balance;
            `None` keeps all.
        test_size: The same for the test images.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If there is no data set of that name, or it cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(DATASETS)}. Received: {name!r}"
        )
    return DATASETS[name](data_dir).subset(train_size, test_size)
