"""RAdam on gradients and variables that only TensorFlow or PyTorch has."""

import keras
import numpy as np
import pytest
from support import reference
from support.networks import graphs_are_whole
from support.radam_steps import error, to_float64, twins, weights_and_gradients

from keras_wgd.optimizers.radam import RAdam

BACKEND = keras.backend.backend()
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")


@on_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_indexed_slices_repeat_indices(dtype):
    import tensorflow as tf

    values = tf.constant([[1.0], [1.0], [2.0]], dtype)
    slices = tf.IndexedSlices(values, tf.constant([0, 2, 2]), tf.constant([4, 1]))
    dense = np.array([[1.0], [0.0], [3.0], [0.0]])
    variable = keras.Variable(np.ones((4, 1)), dtype=dtype)
    optimizer = RAdam(0.01)
    for _ in range(8):
        optimizer.apply([slices], [variable])
    twin = reference.radam(np.ones((4, 1)), [dense] * 8, 0.01)
    bound = 1e-6 if dtype == "float32" else 8 * 2.0**-8
    np.testing.assert_allclose(to_float64(variable), twin, atol=bound)


@on_tensorflow
@pytest.mark.parametrize("distributed", [False, True])
def test_native_variables_and_strategies(distributed):
    import tensorflow as tf

    strategy = (
        tf.distribute.MirroredStrategy(["CPU:0"])
        if distributed
        else tf.distribute.get_strategy()
    )
    gradients = np.array([0.5, 3.0]) * np.arange(1.0, 9.0)[:, None]
    with strategy.scope():
        variable = tf.Variable([1.0, 2.0])
        optimizer = RAdam(0.01, weight_decay=0.1)
        optimizer.build([variable])

    @tf.function
    def step(gradient):
        # Not `gradient` itself: MirroredStrategy asks for its device.
        optimizer.apply([gradient * 1.0], [variable])

    for gradient in gradients.astype("float32"):
        strategy.run(step, args=(gradient,))
    twin = reference.radam([1.0, 2.0], gradients, 0.01, weight_decay=0.1)
    np.testing.assert_allclose(variable.numpy(), twin, atol=1e-6)


@on_torch
def test_torch_compiles_the_step_in_one_graph():
    """`fullgraph` also fails if the step waits for a value on the device."""
    import torch

    weights, gradients = weights_and_gradients(8)
    variables = [keras.Variable(w, dtype="float32") for w in weights]
    optimizer = RAdam(0.01, weight_decay=0.1)
    optimizer.build(variables)

    @torch.compile(fullgraph=graphs_are_whole(), backend="aot_eager")
    def step(of_step):
        optimizer.apply(of_step, variables)

    for of_step in gradients:
        step([torch.tensor(g, dtype=torch.float32) for g in of_step])
    ours = [to_float64(v) for v in variables]
    twin = twins(weights, gradients, learning_rate=0.01, weight_decay=0.1)
    assert error(ours, twin) < 1e-6


@on_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_weights_in_another_order_of_memory(dtype):
    """The fused step would pair elements in the wrong order."""
    import torch

    weights, gradients = weights_and_gradients(20)
    trained_twins = twins(weights, gradients, learning_rate=0.01)
    variables = [keras.Variable(w, dtype=dtype) for w in weights]
    for variable in variables:
        axes = tuple(reversed(range(variable.ndim)))
        reversed_memory = variable.value.data.permute(axes).contiguous()
        variable.value.data = reversed_memory.permute(axes)
    assert not all(v.value.is_contiguous() for v in variables)
    optimizer = RAdam(0.01)
    for of_step in gradients:
        tensors = [torch.tensor(g, dtype=getattr(torch, dtype)) for g in of_step]
        optimizer.apply(tensors, variables)
    assert error([to_float64(v) for v in variables], trained_twins) < 1e-6


@on_torch
def test_torch_gradients_sparse_and_of_another_dtype():
    import torch

    dense = torch.tensor([[1.0], [0.0], [3.0]])
    with torch.sparse.check_sparse_tensor_invariants():
        sparse = torch.sparse_coo_tensor(
            torch.tensor([[0, 2, 2]]), torch.tensor([[1.0], [1.0], [2.0]]), (3, 1)
        )
    twin = reference.radam(np.ones((3, 1)), [dense.numpy()] * 8, 0.01)
    for gradient in (sparse, dense.double()):
        variable = keras.Variable(np.ones((3, 1)), dtype="float32")
        optimizer = RAdam(0.01)
        for _ in range(8):
            optimizer.apply([gradient], [variable])
        np.testing.assert_allclose(to_float64(variable), twin, atol=1e-6)
