"""The numbers of RAdam, against its twin in NumPy and torch.optim.RAdam."""

from decimal import Decimal

import keras
import numpy as np
import pytest
from keras import ops
from support.networks import float64
from support.radam_steps import (
    error,
    to_float64,
    trained,
    twins,
    weights_and_gradients,
)

from keras_wgd.optimizers import radam
from keras_wgd.optimizers.radam import RAdam

BACKEND = keras.backend.backend()


def torch_radam(weights, gradients, learning_rate, beta_2, **kwargs):
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer = torch.optim.RAdam(
        parameters, lr=learning_rate, betas=(0.9, beta_2), foreach=False, **kwargs
    )
    for of_step in gradients:
        for parameter, g in zip(parameters, of_step, strict=True):
            parameter.grad = torch.tensor(g)
        optimizer.step()
    return [p.detach().numpy() for p in parameters]


@pytest.mark.any_backend
@pytest.mark.parametrize("beta_2", [0.999, 0.9999])
def test_twin_is_torch_radam(beta_2):
    weights, gradients = weights_and_gradients(200)
    twin = twins(
        weights, gradients, learning_rate=0.01, beta_2=beta_2, weight_decay=0.1
    )
    theirs = torch_radam(
        weights,
        gradients,
        learning_rate=0.01,
        beta_2=beta_2,
        weight_decay=0.1,
        decoupled_weight_decay=True,
    )
    assert error(twin, theirs) < 1e-11


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
@pytest.mark.parametrize("beta_2", [0.999, 0.9999])
def test_200_steps_in_float32(beta_2, early_steps):
    weights, gradients = weights_and_gradients(200)
    optimizer = RAdam(0.01, beta_2=beta_2, early_steps=early_steps)
    ours = trained(optimizer, weights, gradients)
    kwargs = {"learning_rate": 0.01, "beta_2": beta_2}
    twin = twins(weights, gradients, early_steps=early_steps, **kwargs)
    assert error(weights, twin) > 0.05
    assert error(ours, twin) < 1e-6


def test_200_steps_in_float64():
    weights, gradients = weights_and_gradients(200)
    # A power of two: Keras keeps the learning rate in float32.
    with float64():
        ours = trained(RAdam(2.0**-7), weights, gradients, "float64")
    assert error(ours, twins(weights, gradients, learning_rate=2.0**-7)) < 1e-12


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """The step is computed in float32, and rounded when it is stored."""
    weights, gradients = weights_and_gradients(20, smallest=0.3)
    ours = trained(RAdam(0.01), weights, gradients, dtype)
    twin = twins(weights, gradients, learning_rate=0.01)
    precision = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert error(ours, twin) < 5 * precision


def test_mixed_dtypes_in_one_step():
    variables = [keras.Variable([1.0, 2.0], dtype=d) for d in ("float16", "float32")]
    RAdam(0.5).apply([ops.ones(2, dtype=v.dtype) for v in variables], variables)
    for v in variables:
        np.testing.assert_allclose(to_float64(v), [0.5, 1.5], rtol=1e-3)


@pytest.mark.parametrize("beta_2", [0.9, 0.99, 0.999, 0.9999, 0.99999])
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 5e-7), ("float64", 1e-9)])
def test_rho(beta_2, dtype, bound):
    steps = np.unique(np.geomspace(1, 1e6, 300).astype("int64"))
    # The paper's formula in 28 digits; in float64 its error is 1e-7.
    b = Decimal(beta_2)
    exact = [2 / (1 - b) - 1 - 2 * t * b**t / (1 - b**t) for t in steps.tolist()]
    with float64():
        ours = radam._rho(beta_2, ops.cast(ops.convert_to_tensor(steps), dtype))
        ours = ops.convert_to_numpy(ours)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, np.array(exact, "float64"), rtol=bound)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999, 0.99999])
def test_bias_correction(beta):
    t = np.array([1.0, 2.0, 5.0, 1e3, 1e6], dtype="float32")
    ours = radam._bias_correction(beta, ops.convert_to_tensor(t))
    exact = 1 - beta ** t.astype("float64")
    np.testing.assert_allclose(ops.convert_to_numpy(ours), exact, rtol=5e-7)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"beta_1": 0.0},
        {"beta_2": 0.0},  # up to 2/3 no step is rectified
        {"beta_2": 0.5},
        {"beta_2": 0.6},
        {"beta_2": 2 / 3},
        {"beta_2": 0.67},
        {"beta_2": 0.7, "rho_threshold": 4},
        {"rho_threshold": 4.0},
        {"rho_threshold": 10.5},
        {"epsilon": 0.1},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "early_steps": "skip"},
    ],
    ids=str,
)
def test_arguments(kwargs):
    weights, gradients = weights_and_gradients(20)
    ours = trained(RAdam(0.01, **kwargs), weights, gradients)
    assert error(ours, twins(weights, gradients, learning_rate=0.01, **kwargs)) < 1e-6


def test_skip_leaves_the_weights_and_not_the_moments():
    weights, gradients = weights_and_gradients(6)
    optimizer = RAdam(0.01, early_steps="skip")
    assert error(trained(optimizer, weights, gradients[:5]), weights) == 0
    for momentum in optimizer._momentums:
        assert np.all(to_float64(momentum).ravel()[1:] != 0)
    assert error(trained(RAdam(early_steps="skip"), weights, gradients), weights) > 0


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
def test_learning_rate_zero(early_steps):
    weights, gradients = weights_and_gradients(8)
    ours = trained(RAdam(0.0, early_steps=early_steps), weights, gradients)
    assert error(ours, weights) == 0


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
def test_overflowed_velocity(early_steps):
    weights, gradients = [np.ones(2)], [[np.array([1e22, 1.0])]] * 8
    ours = trained(RAdam(1e-30, early_steps=early_steps), weights, gradients)
    np.testing.assert_allclose(ours[0], 1.0, atol=1e-6)


@pytest.fixture
def numeric_checks():
    """Infinities and NaN raise an error; PyTorch has no such check."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.debugging.enable_check_numerics()
        yield
        tf.debugging.disable_check_numerics()
    elif BACKEND == "jax":
        import jax

        with jax.debug_infs(True), jax.debug_nans(True):
            yield
    else:
        yield


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.9), (0.9, 0.99999)], ids=str)
def test_no_infinity_in_a_step(numeric_checks, betas, early_steps):
    optimizer = RAdam(0.5, *betas, early_steps=early_steps)
    variable = keras.Variable(np.ones(3, "float32"))
    optimizer.build([variable])
    for iterations in (0, 4, 5, 10**3, 10**5, 10**7):
        optimizer.iterations.assign(iterations)
        optimizer.apply([ops.ones(3)], [variable])
        assert np.isfinite(to_float64(variable)).all()
    if betas[0] == 0 and early_steps == "momentum":
        optimizer.iterations.assign(0)
        variable.assign(np.ones(3))
        optimizer.apply([2 * ops.ones(3)], [variable])
        np.testing.assert_array_equal(to_float64(variable), [0, 0, 0])


def test_no_average_of_the_squares(numeric_checks):
    """With beta_2 = 0 no step is rectified: RAdam is momentum."""
    variable = keras.Variable(np.ones(3, "float32"))
    RAdam(0.5, 0.0, 0.0).apply([ops.ones(3)], [variable])
    np.testing.assert_array_equal(to_float64(variable), [0.5, 0.5, 0.5])


def test_zero_gradient_moves_nothing():
    weights = [np.ones(3)]
    assert error(trained(RAdam(0.1), weights, [[np.zeros(3)]] * 8), weights) == 0


def test_single_step():
    variable = keras.Variable([1.0, 2.0, 3.0, 4.0])
    gradient = ops.array([1.0, 6.0, 7.0, 2.0])
    RAdam(0.5).apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(to_float64(variable), [0.5, -1.0, -0.5, 3.0], rtol=1e-6)


def test_correctness_with_golden():
    optimizer = RAdam()
    x = keras.Variable(np.ones(2, dtype="float32"))
    first, later = ops.full((2,), 0.01), ops.array([0.1, 1.0])
    golden = [
        [0.99999, 0.99999],
        [0.9999326, 0.9994589],
        [0.9998595, 0.9987549],
        [0.9997786, 0.9979647],
        [0.999693, 0.9971233],
        [0.999668, 0.9970986],
        [0.9996359, 0.9970668],
        [0.9995977, 0.9970288],
    ]
    optimizer.apply_gradients([(first, x)])
    for values in golden:
        np.testing.assert_allclose(to_float64(x), values, atol=1e-7)
        optimizer.apply_gradients([(later, x)])
