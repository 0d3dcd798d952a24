"""Batches that are made as `fit` or `predict` asks for them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import keras
import numpy as np

from keras_wgd.tasks.datasets.images import Images

# Batches made at a time, beside the training step.
_WORKERS = 2

# Batches that wait at most. One of 128 images of 224 by 224 pixels is 77 MB.
_WAITING = 3


class Batches(keras.utils.PyDataset):
    """Normalised images, with their labels or alone, batch by batch.

    The next batches are made while Keras uses one. Keras's own workers would
    not keep the order: it asks for a batch to build a model, starts again, and
    then gives out first those that its workers had made ahead.

    Args:
        images: The source.
        normalized: Makes float32 images of uint8 ones.
        positions: `(n,)`, which images, in the order in which they come.
        batch_size: Images in each batch; the last may have fewer.
        labels: A label for each image of the source; `None` gives out the
            images alone.
    """

    def __init__(
        self,
        images: Images,
        normalized: Callable[[np.ndarray], np.ndarray],
        positions: np.ndarray,
        batch_size: int,
        labels: np.ndarray | None = None,
    ):
        super().__init__(workers=1)
        self.images = images
        self.normalized = normalized
        self.positions = positions
        self.batch_size = batch_size
        self.labels = labels
        self._threads = ThreadPoolExecutor(_WORKERS)
        self._ahead: dict[int, Future] = {}
        self._lock = threading.Lock()

    def __len__(self):
        return -(-len(self.positions) // self.batch_size)

    def __getitem__(self, index):
        with self._lock:
            for other in range(index, min(index + 1 + _WAITING, len(self))):
                if other not in self._ahead:
                    self._ahead[other] = self._threads.submit(self._batch, other)
            batch = self._ahead.pop(index)
        return batch.result()

    def _batch(self, index):
        start = index * self.batch_size
        positions = self.positions[start : start + self.batch_size]
        x = self.normalized(self.images[positions])
        return (x,) if self.labels is None else (x, self.labels[positions])
