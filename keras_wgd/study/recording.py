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

    def apply(self, grads, trainable_variables=None):
        """Step as `WGD` does, and add to the sums."""
        indices = list(range(len(grads)))
        if trainable_variables is not None:
            self.build(trainable_variables)
            indices = [self._index_of(variable) for variable in trainable_variables]
        # Before the step, which may centre them where they are.
        squares = self._squares(grads, indices)
        super().apply(grads, trainable_variables)
        for total, new in zip(self._sums, squares, strict=True):
            total.assign(ops.add(total, new))

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """The stateless version of `apply`, for JAX."""
        *variables, gradient, whitened = optimizer_variables
        weights, variables = super().stateless_apply(
            variables, grads, trainable_variables
        )
        new = self._squares(grads, range(len(grads)))
        return weights, [*variables, gradient + new[0], whitened + new[1]]

    def take_ratio(self) -> float:
        """`||h|| / ||g||` over the steps since the last call; NaN where `g` is 0."""
        gradient, whitened = (
            float(ops.convert_to_numpy(total)) for total in self._sums
        )
        for total in self._sums:
            total.assign(0.0)
        return math.sqrt(whitened / gradient) if gradient > 0 else math.nan

    def _squares(self, grads, indices):
        grads = _of_all_replicas(grads)
        plan = self._plan
        assert plan is not None  # it is built
        pairs = [
            (gradient, plan.whiten(gradient, index))
            for index, gradient in zip(indices, grads, strict=True)
            if gradient is not None and index in plan.whitened
        ]
        return [
            sum(ops.sum(ops.square(ops.cast(pair[side], "float32"))) for pair in pairs)
            for side in (0, 1)
        ]


def _of_all_replicas(gradients):
    """What TensorFlow's replicas, which each have a part of it, will step by."""
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
