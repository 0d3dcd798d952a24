"""Labelled images, and epochs that can be made again from two numbers."""

import dataclasses
from typing import Any

import numpy as np

from keras_wgd.choices import check_choice
from keras_wgd.tasks.datasets.images import Images
from keras_wgd.tasks.datasets.names import SAMPLERS


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in two parts.

    Attributes:
        name: The name of the data set.
        train: The source of the training images, uint8.
        y_train: Their labels, `(n,)`, integers from 0.
        test: As `train`.
        y_test: As `y_train`.
        class_names: One name for each label.
        mean: What `normalized` subtracts from each channel, in pixel values.
        deviation: What it then divides by.
        problems: A line for each image that was left out.
        warnings: A line for each kind of image that is not used as its user may
            expect, with the first image and how many there are.
    """

    name: str
    train: Images
    y_train: np.ndarray
    test: Images
    y_test: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return self.train.shape

    def normalized(self, images: np.ndarray) -> np.ndarray:
        """`(images - mean) / deviation`, in float32."""
        mean = np.array(self.mean, dtype="float32")
        result = images - mean
        # In place: an epoch of CIFAR-100 is 614 MB.
        result /= np.array(self.deviation, dtype="float32")
        return result

    def indices(
        self, seed: int, epoch: int, batch_size: int, sampler: str
    ) -> np.ndarray:
        """Which training images an epoch shows, in their order.

        It depends on `seed` and `epoch` alone: it is the same on every backend,
        and a run that is resumed sees what it would have seen. Only full batches
        are shown, so that the step is compiled once.

        Args:
            seed: The seed of the run.
            epoch: The number of the epoch, from 0.
            batch_size: Images in each batch.
            sampler: `"shuffled"`: each image once at most; those beyond the last
                full batch are left out, others in each epoch. `"weighted"`:
                drawn with replacement, each class as often as any other on
                average, and each image of a class as often as any other of it.

        Returns:
            Positions, `(n // batch_size * batch_size,)`.

        Raises:
            ValueError: If there is no sampler of that name, or there are fewer
                images than a batch has.
        """
        check_choice("sampler", sampler, SAMPLERS)
        self.check_batch_size(batch_size)
        images = len(self.train)
        size = images // batch_size * batch_size
        generator = np.random.default_rng((seed, epoch))
        if sampler == "shuffled":
            return generator.permutation(images)[:size]
        weights = 1 / np.bincount(self.y_train)[self.y_train]
        return generator.choice(images, size, p=weights / weights.sum())

    def epoch(
        self,
        seed: int,
        epoch: int,
        batch_size: int,
        sampler: str = "weighted",
        part: int = 0,
        parts: int = 1,
    ) -> dict[str, Any]:
        """The training images of one epoch, for `model.fit(**...)`.

        Images that lie in memory at their own size are given as arrays, which
        `fit` takes fastest; others as batches that are made when it asks.

        Args:
            seed: As for `indices`.
            epoch: As for `indices`.
            batch_size: As for `indices`.
            sampler: As for `indices`.
            part: Which part of each batch, from 0.
            parts: Into how many parts each batch is split, of the same size.

        Returns:
            Keyword arguments for `fit`: normalised images and their labels, in
            batches of `batch_size`, or that part of them.

        Raises:
            ValueError: As `indices` does.
        """
        chosen = self.indices(seed, epoch, batch_size, sampler)
        batch_size //= parts
        chosen = chosen.reshape(-1, parts, batch_size)[:, part].ravel()
        if self.train.ready:
            return {
                "x": self.normalized(self.train[chosen]),
                "y": self.y_train[chosen],
                "batch_size": batch_size,
                "shuffle": False,
            }
        from keras_wgd.tasks.datasets.batches import Batches

        batches = Batches(self.train, self.normalized, chosen, batch_size, self.y_train)
        return {"x": batches, "shuffle": False}

    def evaluation(self, batch_size: int, parts: int = 1) -> dict[str, Any]:
        """The test images in their order, for `model.predict(**...)`.

        Args:
            batch_size: Images in each batch; fewer where `parts` does not divide it.
            parts: Into how many parts of the same size each batch can be split: as
                many images as that wants come a second time, at the end.

        Returns:
            Keyword arguments for `predict`: normalised images.
        """
        batch_size = max(1, batch_size // parts) * parts
        size = -(-len(self.test) // parts) * parts
        everything = np.resize(np.arange(len(self.test)), size)
        if self.test.ready:
            x = self.normalized(self.test[everything])
            return {"x": x, "batch_size": batch_size}
        from keras_wgd.tasks.datasets.batches import Batches

        return {"x": Batches(self.test, self.normalized, everything, batch_size)}

    def check_batch_size(self, batch_size: int) -> None:
        """Raise a ValueError if there are fewer images than a batch has."""
        if batch_size > len(self.train):
            raise ValueError(
                f"batch_size must be at most the {len(self.train)} training images. "
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
            train=self.train.take(train),
            y_train=self.y_train[train],
            test=self.test.take(test),
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
