"""Derivatives through a step, as in meta-learning, on JAX."""

import keras
import numpy as np
import pytest
from keras import optimizers
from support import reference

from keras_wgd import WGD, RAdam
from keras_wgd.optimizers.means import MEANS

if keras.backend.backend() != "jax":
    pytest.skip("the other backends step outside of differentiation", True)

import jax

SHAPE = (2, 2, 3, 4)
INNER = {
    "sgd": lambda: optimizers.SGD(0.5),
    "decay": lambda: optimizers.SGD(0.5, weight_decay=0.25),
    "momentum": lambda: optimizers.SGD(0.5, momentum=0.5),
    "adam": lambda: optimizers.Adam(0.5, epsilon=1.0),
    "radam": lambda: RAdam(0.5, beta_2=0.9, epsilon=1.0),
}


def centering(mean_over):
    """The matrix that centers a kernel written as a vector."""
    size = np.prod(SHAPE)
    columns = [
        reference.whiten(row.reshape(SHAPE), "standard", mean_over).ravel()
        for row in np.eye(size)
    ]
    return np.stack(columns, axis=1)


def drawn():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


def jacobians(optimizer, gradient):
    """The Jacobians of the new weights: by the old weights, and by the gradient."""
    with keras.name_scope("conv2d"):
        variable = keras.Variable(drawn()[0], name="kernel")
    optimizer.build([variable])
    state = [v.value for v in optimizer.variables]

    def step(weights, gradient):
        return optimizer.stateless_apply(state, [gradient], [weights])[0][0].ravel()

    by_both = jax.jacobian(step, argnums=(0, 1))(variable.value, gradient)
    size = np.prod(SHAPE)
    return [np.asarray(j).reshape(size, size).astype("float64") for j in by_both]


@pytest.mark.parametrize("mean_over", MEANS)
@pytest.mark.parametrize("placement", ["gradient", "update"])
@pytest.mark.parametrize("inner", INNER)
def test_jacobians(inner, placement, mean_over):
    gradient = drawn()[1]
    got = jacobians(WGD(INNER[inner](), mean_over, placement), gradient)
    identity, matrix = np.eye(np.prod(SHAPE)), centering(mean_over)
    if placement == "gradient":
        centered = (matrix @ gradient.ravel()).reshape(SHAPE).astype("float32")
        by_weights, by_gradient = jacobians(INNER[inner](), centered)
        wanted = by_weights, by_gradient @ matrix
    else:
        by_weights, by_gradient = jacobians(INNER[inner](), gradient)
        wanted = identity + matrix @ (by_weights - identity), matrix @ by_gradient
    assert abs(got[1]).max() > 1e-4
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_vmap(placement):
    optimizer = WGD(optimizers.SGD(0.5), placement=placement)
    with keras.name_scope("conv2d"):
        variable = keras.Variable(drawn()[0], name="kernel")
    optimizer.build([variable])
    state = [v.value for v in optimizer.variables]
    generator = np.random.default_rng(0)
    weights, gradients = generator.normal(size=(2, 5, *SHAPE)).astype("float32")

    def step(weights, gradient):
        return optimizer.stateless_apply(state, [gradient], [weights])[0][0]

    got = np.asarray(jax.vmap(step)(weights, gradients))
    for new, old, gradient in zip(got, weights, gradients, strict=True):
        wanted = old - 0.5 * reference.whiten(gradient, "standard", "filters")
        np.testing.assert_allclose(new, wanted, rtol=0, atol=1e-6)
