"""The transparent wrapper, with another transformation of the gradients on top."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops, optimizers
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD
from keras_wgd.optimizers.wrapper import OptimizerWrapper


class Sign(OptimizerWrapper):
    """Steps by the signs of the gradients."""

    def _transform(self, gradients, variables):
        return [None if g is None else ops.sign(g) for g in gradients]


class Counter:
    """Counts the steps, and what is transformed in them."""

    def __init__(self):
        self.counts = keras.Variable(np.zeros(2), name="counts", trainable=False)
        self.variables = [self.counts]

    def measure(self, transform, gradients, variables):
        self.counts.assign(self.counts + np.array([1, len(gradients)], "float32"))
        return transform(gradients, variables)


@pytest.mark.parametrize("monitored", [False, True])
def test_second_transformation(monitored):
    model = convnet()
    optimizer = Sign(optimizers.SGD(0.5))
    optimizer.build(model.trainable_variables)
    count = len(optimizer.variables)
    monitor = Counter()
    if monitored:
        optimizer._monitor = monitor
    assert len(optimizer.variables) == count + monitored
    compiled(model, optimizer)
    before = values(model.trainable_variables)
    model.fit(*images(model), batch_size=16, verbose=0)
    for old, new in zip(before, values(model.trainable_variables), strict=True):
        moved = np.abs(new - old)
        assert (np.isclose(moved, 0.5) | (moved == 0)).all()
        assert moved.any()
    steps = [1, len(before)] if monitored else [0, 0]
    np.testing.assert_array_equal(values([monitor.counts])[0], steps)


def test_every_attribute_of_keras_is_forwarded():
    """An attribute that Keras's `__init__` sets would hide the inner optimizer's."""
    inner = optimizers.SGD(0.5, clipnorm=1.0, use_ema=True, loss_scale_factor=2.0)
    optimizer = Sign(inner)
    optimizer.build(convnet().trainable_variables)
    own = {"name", "inner_optimizer", "_lock", "_tracker"}
    own |= {"_distribution_strategy"}  # TensorFlow's
    hidden = {name for name in vars(optimizer) if not name.startswith("_self_")}
    assert hidden <= own
    private = {"_iterations", "_learning_rate", "_model_variables_moving_average"}
    private |= {"_trainable_variables", "_trainable_variables_indices", "_variables"}
    public = {name for name in vars(inner) if not name.startswith("_")}
    for name in (public | private | {"iterations", "learning_rate"}) - own:
        assert getattr(optimizer, name) is getattr(inner, name)


@pytest.mark.parametrize("name", ["clipnorm", "momentum", "weight_decay"])
def test_attributes_are_set_on_the_inner_optimizer(name):
    inner = optimizers.SGD(0.5)
    setattr(WGD(inner), name, 0.25)
    assert getattr(inner, name) == 0.25


def test_methods_called_on_the_class():
    optimizer = WGD(optimizers.SGD(0.5, loss_scale_factor=2.0))
    assert WGD.scale_loss(optimizer, 3.0) == 6.0
    WGD.learning_rate.fset(optimizer, 0.25)
    assert float(optimizer.inner_optimizer.learning_rate) == 0.25
    keras_own = inspect.signature(optimizers.Optimizer.assign)
    assert inspect.signature(WGD.assign) == keras_own


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_tensorflow_checkpoint(tmp_path):
    import tensorflow as tf

    def names(optimizer):
        path = str(tmp_path / optimizer.name)
        path = tf.train.Checkpoint(optimizer=optimizer).save(path)
        return {name for name, _ in tf.train.list_variables(path)}, path

    inner = optimizers.Adam()
    optimizer = WGD(inner)
    optimizer.build(convnet().trainable_variables)
    plain, _ = names(inner)
    wrapped, path = names(optimizer)
    start = "optimizer/inner_optimizer/"
    assert {name.replace(start, "optimizer/") for name in wrapped} == plain
    assert all(name.startswith(start) for name in wrapped if "optimizer" in name)
    status = tf.train.Checkpoint(optimizer=optimizer).restore(path)
    status.assert_existing_objects_matched()
