"""`compare` on every kind of data that `fit` takes."""

import keras
import numpy as np
import pytest
from support.comparing import (
    BATCH,
    EPOCHS,
    TRAIN,
    VALIDATION,
    InOrder,
    adam,
    compared,
    curves,
    dense,
    samples,
)

BACKEND = keras.backend.backend()
SAME = {"one": adam, "two": adam}


def plain(make, seed, **fitting):
    """The history of `fit` on data in the order that they have."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    train = make(seed)
    keras.utils.set_random_seed(seed)
    model = dense()
    model.compile(adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    arguments = {"validation_data": VALIDATION, "validation_batch_size": BATCH}
    return model.fit(train, epochs=EPOCHS, verbose=0, **arguments | fitting).history


def py_dataset(seed):
    return InOrder(TRAIN, 5)


def tf_dataset(seed):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(TRAIN).batch(BATCH)


def data_loader(seed):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(*map(torch.tensor, TRAIN))
    generator = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(
        tensors, batch_size=BATCH, shuffle=True, generator=generator
    )


def endless(seed):
    random = np.random.default_rng(seed)
    while True:
        rows = random.integers(0, len(TRAIN[1]), BATCH)
        yield TRAIN[0][rows], TRAIN[1][rows]


FORMS = {
    py_dataset: {},
    tf_dataset: {"shuffle": False},
    data_loader: {"shuffle": False},
    endless: {"shuffle": False, "steps_per_epoch": 4},
}


@pytest.mark.parametrize("make", FORMS, ids=lambda make: make.__name__)
def test_data_that_make_batches(make):
    fitting = dict(FORMS[make])
    steps = {"steps_per_epoch": fitting.get("steps_per_epoch")}
    comparison = compared(optimizers=SAME, train=make, **steps)
    for seed in (0, 1):
        expected = plain(make, seed, **fitting)
        assert curves(comparison, "one", seed) == expected
        assert curves(comparison, "two", seed) == expected
    assert any("order of their own" in note for note in comparison.warnings)


@pytest.mark.parametrize("make", [py_dataset, tf_dataset], ids=["py", "tf"])
def test_one_data_set_for_all_trials(make):
    comparison = compared(optimizers=SAME, train=make(0), validation=make(0))
    fitting = FORMS[make] | {"validation_data": make(0), "validation_batch_size": None}
    assert curves(comparison, "one") == plain(make, 0, **fitting)
    assert comparison.table()["gain"][1] == 0


def test_models_that_know_their_inputs_late():
    """TensorFlow builds them in the first step."""
    layers = keras.layers

    def late():
        return keras.Sequential([layers.Dense(3, activation="softmax")])

    for train, rest in (
        (endless, {"steps_per_epoch": 3}),
        (tf_dataset, {}),
        (TRAIN, {"callbacks": lambda: [keras.callbacks.EarlyStopping()]}),
    ):
        comparison = compared(late, SAME, train=train, **rest)
        assert comparison.table()["gain"][1] == 0


def test_a_function_of_the_seed_gives_each_seed_its_data():
    def train(seed):
        return samples(seed=seed)

    comparison = compared(optimizers=SAME, train=train, validation=train)
    assert comparison.table()["gain"][1] == 0
    alone = compared(optimizers=SAME, train=train(1), validation=train(1))
    assert curves(comparison, "one", 1) == curves(alone, "one", 1)
    assert not any("order of their own" in text for text in comparison.warnings)


def test_arrays_of_the_backend_and_lists():
    tensors = tuple(keras.ops.convert_to_tensor(part) for part in TRAIN)
    assert curves(compared(train=list(tensors))) == curves(compared())


@pytest.mark.any_backend
def test_validation_generators():
    def few(seed):
        yield VALIDATION

    found = curves(compared(validation=few))["val_loss"]
    np.testing.assert_allclose(found, curves(compared())["val_loss"], rtol=1e-5)


@pytest.mark.any_backend
def test_data_that_run_out_are_named():
    def few(seed):
        for _ in range(5):
            yield TRAIN

    with pytest.raises(ValueError, match="must have batches for all steps"):
        compared(train=few, steps_per_epoch=2)


@pytest.mark.any_backend
def test_no_validation_with_a_monitor_of_the_training():
    comparison = compared(validation=None, monitor="accuracy")
    assert set(curves(comparison)) == {"accuracy", "loss"}
