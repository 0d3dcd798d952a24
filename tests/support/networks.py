"""Small networks that the tests share."""

import contextlib
import functools

import keras
import numpy as np
from keras import layers


def every_layer_type():
    """A linear model with a kernel of each type in the library's table."""
    x = keras.Input((8, 8, 4))
    line, block = layers.Reshape((16, 16))(x), layers.Reshape((4, 4, 4, 4))(x)
    branches = [
        layers.Conv2D(6, 3)(x),
        layers.Conv2D(6, 3, groups=2, name="grouped")(x),
        layers.Conv2D(1, 1, name="one_filter")(x),
        layers.DepthwiseConv2D(3, name="one_each")(x),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="two_each")(x),
        layers.SeparableConv2D(5, 3, depth_multiplier=2)(x),
        layers.Conv2DTranspose(3, 3, name="up")(x),
        layers.Conv1D(6, 3)(line),
        layers.DepthwiseConv1D(3)(line),
        layers.SeparableConv1D(4, 3)(line),
        layers.Conv1DTranspose(3, 3)(line),
        layers.Conv3D(5, 2)(block),
        layers.Conv3DTranspose(3, 2)(block),
    ]
    flat = layers.concatenate([layers.Flatten()(branch) for branch in branches])
    return keras.Model(x, layers.Dense(3)(flat))


def convnet(**first):
    """Two convolutions and a head: the smallest network with a kernel to center."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, activation="relu", name="first", **first),
            layers.Conv2D(4, 3, name="second"),
            layers.Flatten(),
            layers.Dense(3, name="head"),
        ]
    )


def sequential(*stack, shape=(8, 8, 3)):
    """The layers one after another, on inputs of a shape."""
    return keras.Sequential([keras.Input(shape), *stack])


def images(model, samples=16, seed=0):
    """Inputs and labels that fit a model of this file."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples, *model.input_shape[1:])).astype("float32")
    return x, generator.integers(0, 3, size=samples)


def values(variables):
    """Copies of the variables' values, as NumPy arrays."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def compiled(model, optimizer, **options):
    """The model, compiled for the labels of `images`."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, **options)
    return model


@functools.cache
def graphs_are_whole():
    """Whether torch.compile makes one graph of Keras's own Adam: not in Keras 3.10."""
    import torch

    variable = keras.Variable([1.0])
    adam = keras.optimizers.Adam()
    adam.build([variable])
    step = torch.compile(adam.apply, fullgraph=True, backend="aot_eager")
    try:
        with torch.no_grad():
            step([torch.ones(1)], [variable])
    except torch._dynamo.exc.Unsupported:
        return False
    return True


@contextlib.contextmanager
def float64():
    """Let JAX keep 64-bit numbers meanwhile."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    # New versions have it among the public names, and will drop the other.
    with (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64(True):
        yield
