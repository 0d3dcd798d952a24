"""`compare`: a trial has the curves of a plain `fit`, whatever is asked of it."""

import keras
import numpy as np
import pytest
from support.comparing import (
    BATCH,
    EPOCHS,
    TRAIN,
    VALIDATION,
    adam,
    compared,
    curves,
    dense,
    fitted,
    sgd,
)

BACKEND = keras.backend.backend()


def check(compiling=None, fitting=None, seeds=2, optimizers=None, **changes):
    """Compare each trial with a plain `fit`; returns the comparison."""
    compiling = compiling or {}
    optimizers = optimizers or {"adam": adam, "sgd": sgd}
    comparison = compared(
        optimizers=optimizers, seeds=seeds, **compiling | (fitting or {}) | changes
    )
    usual = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    for arm, optimizer in optimizers.items():
        for seed in range(seeds):
            callbacks = changes.get("callbacks", list)()
            expected = fitted(
                changes.get("build_model", dense),
                optimizer,
                seed,
                changes.get("train", TRAIN),
                changes.get("validation", VALIDATION),
                callbacks=callbacks,
                compiling={**usual, **compiling},
                **(fitting or {}),
            )
            found = curves(comparison, arm, seed)
            assert set(found) == set(expected)
            for name, curve in expected.items():
                np.testing.assert_array_equal(found[name], curve, err_msg=name)
    return comparison


def test_plain():
    check()


def early():
    stopping = keras.callbacks.EarlyStopping("val_loss", min_delta=10, patience=0)
    return [stopping]


def test_early_stopping():
    comparison = check(callbacks=early)
    assert set(comparison.runs["epochs"]) == {2}


def rates():
    return [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.1**epoch),
        keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=0, min_delta=10),
    ]


def test_callbacks_that_change_the_learning_rate():
    comparison = check(callbacks=rates)
    learning = curves(comparison)["learning_rate"]
    assert len(set(learning)) == EPOCHS


OPTIMIZERS = {
    "ema": lambda: keras.optimizers.SGD(
        0.01, use_ema=True, ema_overwrite_frequency=4, ema_momentum=0.5
    ),
    "accumulation": lambda: keras.optimizers.SGD(0.01, gradient_accumulation_steps=3),
    "schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.01, 12, warmup_steps=3)
    ),
    "clipping": lambda: keras.optimizers.AdamW(0.01, global_clipnorm=0.1),
    "name": lambda: keras.optimizers.get("rmsprop"),
}


def test_options_of_optimizers():
    check(seeds=2, optimizers=OPTIMIZERS)


def test_names_and_configs_of_optimizers():
    given = {"name": "adam", "config": keras.optimizers.serialize(adam())}
    comparison = compared(optimizers=given)
    by_name = fitted(optimizer=lambda: keras.optimizers.get("adam"))
    assert curves(comparison, "name")["loss"] == by_name["loss"]
    assert curves(comparison, "config")["loss"] == fitted()["loss"]


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has one step an execution")
def test_steps_per_execution():
    check({"steps_per_execution": 2})


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_dtype_policy(policy):
    types = set()

    def build_model():
        model = dense()
        types.add(model.layers[-1].compute_dtype)
        return model

    before = keras.config.dtype_policy()
    comparison = compared(build_model, dtype_policy=policy)
    assert types == {policy.removeprefix("mixed_")}
    assert keras.config.dtype_policy() == before
    keras.utils.clear_session()
    try:
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(1)
        expected = fitted_with(policy)
        implied = compared(build_model)  # the policy that is in force
        assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy(before)
    assert curves(comparison, "adam", 1) == expected
    assert curves(implied, "adam", 1) == expected


def fitted_with(policy):
    def build_model():
        keras.config.set_dtype_policy(policy)  # clear_session has undone it
        return dense()

    return fitted(build_model, seed=1)


@pytest.mark.skipif(BACKEND == "torch", reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("choice", [True, False])
def test_jit_compile(choice):
    check({"jit_compile": choice}, seeds=2)


def test_class_weight():
    check(fitting={"class_weight": {0: 1.0, 1: 5.0, 2: 0.1}})


def test_sample_weights():
    generator = np.random.default_rng(0)
    weights = generator.uniform(0, 2, len(TRAIN[1])).astype("float32")
    check({"weighted_metrics": ["accuracy"]}, train=(*TRAIN, weights))


def test_steps():
    comparison = compared(steps_per_epoch=2, validation_steps=1)
    assert set(comparison.runs["steps"]) == {2 * EPOCHS}
    first = tuple(part[:BATCH] for part in VALIDATION)
    shown = fitted(validation=first, steps=2)
    assert curves(comparison)["loss"] == shown["loss"]
    assert curves(comparison)["val_loss"] == shown["val_loss"]


def test_last_batch_may_be_smaller():
    check(train=tuple(part[:-5] for part in TRAIN))


class Scaled(keras.metrics.Metric):
    """A metric whose config lacks its arguments."""

    def __init__(self, scale=1.0, name="scaled"):
        super().__init__(name=name)
        self.scale = scale
        self.total = self.add_weight(name="total", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(self.scale * keras.ops.sum(y_pred[:, 0]))

    def result(self):
        return self.total.value


def largest(y_true, y_pred):
    return keras.ops.max(y_pred, axis=-1)


def loss(y_true, y_pred):
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y_true, y_pred))


def test_metrics_and_losses_as_names_objects_and_functions():
    def arguments():
        metrics = [
            "accuracy",
            keras.metrics.SparseTopKCategoricalAccuracy(2, name="top"),
            keras.metrics.SparseCategoricalCrossentropy(),
            Scaled(3.0),
            largest,
        ]
        return {"metrics": metrics}

    shared = arguments()
    comparison = compared(**shared)
    found = [
        curves(comparison, arm, seed) for arm in ("adam", "sgd") for seed in (0, 1)
    ]
    usual = {"loss": "sparse_categorical_crossentropy"}
    expected = [
        fitted(optimizer=optimizer, seed=seed, compiling=usual | arguments())
        for optimizer in (adam, sgd)
        for seed in (0, 1)
    ]
    assert found == expected
    for given in (loss, keras.losses.SparseCategoricalCrossentropy()):
        values = curves(compared(loss=given))["val_accuracy"]
        assert values == found[0]["val_accuracy"]
