"""What `fit` reads of the arrays of `Data`."""

import keras
import numpy as np


def batches_of(data, epoch):
    """The batches of an epoch, as `(x, y, ...)`."""
    data.begin(epoch)
    inputs = data.training()
    assert inputs.pop("shuffle") is False
    batches = inputs.pop("x")
    assert not inputs
    return [batches[i] for i in range(batches.num_batches)]


def epoch_of(data, epoch):
    """All samples of an epoch, in order, as `(x, y, ...)`."""
    return keras.tree.map_structure(
        lambda *parts: np.concatenate(parts), *batches_of(data, epoch)
    )
