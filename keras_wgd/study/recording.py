"""WGD that records how much of the gradient it leaves (Eq. 17)."""

import math

import keras
from keras import ops

from keras_wgd.optimizers.wgd import WGD


class RecordingWGD(WGD):
    """`WGD` that adds up `||g||^2` and `||h||^2` of the kernels it centres.

    The sums stay on the device and cost no step a synchronisation. With
    `placement="update"`, too, `g` is the gradient: it says what the projection
    would remove from it.
    """

    def build(self, variables):
        """Build as `WGD` does, with two sums beside the variables."""
        super().build(variables)
        if "_sums" not in vars(self):
            self._sums = tuple(
                keras.Variable(
                    0.0,
                    dtype="float32",
                    trainable=False,
                    # On TensorFlow each replica has the sums of all.
                    aggregation="only_first_replica",
                    name=name,
                )
                for name in ("gradient_norm", "whitened_norm")
            )

    @property
    def variables(self):
        """The inner optimizer's variables and the sums."""
        return [*super().variables, *self._sums]

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """The stateless version of `apply`, for JAX."""
        count = len(self._sums)
        mapping = zip(self._sums, optimizer_variables[-count:], strict=True)
        with keras.StatelessScope(state_mapping=mapping) as scope:
            weights, variables = super().stateless_apply(
                optimizer_variables[:-count], grads, trainable_variables
            )
        sums = [scope.get_current_value(total) for total in self._sums]
        return weights, [*variables, *sums]

    def take_ratio(self) -> float:
        """`||h|| / ||g||` over the steps since the last call; NaN where `g` is 0."""
        gradient, whitened = (
            float(ops.convert_to_numpy(total)) for total in self._sums
        )
        for total in self._sums:
            total.assign(0.0)
        return math.sqrt(whitened / gradient) if gradient > 0 else math.nan

    def _whiten_gradients(self, grads, variables=None):
        """Centre as `WGD` does, and add to the sums."""
        plan = self._plan
        assert plan is not None  # it is built
        indices = self._indices_of(variables)
        places = [
            at
            for at, gradient in enumerate(grads)
            if gradient is not None and indices[at] in plan.whitened
        ]
        # Before they are centred, which may be done where they are.
        squares = [_sum_of_squares([grads[at] for at in places])]
        whitened = super()._whiten_gradients(grads, variables)
        left = [whitened[at] for at in places]
        if self.placement == "update":
            left = [plan.whiten(whitened[at], indices[at]) for at in places]
        squares.append(_sum_of_squares(left))
        for total, new in zip(self._sums, squares, strict=True):
            total.assign(ops.add(total, new))
        return whitened


def _sum_of_squares(tensors):
    tensors = _of_all_replicas(tensors)
    if keras.backend.backend() == "torch":
        import torch

        # One call for all: a small network spends more on calls than on numbers.
        norms = torch._foreach_norm([tensor.float() for tensor in tensors])
        return torch.stack(norms).square().sum() if norms else 0.0
    return sum(ops.sum(ops.square(ops.cast(t, "float32"))) for t in tensors)


def _of_all_replicas(gradients):
    """What TensorFlow's replicas, which each have a part of it, will step by."""
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
