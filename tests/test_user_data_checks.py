"""What is refused as data, what a part held out is, and what a digest depends on."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from support.batches import epoch_of

from keras_wgd.experiments.training.custom import arrays
from keras_wgd.experiments.training.custom.data import Data

pytestmark = pytest.mark.any_backend

X = np.arange(24, dtype="float32").reshape(12, 2)
Y = np.arange(12) % 3


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self):
        return None

    def __getitem__(self, index):
        return X, Y


def images(*sizes):
    return [np.zeros((size, size, 3), "uint8") for size in sizes]


def mixed(*sizes):
    array = np.empty(len(sizes), object)
    array[:] = images(*sizes)
    return array


# The data, and what the message says.
REFUSED = {
    "lengths": ((X, Y[:5]), "same length. Received: x: 12, y: 5"),
    "length of one input": (
        ({"a": X, "b": X[:3]}, Y),
        "same length. Received: y: 12, x['b']: 3",
    ),
    "length of weights": ((X, Y, np.ones(3)), "Received: y: 12, sample_weight: 3"),
    "empty": ((X[:0], Y[:0]), "at least one sample. Received: arrays of length 0"),
    "empty dict": ({}, "train must have at least one sample"),
    "one class": ((X, Y * 0 + 2), "two classes. Received: 2 for all 12 samples"),
    "one class in a column": ((X, Y[:, None] * 0), "two classes. Received: 0 for"),
    "one class of booleans": ((X, Y < 9), "two classes. Received: True for"),
    "string": ("photos", "not a path: read it first"),
    "path": (Path("photos"), "Received: 'photos'"),
    "path as x": (("photos", Y), "x of train must be an array; a path is not read"),
    "generator": ((batch for batch in [(X, Y)]), "give a function of the seed"),
    "iterator": (iter([(X, Y)]), "Received: list_iterator"),
    "x alone": (X, "train must be (x, y) or"),
    "tuple of one": ((X,), "Received: tuple of length 1"),
    "tuple of four": ((X, Y, Y, Y), "Received: tuple of length 4"),
    "number": (3, "Received: int"),
    "nothing": (None, "Received: None"),
    "list of labels": ((X, Y.tolist()), "y[0] of train must be a dense array"),
    "one number": ((X, np.float32(3)), "an axis of samples. Received: one number"),
    "mixed sizes": ((mixed(*[8] * 11, 9), Y), "images one size"),
    "list of mixed sizes": ((images(*[8] * 11, 9), Y), "Received: 12 arrays of 2"),
    "list of images": ((images(*[8] * 12), Y), "call np.stack"),
    "objects": ((X, np.array([{}] * 12)), "Received: objects of type dict"),
    "function of nothing": (lambda: (X, Y), "function of one argument, the seed"),
    "function that returns no data": (lambda seed: None, "Received: None"),
    "function that returns bad data": (lambda seed: (X, Y[:5]), "x: 12, y: 5"),
    "generator without steps": (lambda seed: iter([(X, Y)]), "needs steps_per_epoch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_cannot_be_trained_on_are_refused(name):
    data, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        Data(data, None, batch_size=4, seed=0)
    assert "\n" not in str(error.value)
    assert "Received: " in str(error.value)


@pytest.mark.parametrize("name", ["lengths", "empty", "string", "generator"])
def test_validation_data_are_checked_too(name):
    with pytest.raises(ValueError, match="validation") as error:
        Data((X, Y), REFUSED[name][0], batch_size=4, seed=0)
    assert "train" not in str(error.value)


@pytest.mark.parametrize("value", [0, -1, 2.0, "8", None, True])
@pytest.mark.parametrize("name", ["batch_size", "steps_per_epoch"])
def test_sizes_are_whole_numbers(name, value):
    if (name, value) == ("steps_per_epoch", None):
        return
    with pytest.raises(ValueError, match=f"{name} must be .* Received: {value!r}"):
        Data((X, Y), None, **{"batch_size": 4, "seed": 0, name: value})


def test_more_steps_than_batches_are_refused():
    Data((X, Y), None, batch_size=5, seed=0, steps_per_epoch=3)
    with pytest.raises(ValueError, match=r"at most the 3 batches.* Received: 4"):
        Data((X, Y), None, batch_size=5, seed=0, steps_per_epoch=4)


@pytest.mark.parametrize("labels", ["balanced", "rare", "column", "floats"])
def test_held_out_parts_are_all_samples_with_equal_shares_of_labels(labels):
    n = 200
    y = np.arange(n) % 4
    if labels == "rare":
        y[:] = np.where(np.arange(n) < 190, 0, 1)
    if labels == "column":
        y = y[:, None]
    if labels == "floats":
        y = y.astype("float32")
    x = np.arange(n, dtype="float32")[:, None]
    data = Data((x, y), (x[:5], y[:5]), batch_size=16, seed=1)
    part = data.held_out(0.2, seed=9)
    train_x, train_y = epoch_of(part, 0)
    held_x, held_y = part.validation()["validation_data"]
    assert (len(train_x), len(held_x)) == (160, 40)
    both = np.concatenate([train_x, held_x])[:, 0]
    np.testing.assert_array_equal(np.sort(both), np.arange(n))
    np.testing.assert_array_equal(held_y, y[held_x[:, 0].astype(int)])
    np.testing.assert_array_equal(train_y, y[train_x[:, 0].astype(int)])
    if labels != "floats":
        counts = np.bincount(np.ravel(y))
        held = np.bincount(np.ravel(held_y), minlength=len(counts))
        assert np.abs(held - 0.2 * counts).max() <= 1
    # The order of an epoch is that of the seed of the run.
    order = np.random.default_rng((1, 0)).permutation(160)
    np.testing.assert_array_equal(train_x, np.setdiff1d(x, held_x)[order][:, None])
    again = data.held_out(0.2, seed=9).validation()["validation_data"][0]
    np.testing.assert_array_equal(again, held_x)
    other = data.held_out(0.2, seed=10).validation()["validation_data"][0]
    assert not np.array_equal(other, held_x)


def test_each_sample_is_held_out_equally_often():
    # A label that comes once, too.
    labels = np.repeat([0, 1, 2], [6, 5, 1])
    data = Data((X, labels), None, batch_size=4, seed=0)
    counts = np.zeros(12)
    for seed in range(600):
        held = data.held_out(0.25, seed).validation()["validation_data"][0]
        counts[(held[:, 0] / 2).astype(int)] += 1
    # Binomial with 600 draws of 0.25: 150, standard deviation 10.6.
    assert np.abs(counts - 150).max() < 4 * 10.6


def test_parts_held_out_of_large_arrays_are_read_batch_by_batch(monkeypatch):
    monkeypatch.setattr(arrays, "_LIMIT", 0)
    data = Data((X, Y), None, batch_size=4, seed=0).held_out(0.25, seed=0)
    batches = data.validation()["validation_data"]
    held = np.concatenate([batches[i][0] for i in range(batches.num_batches)])
    rest = epoch_of(data, 0)[0]
    both = np.concatenate([held, rest])
    np.testing.assert_array_equal(both[np.argsort(both[:, 0])], X)


@pytest.mark.parametrize("share", [0, 1, 0.001, 0.999, -1, 2])
def test_held_out_parts_have_samples(share):
    data = Data((X, Y), None, batch_size=4, seed=0)
    with pytest.raises(ValueError, match=f"both parts .* Received: {share}"):
        data.held_out(share, seed=0)


def test_held_out_parts_need_arrays():
    data = Data(Endless(), None, batch_size=4, seed=0)
    with pytest.raises(ValueError, match=r"needs arrays.*Received: Endless"):
        data.held_out(0.2, seed=0)
    made = Data(lambda seed: (X, Y), None, batch_size=4, seed=0).held_out(0.25, 0)
    assert len(made.validation()["validation_data"][0]) == 3


def digest(train, validation=None):
    return Data(train, validation, batch_size=4, seed=0).digest()


def test_a_digest_changes_with_the_data_alone():
    changed = X.copy()
    changed[-1, -1] += 1
    words = np.array([f"w{i}" for i in range(12)], object)
    different = [
        digest((X, Y)),
        digest((changed, Y)),
        digest((X, np.roll(Y, 1))),
        digest((X.T.reshape(12, 2), Y)),
        digest((X.reshape(12, 1, 2), Y)),
        digest((X, Y.astype("int32"))),
        digest((X.view("int32"), Y)),
        digest((X, Y, np.ones(12))),
        digest(({"a": X}, Y)),
        digest(({"b": X}, Y)),
        digest((X, Y), (X, Y)),
        digest((words, Y)),
        digest((np.roll(words, 1), Y)),
        digest({"a": X}),
        Data((X, Y), None, 4, seed=0).held_out(0.25, seed=0).digest(),
        Data((X, Y), None, 4, seed=0).held_out(0.25, seed=1).digest(),
    ]
    assert len(set(different)) == len(different)
    same = [
        digest((X.copy(), Y.copy())),
        digest((np.asfortranarray(X), Y)),
        digest((np.repeat(X, 2, axis=0)[::2], np.repeat(Y, 2)[::2])),
        digest((keras.ops.convert_to_tensor(X), Y)),
        digest(lambda seed: (X, Y)),
        # `fit` converts floats to float32.
        digest((X.astype("float64"), Y)),
        Data((X, Y), None, batch_size=5, seed=3).digest(),
    ]
    assert set(same) == {different[0]}


def test_the_digest_of_data_that_make_batches_is_type_and_length():
    class Few(Endless):
        def __len__(self):
            return 7

        @property
        def num_batches(self):
            return 7

    assert digest(Endless(), Few()) == "Endless Few of length 7"
    made = Data(lambda seed: iter([(X, Y)]), None, 4, seed=0, steps_per_epoch=1)
    assert made.digest() == "list_iterator None"


def test_memory_maps_are_read(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert digest((mapped, Y)) == digest((X, Y))
    data = Data((mapped, Y), None, batch_size=4, seed=0)
    np.testing.assert_array_equal(
        epoch_of(data, 0)[0], X[np.random.default_rng((0, 0)).permutation(12)]
    )
