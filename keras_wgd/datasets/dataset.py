"""Images in memory, and epochs that can be made again from two numbers."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in two parts.

    Attributes:
        name: The name of the data set.
        x_train: Images, `(n, height, width, channels)`, uint8.
        y_train: Labels, `(n,)`, integers from 0.
        x_test: As `x_train`.
        y_test: As `y_train`.
        class_names: One name for each label.
        mean: What `normalized` subtracts from each channel, in pixel values.
        deviation: What it then divides by.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)`."""
        return self.x_train.shape[1:]

    def normalized(self, images: np.ndarray) -> np.ndarray:
        """`(images - mean) / deviation`, in float32."""
        mean = np.array(self.mean, dtype="float32")
        return (images - mean) / np.array(self.deviation, dtype="float32")

    def epoch(
        self, seed: int, epoch: int, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The training images of one epoch, in an order of its own.

        The order depends on `seed` and `epoch` alone: it is the same on every
        backend, and a run that is resumed sees what it would have seen. Images
        beyond the last full batch are left out, others in each epoch, so that
        every batch has the same shape and the step is compiled once.

        Args:
            seed: The seed of the run.
            epoch: The number of the epoch, from 0.
            batch_size: Images in each batch.

        Returns:
            Normalised images and their labels; batches are runs of
            `batch_size`.

        Raises:
            ValueError: If there are fewer images than a batch has.
        """
        self.check_batch_size(batch_size)
        size = len(self.x_train) // batch_size * batch_size
        order = np.random.default_rng((seed, epoch)).permutation(len(self.x_train))
        return self.normalized(self.x_train[order[:size]]), self.y_train[order[:size]]

    def check_batch_size(self, batch_size: int) -> None:
        """Raise a ValueError if there are fewer images than a batch has."""
        if batch_size > len(self.x_train):
            raise ValueError(
                f"batch_size must be at most the {len(self.x_train)} training images. "
                f"Received: {batch_size}"
            )

    def subset(self, train_size: int | None, test_size: int | None) -> "Dataset":
        """The first images of each part, as many of each class as possible.

        Args:
            train_size: Images to keep for training; `None` keeps all.
            test_size: Images to keep for testing; `None` keeps all.

        Returns:
            A data set of that size.

        Raises:
            ValueError: If there are fewer images than asked for.
        """
        train = balanced(self.y_train, train_size, "train_size")
        test = balanced(self.y_test, test_size, "test_size")
        return dataclasses.replace(
            self,
            x_train=self.x_train[train],
            y_train=self.y_train[train],
            x_test=self.x_test[test],
            y_test=self.y_test[test],
        )


def balanced(labels: np.ndarray, size: int | None, name: str = "size") -> np.ndarray:
    """Positions of `size` labels, the classes in turn, in their order.

    Args:
        labels: `(n,)`.
        size: How many to take, or `None` for all.
        name: What the caller calls `size`, for the message.

    Returns:
        Positions, ascending.

    Raises:
        ValueError: If there are fewer labels than asked for.
    """
    if size is None:
        return np.arange(len(labels))
    if not 1 <= size <= len(labels):
        raise ValueError(
            f"{name} must be between 1 and {len(labels)}. Received: {size}"
        )
    # The rank of each image within its class: the first of every class come
    # first, then the second, and so on.
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.empty(len(labels), dtype=int)
    rank[by_class] = np.arange(len(labels)) - starts
    return np.sort(np.lexsort((labels, rank))[:size])
