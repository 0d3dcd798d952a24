"""`compare` with every kind of model that `fit` trains."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.comparing import (
    EPOCHS,
    TRAIN,
    VALIDATION,
    adam,
    compared,
    curves,
    dense,
    fitted,
    samples,
    sgd,
)

from keras_wgd import WGD
from keras_wgd.experiments.store import results
from keras_wgd.experiments.trial import Trial

BACKEND = keras.backend.backend()
SAME = {"one": adam, "two": adam}


def check(build_model, **changes):
    """Equal arms are equal, and those of a plain `fit`."""
    comparison = compared(build_model, SAME, **changes)
    for name in ("train", "validation"):
        changes.setdefault(name, {"train": TRAIN, "validation": VALIDATION}[name])
    names = ("loss", "metrics", "loss_weights", "weighted_metrics")
    compiling = {name: changes[name] for name in names if name in changes}
    usual = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    for seed in (0, 1):
        expected = fitted(
            build_model,
            adam,
            seed,
            changes["train"],
            changes["validation"],
            compiling=usual | compiling,
        )
        assert curves(comparison, "one", seed) == expected
        assert curves(comparison, "two", seed) == expected
    assert comparison.table()["gain"][1] == 0
    return comparison


def late():
    return keras.Sequential(
        [layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")]
    )


def test_sequential_without_input():
    comparison = check(late)
    found = results.read_all(comparison.out, Trial)[0]
    assert len({r.details["initial_weights"] for r in found if r.spec.seed == 0}) == 1


def random_layers():
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Reshape((4, 2, 1)),
            layers.RandomTranslation(0.2, 0.2),
            layers.Conv2D(4, 2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GaussianNoise(0.1),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )


def test_dropout_augmentation_and_batch_normalization():
    check(random_layers)


class Custom(keras.Model):
    """A subclass with a training step of its own, that `fit` calls."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(8, activation="relu")
        self.drop = layers.Dropout(0.2)
        self.out = layers.Dense(3, activation="softmax")

    def call(self, x, training=False):
        return self.out(self.drop(self.hidden(x), training=training))

    def train_step(self, *arguments):
        logs = super().train_step(*arguments)
        if BACKEND == "jax":
            return {**logs[0], "extra": logs[0]["loss"] * 2}, logs[1]
        return {**logs, "extra": logs["loss"] * 2}


def test_subclass_with_its_own_train_step():
    comparison = check(Custom)
    found = curves(comparison, "one")
    np.testing.assert_allclose(found["extra"], 2 * np.array(found["loss"]), rtol=1e-6)


def two_inputs():
    a, b = keras.Input((8,), name="a"), keras.Input((1,), name="b")
    hidden = layers.Dense(8, activation="relu")(layers.Concatenate()([a, b]))
    kind = layers.Dense(3, activation="softmax", name="kind")(hidden)
    size = layers.Dense(1, name="size")(hidden)
    return keras.Model({"a": a, "b": b}, {"kind": kind, "size": size})


def as_dicts(x, y):
    return {"a": x, "b": x[:, :1]}, {"kind": y, "size": x.sum(1, keepdims=True)}


OUTPUTS = {
    "train": as_dicts(*TRAIN),
    "validation": as_dicts(*VALIDATION),
    "loss": {"kind": "sparse_categorical_crossentropy", "size": "mse"},
    "loss_weights": {"kind": 1.0, "size": 0.1},
    "metrics": {"kind": ["accuracy"], "size": ["mae"]},
    "monitor": "val_kind_accuracy",
    "mode": "max",  # Keras knows it for a model of one output
}


def test_several_inputs_and_outputs():
    comparison = check(two_inputs, **OUTPUTS)
    assert comparison.analysis.question.best == "max"


class Sampler(layers.Layer):
    """Draws in every call, as a variational autoencoder does."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


def sampling():
    return keras.Sequential([Sampler(), layers.Dense(3, activation="softmax")])


def test_layers_that_draw_in_every_call():
    check(sampling)


def auto_encoder():
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(8)(layers.Dense(2)(inputs)))


def test_a_model_of_its_inputs_alone():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = auto_encoder()

        def call(self, x):
            out = self.network(x)
            self.add_loss(ops.mean(ops.square(out - x)))
            return out

    train = {"x": TRAIN[0]}

    def build_model():
        inputs = keras.Input((8,), name="x")
        return keras.Model({"x": inputs}, Own()(inputs))

    comparison = compared(
        build_model,
        SAME,
        train=train,
        validation={"x": VALIDATION[0]},
        loss=None,
        metrics=None,
        monitor="val_loss",
    )
    assert comparison.analysis.question.best == "min"
    assert comparison.table()["gain"][1] == 0
    losses = curves(comparison, "one")["loss"]
    assert losses[-1] < losses[0]


def images(n, seed):
    x, y = samples(n, seed, size=16)
    return x.reshape(n, 4, 4, 1), y


def convolution():
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def test_wgd_centers():
    arms = {"adam": adam, "wgd": lambda: WGD(adam(), "fan_in")}
    data = {"train": images(96, 0), "validation": images(48, 1)}
    comparison = compared(convolution, arms, **data)
    assert comparison.runs["centered"].to_list() == [0, 1, 0, 1]
    expected = fitted(convolution, arms["wgd"], **data)
    assert curves(comparison, "wgd") == expected


@pytest.mark.any_backend
def test_wgd_without_a_kernel_names_the_arm():
    arms = {"adam": adam, "wgd": lambda: WGD(adam(), "fan_in"), "sgd": sgd}
    comparison = compared(optimizers=arms)
    assert "center" in comparison.failures["wgd"]
    assert set(comparison.runs["arm"]) == {"adam", "sgd"}


def test_models_of_earlier_trials_are_freed():
    alive, most = [], []

    def build_model():
        model = dense()
        gc.collect()
        alive.append(weakref.ref(model))
        most.append(sum(made() is not None for made in alive))
        return model

    compared(build_model, seeds=5)
    assert len(alive) >= 10
    # The one that is built, and at most the one before.
    assert max(most) <= 2
    gc.collect()
    assert sum(made() is not None for made in alive) <= 1


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("build_model", "message"),
    [
        (lambda: None, "must return a keras.Model. Received: NoneType"),
        (lambda: layers.Dense(3), "must return a keras.Model. Received: Dense"),
    ],
)
def test_other_than_models_are_refused(build_model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        compared(build_model, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_compiled_models_are_refused():
    def build_model():
        model = dense()
        model.compile("adam", "mse")
        return model

    with pytest.raises(ValueError, match="must return a model that is not compiled"):
        compared(build_model)


def test_epochs_are_as_many_as_asked():
    comparison = compared()
    assert set(comparison.runs["epochs"]) == {EPOCHS}
    assert comparison.epochs["epoch"].to_list() == [1, 2, 3] * 4
