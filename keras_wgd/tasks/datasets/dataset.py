"""Labeled images, and epochs that depend on a seed and a number alone."""

import dataclasses
import math
from typing import Any

import numpy as np

from keras_wgd.choices import check_choice
from keras_wgd.tasks.datasets.images import FileImages, resize
from keras_wgd.tasks.datasets.names import SAMPLERS

# Of all images of a data set in memory: twice the photos of Animals-10.
_MAX_BYTES = 2**33


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled images in two parts, and how they are preprocessed."""

    name: str
    # As they are stored, `(n, height, width, channels)`, uint8; files are decoded when
    # they are indexed.
    train: np.ndarray | FileImages
    y_train: np.ndarray  # `(n,)`, integers from 0
    test: np.ndarray | FileImages
    y_test: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # of each channel, in pixel values
    std: tuple[float, ...]
    image_size: int | None = None  # height and width; `None` keeps those of the images
    problems: tuple[str, ...] = ()  # a line for each image that was left out
    # A line for each kind of image that is not used as a user may expect, with the
    # first such image and how many there are.
    warnings: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of a preprocessed image."""
        _, height, width, channels = self.train.shape
        return (self.image_size or height, self.image_size or width, channels)

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Resize stored images and normalize them: `(images - mean) / std`, float32."""
        result = resize(images, self.image_size) - np.array(self.mean, "float32")
        # In place: an epoch of CIFAR-100 is 614 MB.
        result /= np.array(self.std, "float32")
        return result

    def indices(
        self, seed: int, epoch: int, batch_size: int, sampler: str
    ) -> np.ndarray:
        """The positions of the training images of an epoch, in order.

        They depend on the arguments alone: every backend and every resumed run sees the
        same images. All batches are full, so that a step is compiled once. `"shuffled"`
        shows each image at most once, and leaves out those beyond the last full batch.
        `"weighted"` draws with replacement: each class is equally likely, and so is
        each image of a class.
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
        """The training images of `indices` and their labels, for `model.fit(**...)`.

        Each batch is split into `parts` of equal size, of which one `part` is returned.
        """
        chosen = self.indices(seed, epoch, batch_size, sampler)
        batch_size //= parts
        chosen = chosen.reshape(-1, parts, batch_size)[:, part].ravel()
        inputs = self._inputs(self.train, chosen, batch_size, self.y_train)
        return {**inputs, "shuffle": False}

    def evaluation(self, batch_size: int, parts: int = 1) -> dict[str, Any]:
        """The test images in their order, for `model.predict(**...)`.

        Every batch can be split into `parts` of equal size. For that, `batch_size` is
        rounded down, and the first images are repeated at the end of the last batch.
        """
        batch_size = max(1, batch_size // parts) * parts
        size = -(-len(self.test) // parts) * parts
        positions = np.resize(np.arange(len(self.test)), size)
        return self._inputs(self.test, positions, batch_size)

    def _inputs(self, images, positions, batch_size, labels=None):
        if isinstance(images, np.ndarray) and images.shape[1:] == self.image_shape:
            # `fit` is fastest on arrays. Images that need resizing would fill memory.
            x = self.preprocess(images[positions])
            inputs = {"x": x, "batch_size": batch_size}
            return inputs if labels is None else {**inputs, "y": labels[positions]}
        from keras_wgd.tasks.datasets.batches import Batches

        def take(positions):
            x = self.preprocess(images[positions])
            return (x,) if labels is None else (x, labels[positions])

        return {"x": Batches(take, positions, batch_size)}

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """The training and the test images, not normalized, in memory: uint8."""
        shape = self.image_shape
        count = len(self.train) + len(self.test)
        if count * math.prod(shape) > _MAX_BYTES:
            raise ValueError(
                f"images must take at most {_MAX_BYTES >> 30} GB of memory; choose a "
                f"smaller --image-size, or --train-size. Received: {count:,} images of "
                f"{' by '.join(map(str, shape))} bytes"
            )
        train, test = (
            resize(images[np.arange(len(images))], self.image_size)
            for images in (self.train, self.test)
        )
        return train, test

    def check_batch_size(self, batch_size: int) -> None:
        """Raise a ValueError if a batch has more images than there are."""
        if batch_size > len(self.train):
            raise ValueError(
                f"batch_size must be at most the {len(self.train)} training images. "
                f"Received: {batch_size}"
            )

    def subset(self, train_size: int | None, test_size: int | None) -> "Dataset":
        """The first images of each part, classes balanced; `None` keeps all."""
        train = balanced(self.y_train, train_size, "train_size")
        test = balanced(self.y_test, test_size, "test_size")
        return dataclasses.replace(
            self,
            train=self._take(self.train, train),
            y_train=self.y_train[train],
            test=self._take(self.test, test),
            y_test=self.y_test[test],
        )

    def _take(self, images, positions):
        if isinstance(images, FileImages):
            return images.take(positions)
        images = images[positions]
        if math.prod(self.image_shape) <= math.prod(images.shape[1:]):
            # Resizing now needs no more memory, and is done once.
            return resize(images, self.image_size)
        return images


def balanced(labels: np.ndarray, size: int | None, name: str = "size") -> np.ndarray:
    """The positions, ascending, of the first `size` labels, taking the classes in turn.

    `None` takes all labels. `name` is that of `size` in the message of a ValueError.
    """
    if size is None:
        return np.arange(len(labels))
    if not 1 <= size <= len(labels):
        raise ValueError(
            f"{name} must be between 1 and {len(labels)}. Received: {size}"
        )
    # Sort by the rank of each image in its class: first the first of every class.
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.empty(len(labels), dtype=int)
    rank[by_class] = np.arange(len(labels)) - starts
    return np.sort(np.lexsort((labels, rank))[:size])
