"""Inner optimizers whose variables change."""

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers
from support import reference
from support.networks import compiled, images, values

from keras_wgd import WGD, WhiteningMonitor, conv_kernels

placements = pytest.mark.parametrize("placement", ["gradient", "update"])


def stack():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.Conv2D(5, 3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def reset(optimizer, variables):
    optimizer.built = False
    optimizer.build(variables)


def steps_of_fit(model, **options):
    kernels = [layer.kernel for layer in model.layers[:2]]
    before = values(kernels)
    model.fit(*images(model), verbose=0, **options)
    return [after - b for after, b in zip(values(kernels), before, strict=True)]


def is_centered(step):
    return abs(step.mean(-1)).max() < 1e-5 * abs(step).max()


@placements
@pytest.mark.parametrize("by_layers", [False, True])
def test_unfreeze_and_rebuild(by_layers, placement):
    model = stack()
    model.layers[0].trainable = False
    kernels = model if by_layers else None
    optimizer = WGD(optimizers.SGD(0.1), placement=placement, kernels=kernels)
    first, second = steps_of_fit(compiled(model, optimizer))
    assert not first.any()
    assert is_centered(second)
    assert optimizer.whitened_variables == [model.layers[1].kernel]
    model.layers[0].trainable = True
    reset(optimizer, model.trainable_variables)
    for step in steps_of_fit(compiled(model, optimizer)):
        assert step.any()
        assert is_centered(step)
    assert optimizer.whitened_variables == [x.kernel for x in model.layers[:2]]
    text = []
    optimizer.summary(text.append)
    assert "2 of 6 trainable variables" in text[0]


@pytest.mark.parametrize("wrap", [lambda inner: inner, WGD], ids=["plain", "wgd"])
def test_freeze_and_rebuild(wrap):
    model = stack()
    optimizer = wrap(optimizers.SGD(0.1))
    steps_of_fit(compiled(model, optimizer))
    model.layers[1].trainable = False
    reset(optimizer, model.trainable_variables)
    compiled(model, optimizer)
    if keras.backend.backend() == "jax":  # so do Keras's own optimizers
        with pytest.raises(ValueError, match="gradients must match"):
            steps_of_fit(model)
        return
    first, second = steps_of_fit(model)
    assert is_centered(first) == (wrap is WGD)
    assert not second.any()
    if wrap is WGD:
        assert optimizer.whitened_variables == [model.layers[0].kernel]


def kernel(name, shape=(3, 3, 2, 4)):
    with keras.name_scope(name):
        return keras.Variable(np.zeros(shape, "float32"), name="kernel")


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def assert_one_centered_step(optimizer, variables):
    for variable in variables:
        variable.assign(np.zeros(variable.shape))
    gradients = [drawn(v.shape, seed) for seed, v in enumerate(variables)]
    optimizer.apply([ops.convert_to_tensor(g) for g in gradients], variables)
    for value, gradient in zip(values(variables), gradients, strict=True):
        wanted = -reference.whiten(gradient, "standard", "filters")
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6)


@placements
def test_inner_optimizer_built_anew_by_itself(placement):
    inner = optimizers.SGD(1.0)
    optimizer = WGD(inner, placement=placement)
    a, b, c = (kernel(name, (3, 3, i, 4)) for i, name in enumerate("abc", 2))
    for variables in ([b], [a, b], [c, b, a], [a, b]):
        inner.built = False
        inner.build(variables)
        assert optimizer.whitened_variables == variables
        assert_one_centered_step(optimizer, variables)


@placements
def test_inner_optimizer_replaced(placement):
    optimizer = WGD(optimizers.SGD(0.1), placement=placement)
    variables = [kernel("a"), kernel("b")]
    optimizer.build(variables)
    optimizer.inner_optimizer = optimizers.SGD(1.0)
    assert not optimizer.built
    assert optimizer.whitened_variables == []
    assert_one_centered_step(optimizer, variables)


@placements
def test_layers_added_to_the_model(placement):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="a")])
    optimizer = WGD(optimizers.SGD(1.0), placement=placement, kernels=model)
    optimizer.build(model.trainable_variables)
    model.add(layers.Conv2D(5, 3, name="stem"))
    reset(optimizer, model.trainable_variables)
    kernels = [k.variable for k in conv_kernels(model)]
    assert len(kernels) == 2
    assert optimizer.whitened_variables == kernels
    assert_one_centered_step(optimizer, kernels)


class NoList(optimizers.SGD):
    """An optimizer that overrides `build` and keeps no list of variables."""

    def build(self, variables):
        self.momentums = []
        self.built = True

    def apply(self, grads, trainable_variables=None):
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            variable.assign(variable - self.learning_rate * gradient)


def test_inner_optimizer_that_keeps_no_variables():
    optimizer = WGD(NoList(1.0))
    first, second = kernel("a"), kernel("b", (3, 3, 4, 2))
    optimizer.build([first])
    assert_one_centered_step(optimizer, [first])
    assert optimizer.whitened_variables == [first]
    # It accepts variables that it was not built on.
    assert_one_centered_step(optimizer, [second, first])
    assert_one_centered_step(optimizer, [second])


def test_norms_after_a_rebuild():
    model = stack()
    model.layers[0].trainable = False
    optimizer = WGD(optimizers.SGD(0.1))
    monitor = WhiteningMonitor()
    steps_of_fit(compiled(model, optimizer), callbacks=[monitor])
    paths = [f"whitening_ratio/{layer.kernel.path}" for layer in model.layers[:2]]
    assert paths[0] not in monitor.history
    assert 0 < monitor.history[paths[1]][0] < 1
    model.layers[0].trainable = True
    reset(optimizer, model.trainable_variables)
    steps_of_fit(compiled(model, optimizer), callbacks=[monitor])
    assert all(0 < monitor.history[path][0] < 1 for path in paths)


def test_second_build_changes_nothing():
    """Keras's own optimizers build once, too."""
    optimizer = WGD(optimizers.SGD(1.0))
    first, second = [kernel("a")], [kernel("b")]
    optimizer.build(first)
    optimizer.build(second)
    assert optimizer.whitened_variables == first
    gradient = drawn((3, 3, 2, 4))
    optimizer.apply([ops.convert_to_tensor(gradient)])
    wanted = -reference.whiten(gradient, "standard", "filters")
    np.testing.assert_allclose(values(first)[0], wanted, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([ops.convert_to_tensor(gradient)], second)
    assert optimizer.whitened_variables == first
    optimizer.apply([ops.convert_to_tensor(gradient)])
