"""Centering under each of Keras's dtype policies."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops, optimizers
from support import reference
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD, RAdam

# The dtype of the weights under each policy.
POLICIES = {
    "float16": "float16",
    "bfloat16": "bfloat16",
    "mixed_float16": "float32",
    "mixed_bfloat16": "float32",
    "float64": "float64",
}
UNIT_ROUNDOFF = {
    "float16": 2**-11,
    "bfloat16": 2**-8,
    "float32": 2**-24,
    "float64": 2**-53,
}
INNER = {
    "momentum": lambda: optimizers.SGD(0.5, momentum=0.9),
    "adam": lambda: optimizers.Adam(0.01),
    "radam": lambda: RAdam(0.01),
}
placements = pytest.mark.parametrize("placement", ["gradient", "update"])


@pytest.fixture(params=POLICIES)
def dtype(request):
    """The dtype of the weights under a policy, which is set meanwhile."""
    with contextlib.ExitStack() as stack:
        if request.param == "float64" and keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        before = keras.config.dtype_policy()
        stack.callback(keras.config.set_dtype_policy, before)
        keras.config.set_dtype_policy(request.param)
        yield POLICIES[request.param]


def doubles(tensors):
    return [value.astype("float64") for value in values(tensors)]


@placements
def test_step_equals_numpy_within_the_resolution(dtype, placement):
    model = convnet()
    optimizer = WGD(optimizers.SGD(0.5), "fan_in", placement)
    variables = model.trainable_variables
    generator = np.random.default_rng(0)
    gradients = [ops.cast(generator.normal(size=v.shape), dtype) for v in variables]
    drawn, before = doubles(gradients), doubles(variables)
    optimizer.apply(gradients, variables)
    assert set(dtypes(variables)) == {dtype}
    for w, g, after in zip(before, drawn, doubles(variables), strict=True):
        h = reference.whiten(g, "standard", "fan_in") if g.ndim == 4 else g
        largest = np.abs(w).max() + np.abs(g).max()
        error = np.abs(after - (w - 0.5 * h)).max()
        assert error <= 2 * UNIT_ROUNDOFF[dtype] * largest
        assert (after != w).mean() > 0.9


def dtypes(variables):
    return [keras.backend.standardize_dtype(variable.dtype) for variable in variables]


@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_state_has_the_dtypes_of_the_plain_optimizer(dtype, inner):
    variables = convnet().trainable_variables
    plain, wrapped = inner(), WGD(inner())
    for optimizer in (plain, wrapped):
        optimizer.build(variables)
    assert dtypes(wrapped.variables) == dtypes(plain.variables)
    assert dtype in dtypes(wrapped.variables)


def test_training_moves_no_mean(dtype):
    keras.utils.set_random_seed(0)
    model = compiled(convnet(), WGD(RAdam(0.01), "fan_in", "update"))
    before = doubles(model.trainable_variables)
    x, y = images(model)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    for w, after in zip(before, doubles(model.trainable_variables), strict=True):
        assert np.abs(after - w).max() > 1e-3
        if w.ndim == 4:
            moved = np.abs((after - w).mean((0, 1, 2))).max()
            assert moved <= 2 * UNIT_ROUNDOFF[dtype] * np.abs(after).max()
