"""RAdam with the options of every Keras optimizer, in configs, files and `fit`."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from support.radam_steps import (
    SHAPES,
    error,
    to_float64,
    trained,
    twins,
    weights_and_gradients,
)

from keras_wgd.optimizers.radam import RAdam

BACKEND = keras.backend.backend()


def test_weight_decay_and_its_exclusion():
    decayed, excluded = keras.Variable(2.0), keras.Variable(2.0, name="exclude")
    optimizer = RAdam(1.0, weight_decay=0.004)
    optimizer.exclude_from_weight_decay(var_names=["exclude"])
    optimizer.apply([ops.zeros(()), ops.zeros(())], [decayed, excluded])
    assert to_float64(decayed) == pytest.approx(1.992, abs=1e-6)
    assert to_float64(excluded) == 2.0


@pytest.mark.parametrize(
    ("kwargs", "clipped"),
    [
        ({"clipnorm": 1.0}, [2**-0.5, 2**-0.5]),
        ({"clipvalue": 1.0}, [1.0, 1.0]),
        ({"global_clipnorm": 2.0}, [2**0.5, 2**0.5]),
        ({"loss_scale_factor": 100.0}, [1.0, 1.0]),
    ],
    ids=str,
)
def test_clipping_and_loss_scale(kwargs, clipped):
    gradients = [[np.full(2, 100.0)]] * 8
    ours = trained(RAdam(0.01, **kwargs), [np.zeros(2)], gradients)
    twin = twins([np.zeros(2)], [[np.array(clipped)]] * 8, learning_rate=0.01)
    assert error(ours, twin) < 1e-6


def test_ema():
    optimizer = RAdam(1.0, use_ema=True, ema_momentum=0.9)
    variable = keras.Variable([1.0, 2.0])
    gradient = ops.array([0.1, 0.2])
    optimizer.apply([gradient], [variable])
    first = to_float64(variable)
    optimizer.apply([gradient], [variable])
    average = 0.9 * first + 0.1 * to_float64(variable)
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(to_float64(variable), average, rtol=1e-6)


def test_schedule():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [3, 7], [0.1, 0.0, 1.0]
    )
    weights, gradients = weights_and_gradients(12)
    ours = trained(RAdam(schedule), weights, gradients)
    rates = [0.1] * 4 + [0.0] * 4 + [1.0] * 4
    assert error(ours, twins(weights, gradients, learning_rate=rates)) < 2e-6


def test_gradient_accumulation():
    gradients = [[np.array([i, 3.0])] for i in range(16)]
    means = [[np.array([i + 0.5, 3.0])] for i in range(0, 16, 2)]
    optimizer = RAdam(0.01, gradient_accumulation_steps=2)
    ours = trained(optimizer, [np.ones(2)], gradients)
    assert error(ours, twins([np.ones(2)], means, learning_rate=0.01)) < 1e-6


def test_gradients_for_some_of_the_variables():
    weights, gradients = weights_and_gradients(8)
    variables = [keras.Variable(w, dtype="float32") for w in weights]
    optimizer = RAdam(0.01)
    optimizer.build(variables)
    for of_step in gradients:
        step = [ops.convert_to_tensor(g, dtype="float32") for g in of_step]
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([None, step[1], None, step[3]], variables)
    _, second, _, fourth = twins(weights, gradients, learning_rate=0.01)
    ours = [to_float64(v) for v in variables]
    assert error(ours, [weights[0], second, weights[2], fourth]) < 1e-6
    optimizer.apply([step[2], step[0]], [variables[2], variables[0]])
    assert error([to_float64(variables[3])], [fourth]) < 1e-6


def test_state_corresponds_to_that_of_adam():
    variables = [keras.Variable(np.ones(shape), dtype="float32") for shape in SHAPES]
    ours, adam = RAdam(name="adam"), keras.optimizers.Adam(name="adam")
    ours.build(variables)
    adam.build(variables)
    assert [v.path for v in ours.variables] == [v.path for v in adam.variables]
    assert RAdam().name == "radam"


def test_config_round_trip():
    kwargs = {
        "learning_rate": 0.5,
        "beta_1": 0.5,
        "beta_2": 0.75,
        "epsilon": 1e-5,
        "rho_threshold": 6,
        "early_steps": "skip",
        "weight_decay": 0.1,
        "name": "mine",
    }
    optimizer = RAdam(**kwargs)
    assert kwargs.items() <= optimizer.get_config().items()
    config = keras.optimizers.serialize(optimizer)
    assert config["registered_name"] == "keras_wgd>RAdam"
    again = keras.optimizers.deserialize(json.loads(json.dumps(config)))
    assert type(again) is RAdam
    assert again.get_config() == optimizer.get_config()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    config = keras.optimizers.serialize(RAdam(schedule))
    again = keras.optimizers.deserialize(json.loads(json.dumps(config)))
    assert again.get_config() == RAdam(schedule).get_config()


@pytest.mark.parametrize(
    ("kwargs", "allowed"),
    [
        ({"beta_1": 1.0}, r"\[0, 1\)"),
        ({"beta_1": -0.1}, r"\[0, 1\)"),
        ({"beta_1": "0.9"}, r"\[0, 1\)"),
        ({"beta_2": 1}, r"\[0, 1\)"),
        ({"beta_2": float("nan")}, r"\[0, 1\)"),
        ({"beta_2": None}, r"\[0, 1\)"),
        ({"epsilon": 0.0}, "above 0"),
        ({"epsilon": float("inf")}, "above 0"),
        ({"rho_threshold": 3.9}, "at least 4"),
        ({"rho_threshold": float("nan")}, "at least 4"),
        ({"early_steps": "skipp"}, "momentum, skip.*Did you mean 'skip'"),
        ({"early_steps": None}, "one of momentum, skip"),
        ({"beta_2": 0.5, "early_steps": "skip"}, "rho_threshold"),
        ({"momentum": 0.9}, "not recognized"),
    ],
    ids=str,
)
def test_bad_arguments(kwargs, allowed):
    argument, received = next(iter(kwargs.items()))
    with pytest.raises(ValueError, match=allowed) as raised:
        RAdam(**kwargs)
    message = str(raised.value)
    assert argument in message
    assert repr(received) in message
    assert "\n" not in message


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )


def fitted(model, epochs):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 6)).astype("float32")
    y = generator.normal(size=(32, 2)).astype("float32")
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return [to_float64(w) for w in model.weights]


# test_radam_backends.py compiles the step with a faster backend.
@pytest.mark.skipif(BACKEND == "torch", reason="Inductor compiles for 20 seconds")
def test_jit_and_eager_agree_in_fit():
    after = []
    for mode in ({"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}):
        model = network()
        model.compile(RAdam(0.01, weight_decay=0.01), "mse", **mode)
        after.append(fitted(model, epochs=2))
    assert error(after[0], after[1]) < 1e-5
    assert error(after[0], after[2]) < 1e-5


# Of four steps each: before and after the first step that is rectified.
@pytest.mark.parametrize("epochs", [1, 2])
def test_save_load_and_continue(tmp_path, epochs):
    models = [network(), network()]
    for model in models:
        model.compile(RAdam(0.01), "mse", jit_compile=False)
        fitted(model, epochs)
    uninterrupted, interrupted = models
    interrupted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is RAdam
    assert int(loaded.optimizer.iterations) == 4 * epochs
    assert error(fitted(loaded, epochs=2), fitted(uninterrupted, epochs=2)) == 0


def test_update_step_takes_a_plain_learning_rate():
    weights, gradients = weights_and_gradients(8)
    variables = [keras.Variable(w, dtype="float32") for w in weights]
    optimizer = RAdam(0.01)
    optimizer.build(variables)
    for of_step in gradients:
        for g, v in zip(of_step, variables, strict=True):
            g = ops.convert_to_tensor(g, dtype="float32")
            optimizer.update_step(g, v, optimizer.learning_rate)
        optimizer.iterations.assign_add(1)
    ours = [to_float64(v) for v in variables]
    assert error(ours, twins(weights, gradients, learning_rate=0.01)) < 1e-6
