"""What has changed since a comparison began is noticed when it is resumed."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from support.comparing import TRAIN, compared, sgd

FACTOR = 1.0
CALLBACK = keras.callbacks.Callback


def scaled_by_global(y_true, y_pred):
    return FACTOR * ops.mean(y_pred, axis=-1)


def callbacks_of_global():
    return [CALLBACK()]


def class_of(base, name="Same", **attributes):
    return type(name, (base,), {"__module__": __name__} | attributes)


def doubled(self, x):
    return 2 * x


def tripled(self, x):
    return 3 * x


def model_of(*first, **arguments):
    def build_model():
        layers = [layer() for layer in first]
        last = keras.layers.Dense(3, activation="softmax", **arguments)
        return keras.Sequential([keras.Input((8,)), *layers, last])

    return build_model


def layer_of(call):
    return class_of(keras.layers.Layer, call=call)


def inherits(call):
    return class_of(class_of(keras.layers.Layer, "Base", call=call), "Derived")


def weighted(values):
    def loss(y_true, y_pred):
        return ops.mean(y_pred * ops.convert_to_tensor(values, "float32"), axis=-1)

    return loss


def penalty(factor):
    def regularizer(weights):
        return factor * ops.sum(weights**2)

    return regularizer


def schedule(rate):
    def call(self, step):
        return rate

    base = keras.optimizers.schedules.LearningRateSchedule
    return class_of(base, __call__=call, get_config=lambda self: {})


def stepped(sign):
    def update_step(self, gradient, variable, learning_rate):
        super(kind, self).update_step(sign * gradient, variable, learning_rate)

    kind = class_of(keras.optimizers.SGD, update_step=update_step)
    return kind


def two(other):
    return {"sgd": sgd, "other": other}


def batches(factor):
    def train(seed):
        while True:
            yield factor * TRAIN[0][:16], TRAIN[1][:16]

    return {"train": train, "steps_per_epoch": 2}


def later_seeds(factor):
    return {"train": lambda seed: (TRAIN[0] * (factor if seed else 1), TRAIN[1])}


class Scaled(keras.utils.PyDataset):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.factor * TRAIN[0][:16], TRAIN[1][:16]


# The argument that is named, and those of two calls.
PAIRS = {
    "code of a layer": (
        "model",
        *({"build_model": model_of(layer_of(call))} for call in (doubled, tripled)),
    ),
    "code of its base class": (
        "model",
        *({"build_model": model_of(inherits(call))} for call in (doubled, tripled)),
    ),
    "function that a layer holds": (
        "model",
        *({"build_model": model_of(kernel_regularizer=penalty(f))} for f in (1, 2)),
    ),
    "array in a loss": (
        "loss",
        *({"loss": weighted(np.array(v))} for v in ([1, 1, 1], [1, 0, 1])),
    ),
    "list in a loss": (
        "loss",
        *({"loss": weighted(v)} for v in ([1, 1, 1], [1, 0, 1])),
    ),
    "code of an optimizer": (
        r"optimizers\['other'\]",
        *({"optimizers": two(functools.partial(stepped(s), 0.1))} for s in (1, -1)),
    ),
    "code of a schedule": (
        r"optimizers\['other'\]",
        *(
            {"optimizers": two(functools.partial(keras.optimizers.SGD, schedule(r)()))}
            for r in (0.1, 0.2)
        ),
    ),
    "code of a generator": ("data", batches(1), batches(2)),
    "data of later seeds": ("data", later_seeds(1), later_seeds(2)),
    "batches of a PyDataset": ("data", {"train": Scaled(1)}, {"train": Scaled(2)}),
}


def check_refused(name, out, **arguments):
    with pytest.raises(ValueError, match=f"begun with {name}"):
        compared(out=out, epochs=1, **arguments)


@pytest.mark.any_backend
@pytest.mark.parametrize("case", PAIRS)
def test_a_change_is_refused(case, tmp_path):
    name, then, now = PAIRS[case]
    compared(out=tmp_path, epochs=1, **then)
    compared(out=tmp_path, epochs=1, **then)
    check_refused(name, tmp_path, **now)


@pytest.mark.any_backend
def test_what_functions_name_is_part_of_them(tmp_path, monkeypatch):
    arguments = {"loss": scaled_by_global, "callbacks": callbacks_of_global}
    compared(out=tmp_path, epochs=1, **arguments)
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "FACTOR", 2.0)
        check_refused("loss", tmp_path, **arguments)
    monkeypatch.setitem(globals(), "CALLBACK", class_of(keras.callbacks.Callback))
    check_refused("callbacks", tmp_path, **arguments)


@pytest.mark.any_backend
def test_lists_that_are_written_into_are_no_constants(tmp_path):
    seen = []

    def callbacks():
        note = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, _: seen.append(e))
        return [note]

    compared(out=tmp_path, epochs=1, callbacks=callbacks)
    assert seen
    compared(out=tmp_path, epochs=1, callbacks=callbacks)


@pytest.mark.any_backend
def test_other_settings_of_keras_are_refused(tmp_path):
    compared(out=tmp_path, epochs=1)
    before = keras.config.epsilon()
    keras.config.set_epsilon(1e-3)
    try:
        check_refused("epsilon", tmp_path)
    finally:
        keras.config.set_epsilon(before)
