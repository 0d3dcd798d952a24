"""How much of the gradients a wrapper leaves, summed up on the device (Eq. 17)."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_wgd.optimizers.plan import WhiteningPlan

if keras.backend.backend() == "torch":
    from keras_wgd.optimizers import torch_steps


class Ratios(NamedTuple):
    """What some steps have left of the gradients; NaN where those were 0.

    Attributes:
        overall: `||h|| / ||g||` over all kernels and steps.
        residual: `||mean(h)|| / ||g||`, with `mean(h)` in the shape of `h`: what
            rounding has left of the mean. NaN, too, where it is not asked for.
        kernels: `||h|| / ||g||` of each kernel, by its path; where kernels share one,
            the later ones have a number.
    """

    overall: float
    residual: float
    kernels: dict[str, float]


class WhiteningNorms:
    """Sums over steps of `||g||^2`, `||h||^2` and `||mean(h)||^2` of each kernel.

    The sums stay on the device and cost no step a synchronisation. With
    `placement="update"`, too, `g` is the gradient: they say what the projection
    would remove from it.

    Args:
        plan: The plan of a `WGDWrapper` that is built.
        residual: Whether to sum up `||mean(h)||^2`, which takes each mean again.

    Attributes:
        variables: What is updated in a step.
    """

    def __init__(self, plan: WhiteningPlan, residual: bool = True):
        self._plan = plan
        self._residual = residual
        self._sums = keras.Variable(
            np.zeros((2 + residual, len(plan.whitened))),
            dtype="float32",
            trainable=False,
            # On TensorFlow each replica has the sums of all.
            aggregation="only_first_replica",
            name="whitening_norms",
        )
        self.variables = [self._sums]

    def squares(self, gradients: dict[int, Any]) -> Any:
        """`||g||^2` of each kernel's gradient, by index; 0 where there is none."""
        if not self._plan.whitened:
            return ops.zeros((0,), "float32")  # of nothing there is no stack
        found = dict(zip(gradients, _squares(list(gradients.values())), strict=True))
        zero = ops.zeros((), "float32")
        return ops.stack([found.get(index, zero) for index in self._plan.whitened])

    def add(self, squares: Any, left: dict[int, Any]) -> None:
        """Add a step: the gradients' squares, and what is left of them, by index."""
        new = [squares, self.squares(left)]
        if self._residual:
            means = {
                index: ops.subtract(h, self._plan.whiten(h, index))
                for index, h in left.items()
            }
            new.append(self.squares(means))
        self._sums.assign(ops.add(self._sums, ops.stack(new)))

    def take(self) -> Ratios:
        """The ratios over the steps since the last call."""
        sums = ops.convert_to_numpy(self._sums).astype("float64")
        self._sums.assign(np.zeros_like(sums))
        paths = _unique(row.path for row in self._plan.whitened.values())
        gradient, whitened = sums[:2]
        residual = sums[2].sum() if self._residual else math.nan
        ratios = map(_ratio, whitened, gradient)
        return Ratios(
            _ratio(whitened.sum(), gradient.sum()),
            _ratio(residual, gradient.sum()),
            dict(zip(paths, ratios, strict=True)),
        )


def _unique(paths: Iterable[str]) -> Iterator[str]:
    """Paths, with a number at those that were there before."""
    seen = Counter[str]()
    for path in paths:
        seen[path] += 1
        yield path if seen[path] == 1 else f"{path}_{seen[path]}"


def _ratio(part: float, whole: float) -> float:
    return math.sqrt(part / whole) if whole > 0 else math.nan


def _squares(tensors: Sequence[Any]) -> Sequence[Any]:
    if not tensors:
        return []
    tensors = _of_all_replicas(tensors)
    if keras.backend.backend() == "torch":
        return torch_steps.squares(tensors)
    return [ops.sum(ops.square(ops.cast(tensor, "float32"))) for tensor in tensors]


def _of_all_replicas(gradients: Sequence[Any]) -> Sequence[Any]:
    """What TensorFlow's replicas, which each have a part of it, will step by."""
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
