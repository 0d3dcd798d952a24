"""Batches that are made while `fit` or `predict` uses earlier ones."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import keras
import numpy as np

from keras_wgd.tasks.datasets.images import FileImages

# Threads that make batches beside the training step.
_WORKERS = 2

# Batches that wait at most. One of 128 images of 224 by 224 pixels is 77 MB.
_MAX_WAITING = 3


class Batches(keras.utils.PyDataset):
    """Preprocessed images, batch by batch, with their labels or alone.

    `positions` are those of the images among the stored ones, in order; `labels` are of
    all stored images. The last batch may be smaller. Keras's own workers do not keep
    the order: Keras takes a batch to build a model, starts again, and then first
    returns batches that its workers made before.
    """

    def __init__(
        self,
        images: np.ndarray | FileImages,
        preprocess: Callable[[np.ndarray], np.ndarray],
        positions: np.ndarray,
        batch_size: int,
        labels: np.ndarray | None = None,
    ):
        super().__init__(workers=1)
        self.images = images
        self.preprocess = preprocess
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
            for other in range(index, min(index + 1 + _MAX_WAITING, len(self))):
                if other not in self._ahead:
                    self._ahead[other] = self._threads.submit(self._batch, other)
            batch = self._ahead.pop(index)
        return batch.result()

    def _batch(self, index):
        start = index * self.batch_size
        positions = self.positions[start : start + self.batch_size]
        x = self.preprocess(self.images[positions])
        return (x,) if self.labels is None else (x, self.labels[positions])
