"""How much of the gradients the centering leaves, summed on the device (Eq. 17)."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

Gradients = dict[int, Any]  # by the position of their kernel


class Ratios(NamedTuple):
    """What the centering left of the gradients of some steps; NaN if those were 0."""

    overall: float  # ||h|| / ||g|| over all kernels and steps
    # ||mean(h)|| / ||g||, with mean(h) in the shape of h: the part of the mean that
    # rounding leaves. NaN if it was not recorded.
    residual: float
    kernels: dict[str, float]  # ||h|| / ||g|| by path; a number tells equal paths apart


class WhiteningNorms:
    """Sums over steps of `||g||^2`, `||h||^2` and `||mean(h)||^2` of each kernel.

    The sums stay on the device, and no step waits for them. They are among the
    optimizer's `variables`, so compiled steps carry them. `select` picks the gradients
    of the kernels from those of a step, and `center` centers one of them. `residual`
    adds `||mean(h)||^2`, which computes each mean again.
    """

    def __init__(
        self,
        paths: dict[int, str],
        select: Callable[[Sequence[Any], Sequence[Any] | None], Gradients],
        center: Callable[[Any, int], Any],
        residual: bool = True,
    ):
        self._paths = paths
        self._select = select
        self._center = center
        self._residual = residual
        self._sums = keras.Variable(
            np.zeros((2 + residual, len(paths))),
            dtype="float32",
            trainable=False,
            # On TensorFlow each replica has the sums of all.
            aggregation="only_first_replica",
            name="whitening_norms",
        )
        self.variables = [self._sums]

    def measure(
        self,
        transform: Callable[..., Sequence[Any]],
        gradients: Sequence[Any],
        variables: Sequence[Any] | None,
    ) -> Sequence[Any]:
        """Transform the gradients of a step, and add it to the sums."""
        before = self._select(gradients, variables)
        sums = [self._squares(before)]  # now: PyTorch centers in the same memory
        transformed = transform(gradients, variables)
        if transformed is gradients:  # the step is centered instead
            after = {i: self._center(gradient, i) for i, gradient in before.items()}
        else:
            after = self._select(transformed, variables)
        sums.append(self._squares(after))
        if self._residual:
            rest = {i: ops.subtract(h, self._center(h, i)) for i, h in after.items()}
            sums.append(self._squares(rest))
        self._sums.assign(ops.add(self._sums, ops.stack(sums)))
        return transformed

    def _squares(self, gradients: Gradients) -> Any:
        """`||g||^2` of each kernel's gradient; 0 for a kernel without one."""
        if not self._paths:
            return ops.zeros((0,), "float32")  # ops.stack needs a tensor
        found = dict(zip(gradients, _squares(list(gradients.values())), strict=True))
        zero = ops.zeros((), "float32")
        return ops.stack([found.get(index, zero) for index in self._paths])

    def take(self) -> Ratios:
        """Return the ratios over the steps since the last call."""
        sums = ops.convert_to_numpy(self._sums).astype("float64")
        self._sums.assign(np.zeros_like(sums))
        gradient, centered = sums[:2]
        residual = sums[2].sum() if self._residual else math.nan
        ratios = map(_ratio, centered, gradient)
        return Ratios(
            _ratio(centered.sum(), gradient.sum()),
            _ratio(residual, gradient.sum()),
            dict(zip(_unique(self._paths.values()), ratios, strict=True)),
        )


def _unique(paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths, with a number at those that came before."""
    seen = Counter[str]()
    for path in paths:
        seen[path] += 1
        yield path if seen[path] == 1 else f"{path}_{seen[path]}"


def _ratio(part: float, whole: float) -> float:
    return math.sqrt(part / whole) if whole > 0 else math.nan


def _squares(tensors: Sequence[Any]) -> Sequence[Any]:
    """The square of the norm of each tensor, in float32."""
    if not tensors:
        return []
    if keras.backend.backend() == "torch":
        import torch

        # Few calls: a small network spends more time on calls than on numbers.
        norms = torch._foreach_norm([tensor.float() for tensor in tensors])
        return torch._foreach_mul(norms, norms)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Replicas have parts of the gradients; the optimizer steps by their sum.
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            tensors = replica.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))
    return [ops.sum(ops.square(ops.cast(tensor, "float32"))) for tensor in tensors]
