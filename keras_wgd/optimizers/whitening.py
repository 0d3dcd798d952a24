"""The whole idea as one pure function: subtract a mean from a gradient."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def whiten(gradient: Any, axes: int | Sequence[int] = -1, groups: int = 1) -> Any:
    """Subtract from a kernel's gradient its mean over `axes` (Eq. 11).

    ```
    h = g - mean(g, axes)
    ```

    The paper calls this whitening; it is centering. It is an orthogonal projection: it
    is linear, applying it twice changes nothing, and
    `||h||^2 = ||g||^2 - ||g - h||^2 <= ||g||^2` (Eq. 17). A NaN or an infinity spreads
    to the elements that share its mean, and no further.

    Args:
        gradient: Shape `(*kernel_size, channels, filters)`, or any other; loss
            per unit of weight.
        axes: The axes that the mean runs over. `-1`, the default, is the mean
            of the filters of a standard convolution kernel; `conv_kernels`
            gives the axes for every other layer.
        groups: The number of equal parts of the last axis, each with its own mean,
            as in a grouped convolution.

    Returns:
        Same shape, dtype and units; its mean over `axes` is zero.

    Raises:
        ValueError: If an axis is out of range or given twice, or if `groups`
            does not divide the last axis.

    Example:

    ```python
    whiten(ops.array([[1.0, 2.0, 6.0]]))  # [[-2., -1., 3.]]
    ```

    References:
        Gholamalinejad and Khosravi, 2022, Eq. 11 and 17.
    """
    gradient = ops.convert_to_tensor(gradient)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gradient = tf.convert_to_tensor(gradient)  # IndexedSlices too
    shape = tuple(gradient.shape)
    over = _canonical_axes(axes, len(shape))
    if groups == 1:
        return _subtract_mean(gradient, over)
    last = len(shape) - 1
    is_integer = isinstance(groups, int | np.integer)
    divides = is_integer and groups >= 1 and shape[last] % groups == 0
    if not divides or last not in over:
        raise ValueError(
            "groups must divide the last axis, and the mean must run over it. "
            f"Received: groups={groups}, axes={axes}, shape={shape}"
        )
    parts = ops.reshape(gradient, (*shape[:last], groups, shape[last] // groups))
    over = tuple(axis + 1 if axis == last else axis for axis in over)
    return ops.reshape(_subtract_mean(parts, over), shape)


def _subtract_mean(gradient: Any, axes: Sequence[int]) -> Any:
    if keras.backend.standardize_dtype(gradient.dtype) == "float64":
        # On PyTorch and JAX, ops.mean computes the mean of float64 in float32.
        size = math.prod(gradient.shape[axis] for axis in axes)
        mean = ops.sum(gradient, axis=axes, keepdims=True) / size
    else:
        mean = ops.mean(gradient, axis=axes, keepdims=True)
    if keras.backend.backend() == "jax":
        import jax

        # The barrier stops XLA from fusing mean and update, which is slow on the CPU:
        # the kernel reads each scalar of the optimizer as an array.
        mean = jax.lax.optimization_barrier(mean)
    # Not ops.subtract: from Keras 3.16 on it computes float64 in float32 on PyTorch.
    return gradient - mean


def _canonical_axes(axes: int | Sequence[int], rank: int) -> tuple[int, ...]:
    if isinstance(axes, np.ndarray):
        axes = axes.tolist()
    try:
        several = axes if isinstance(axes, Sequence) else [axes]
        given = [operator.index(axis) for axis in several]
    except TypeError:
        given = []
    canonical = tuple(sorted(axis % rank for axis in given if -rank <= axis < rank))
    if not canonical or len(set(canonical)) != len(given):
        raise ValueError(
            f"axes must be different axes between {-rank} and {rank - 1}. "
            f"Received: axes={axes}"
        )
    return canonical
