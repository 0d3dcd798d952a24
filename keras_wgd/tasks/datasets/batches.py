"""Batches that are made while `fit` or `predict` uses earlier ones."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import keras
import numpy as np

# Threads that make batches beside the training step.
_WORKERS = 2

# Batches that wait at most. One of 128 images of 224 by 224 pixels is 77 MB.
_MAX_WAITING = 3


class Batches(keras.utils.PyDataset):
    """Samples at given positions, batch by batch.

    `take` returns the samples at some positions, as `(x,)`, `(x, y)` or
    `(x, y, sample_weight)`. The last batch may be smaller. Keras's own workers do not
    keep the order: Keras takes a batch to build a model, starts again, and then first
    returns batches that its workers made before.
    """

    def __init__(
        self,
        take: Callable[[np.ndarray], tuple],
        positions: np.ndarray,
        batch_size: int,
    ):
        super().__init__(workers=1)
        self.take = take
        self.positions = positions
        self.batch_size = batch_size
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
        return self.take(self.positions[start : start + self.batch_size])
