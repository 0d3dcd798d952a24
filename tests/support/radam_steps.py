"""Steps of RAdam, and of its twin in NumPy."""

import keras
import numpy as np
from keras import ops

from support import reference

SHAPES = [(3, 3, 2, 4), (4,), (), (4,)]


def weights_and_gradients(steps, smallest=1e-4):
    """Weights of each shape, and gradients of many sizes; those of one weight are 0."""
    generator = np.random.default_rng(0)
    weights = [0.1 * generator.normal(size=shape) for shape in SHAPES]
    exponents = [generator.uniform(np.log10(smallest), 1, shape) for shape in SHAPES]
    gradients = [
        [10.0**e * generator.normal(0.5, size=np.shape(e)) for e in exponents]
        for _ in range(steps)
    ]
    for of_step in gradients:
        of_step[1][0] = 0.0
    # Rounded to float32, so that float32 and float64 start equal.
    weights = [w.astype("float32").astype("float64") for w in weights]
    gradients = [
        [g.astype("float32").astype("float64") for g in of_step]
        for of_step in gradients
    ]
    return weights, gradients


def trained(optimizer, weights, gradients, dtype="float32"):
    """The weights, in float64, after a step of the optimizer for each gradient."""
    variables = [keras.Variable(w, dtype=dtype) for w in weights]
    optimizer.build(variables)
    for of_step in gradients:
        step = [ops.convert_to_tensor(g, dtype=dtype) for g in of_step]
        optimizer.apply(step, variables)
    return [to_float64(v) for v in variables]


def to_float64(x):
    dtype = "float64" if x.dtype == "float64" else "float32"
    return ops.convert_to_numpy(ops.cast(x, dtype)).astype("float64")


def twins(weights, gradients, **kwargs):
    columns = zip(*gradients, strict=True)
    return [
        reference.radam(w, column, **kwargs)
        for w, column in zip(weights, columns, strict=True)
    ]


def error(ours, theirs):
    return max(abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
