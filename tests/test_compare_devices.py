"""`compare` with each batch on several devices."""

import keras
import numpy as np
import pytest
from support.compare_processes import finished
from support.comparing import TRAIN, VALIDATION, compared

from keras_wgd.experiments.training.custom.data import Data

BACKEND = keras.backend.backend()


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="refused on PyTorch")
def test_two_devices_have_the_numbers_of_one(tmp_path):
    one, two = (
        finished(tmp_path / str(devices), devices=devices, units=4, dropout=0)[0]
        for devices in (1, 2)
    )
    for row, other in zip(one, two, strict=True):
        assert row[:3] == other[:3]
        np.testing.assert_allclose(row[3:], other[3:], rtol=1e-4)


@pytest.mark.skipif(BACKEND != "torch", reason="works on the other backends")
def test_pytorch_has_one_device():
    with pytest.raises(ValueError, match="devices must be 1 on PyTorch"):
        compared(devices=2)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["train", "validation"])
def test_last_batches_that_cannot_be_split_are_refused(name):
    parts = {"train": TRAIN, "validation": VALIDATION}
    Data(**parts, batch_size=16, seed=0).check_parts(2)
    parts[name] = tuple(array[:43] for array in parts[name])
    with pytest.raises(
        ValueError, match=f"the last batch of {name}, too, which has 11"
    ):
        Data(**parts, batch_size=16, seed=0).check_parts(2)
