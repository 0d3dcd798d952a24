"""Steps on gradients that are not finite: what they reach, and what they do not."""

import keras
import numpy as np
import pytest
from keras import ops, optimizers
from support import reference
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD, RAdam
from keras_wgd.optimizers.means import MEANS

BACKEND = keras.backend.backend()
both = pytest.mark.parametrize("placement", ["gradient", "update"])
AT = (1, 2, 0, 3)


def step(optimizer, model, gradients):
    """One step on given gradients, which come as the backend's trainer brings them."""
    variables = model.trainable_variables
    if not optimizer.built:
        optimizer.build(variables)
    tensors = [ops.convert_to_tensor(g) for g in gradients]
    if BACKEND == "jax":
        state = [*variables, *optimizer.variables]
        before = [variable.value for variable in state]
        new = optimizer.stateless_apply(
            before[len(variables) :], tensors, before[: len(variables)]
        )
        for variable, value in zip(state, [*new[0], *new[1]], strict=True):
            variable.assign(value)
        return values(variables)
    if BACKEND == "torch":
        for variable, tensor in zip(variables, tensors, strict=True):
            variable.value.grad = tensor
        tensors = [variable.value.grad for variable in variables]
    optimizer.apply(tensors, variables)
    return values(variables)


def drawn(model):
    generator = np.random.default_rng(0)
    shapes = [variable.shape for variable in model.trainable_variables]
    return [generator.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mean_over", MEANS)
@both
@pytest.mark.parametrize("make", [lambda: optimizers.SGD(0.1), lambda: RAdam(0.1)])
def test_what_is_not_finite_stays_in_the_sets_of_its_mean(
    make, placement, mean_over, bad
):
    keras.utils.set_random_seed(0)
    model = convnet()
    start = model.get_weights()
    gradients = drawn(model)
    wanted = step(WGD(make(), mean_over, placement, model), model, gradients)
    model.set_weights(start)
    gradients[0][AT] = bad
    got = step(WGD(make(), mean_over, placement, model), model, gradients)
    marked = np.zeros(gradients[0].shape)
    marked[AT] = np.nan
    reached = np.isnan(reference.whiten(marked, "standard", mean_over))
    assert 1 < reached.sum() < reached.size
    assert not np.isfinite(got[0][reached]).any()
    # All else is what it would have been, bit for bit.
    np.testing.assert_array_equal(got[0][~reached], wanted[0][~reached])
    for a, b in zip(got[1:], wanted[1:], strict=True):
        np.testing.assert_array_equal(a, b)


@both
def test_a_nan_in_what_is_not_centered_is_the_plain_steps(placement):
    steps = []
    for wrap in (lambda inner: inner, lambda inner: WGD(inner, placement=placement)):
        keras.utils.set_random_seed(0)
        model = convnet()
        optimizer = wrap(optimizers.SGD(0.1))
        optimizer.build(model.trainable_variables)
        gradients = drawn(model)
        gradients[-2][0, 0] = np.nan
        steps.append(step(optimizer, model, gradients)[-2])
    np.testing.assert_array_equal(*steps)
    assert np.isnan(steps[1]).sum() == 1


def scaled(inner):
    return optimizers.LossScaleOptimizer(inner, initial_scale=2.0**10)


@pytest.mark.usefixtures("half_precision")
@both
@pytest.mark.parametrize("wrap", [lambda inner: inner, scaled], ids=["compile", "own"])
def test_an_overflow_halves_the_scale_and_moves_nothing(wrap, placement):
    """Also where a single gradient of a single kernel has overflowed."""
    keras.utils.set_random_seed(0)
    model = convnet()
    wgd = WGD(RAdam(0.01), placement=placement, kernels=model)
    compiled(model, wrap(wgd))
    outer = model.optimizer
    assert type(outer) is optimizers.LossScaleOptimizer
    assert outer.inner_optimizer is wgd
    x, y = images(model)
    model.train_on_batch(x, y)
    state = values(model.variables + wgd.variables)
    scale = float(outer.dynamic_scale)
    gradients = drawn(model)
    gradients[0][AT] = np.inf
    for count, overflow in enumerate(
        (
            lambda: model.train_on_batch(x * 1e30, y),
            lambda: step(outer, model, gradients),
        ),
        1,
    ):
        overflow()
        for a, b in zip(values(model.variables + wgd.variables), state, strict=True):
            np.testing.assert_array_equal(a, b)
        assert float(outer.dynamic_scale) == scale / 2**count
    model.train_on_batch(x, y)
    moved = values(model.trainable_variables)
    assert all(np.isfinite(a).all() for a in moved)
    assert any((a != b).any() for a, b in zip(moved, state, strict=False))
    assert len(wgd.whitened_variables) == 2
