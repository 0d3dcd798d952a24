import dataclasses

import keras
import numpy as np
import pytest
from networks import values

from keras_wgd import WGD, datasets
from keras_wgd.study import training
from keras_wgd.study.spec import RunSpec

SPEC = RunSpec(
    dataset="digits",
    model="resnet8",
    optimizer="adam",
    epochs=2,
    learning_rate=1e-3,
    train_size=64,
    test_size=40,
)
ARMS = {
    "plain": SPEC,
    "filters": dataclasses.replace(SPEC, mean_over="filters"),
    "fan_in": dataclasses.replace(SPEC, mean_over="fan_in", optimizer="sgdm"),
}


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", None, SPEC.train_size, SPEC.test_size)


def test_all_arms_start_from_the_same_weights_and_other_seeds_do_not(data):
    plain, *others = (
        values(training.build_model(spec, data).variables) for spec in ARMS.values()
    )
    for other in others:
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_array_equal(a, b)
    seeded = training.build_model(dataclasses.replace(SPEC, seed=1), data)
    assert any(
        (a != b).any() for a, b in zip(plain, values(seeded.variables), strict=True)
    )


@pytest.fixture(scope="module")
def plain(data):
    return training.train(SPEC, data)


def test_the_same_run_twice_is_the_same_run(data, plain):
    again = training.train(SPEC, data)
    assert again.metrics == plain.metrics
    assert again.curves == plain.curves
    assert again.confusion == plain.confusion


def test_the_arms_differ_and_say_what_they_centred(data, plain):
    epochs = []
    spec = ARMS["filters"]
    result = training.train(spec, data, lambda epoch, curves: epochs.append(epoch))
    assert epochs == [1, 2]
    assert plain.centred == 0
    assert result.centred == 9
    assert result.curves != plain.curves
    assert result.spec == spec
    assert len(result.seconds) == 2
    assert all(len(curve) == 2 for curve in result.curves.values())
    assert np.sum(result.confusion) == SPEC.test_size
    assert np.trace(result.confusion) / SPEC.test_size == result.metrics["accuracy"]
    assert result.metrics["loss"] == result.curves["test_loss"][-1]
    assert result.environment["backend"] == keras.backend.backend()
    assert result.environment["versions"]["keras"] == keras.__version__


def test_the_training_loss_leaves_the_l2_out(data):
    spec = dataclasses.replace(
        SPEC, epochs=1, learning_rate=1e-12, weight_decay=10.0, batch_size=64
    )
    loss = training.train(spec, data).curves["train_loss"][0]
    assert 2 < loss < 5  # nats, of ten classes; the L2 alone is hundreds


def test_weight_decay_enters_the_gradient_of_every_weight(data):
    """As torch's optimizers do: w -= rate * (gradient + weight_decay * w)."""
    steps = {}
    for decay in (0.0, 0.5):
        spec = dataclasses.replace(SPEC, optimizer="sgdm", weight_decay=decay)
        model = training.build_model(spec, data)
        model.compile(keras.optimizers.SGD(1.0), loss="mse")
        before = values(model.trainable_variables)
        x = data.normalized(data.x_train[:16])
        model.train_on_batch(x, np.zeros((16, 10)))
        after = values(model.trainable_variables)
        steps[decay] = [b - a for b, a in zip(before, after, strict=True)]
    for plain_step, decayed, weight in zip(steps[0.0], steps[0.5], before, strict=True):
        np.testing.assert_allclose(decayed - plain_step, 0.5 * weight, atol=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [("sgdm", "SGD"), ("adam", "Adam"), ("nadam", "Nadam"), ("radam", "RAdam")],
)
def test_the_optimizers_are_those_of_the_paper(data, optimizer, name):
    spec = dataclasses.replace(SPEC, optimizer=optimizer, epsilon=1e-6, momentum=0.75)
    model = training.build_model(spec, data)
    plain = training.build_optimizer(spec, model)
    assert type(plain).__name__ == name
    config = plain.get_config()
    assert config["learning_rate"] == pytest.approx(1e-3)
    key = "momentum" if optimizer == "sgdm" else "epsilon"
    assert config[key] == (0.75 if optimizer == "sgdm" else 1e-6)
    wrapped = training.build_optimizer(
        dataclasses.replace(spec, mean_over="kernels", placement="update"), model
    )
    assert isinstance(wrapped, WGD)
    assert (wrapped.mean_over, wrapped.placement) == ("kernels", "update")
    assert type(wrapped.inner_optimizer).__name__ == name


def test_a_wrapped_run_that_would_be_plain_is_refused(data, monkeypatch):
    def dense(input_shape, classes, l2):
        return keras.Sequential(
            [
                keras.Input(input_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(classes),
            ]
        )

    monkeypatch.setitem(training.models.MODELS, "dense", dense)
    spec = dataclasses.replace(ARMS["filters"], model="dense")
    with (
        pytest.warns(UserWarning, match="found nothing to centre"),
        pytest.raises(RuntimeError, match="dense has no kernel to centre"),
    ):
        training.train(spec, data)
