"""The step of an optimizer as `fit` makes it, ready to be timed."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_wgd.bench.contenders import Contender
from keras_wgd.bench.networks import size

# RAdam's first steps are not rectified and take another branch.
WARM_UP = 10


class Steps:
    """Steps of several optimizers on the same weights and gradients.

    Each optimizer has its own state. Weights and state are donated where `fit` donates
    them, and a step ends when the device has finished it. The gradients are normal with
    standard deviation 0.01. With `copied_gradients`, on PyTorch, Keras's optimizers get
    copies of the gradients in place of the `.grad` of each weight.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], copied_gradients: bool = False
    ):
        self.variables = list(variables)
        seed = keras.random.SeedGenerator(0)
        self.gradients = [
            keras.random.normal(v.shape, stddev=0.01, dtype=v.dtype, seed=seed)
            for v in self.variables
        ]
        self._copied_gradients = copied_gradients
        self._centered: dict[Contender, Sequence[keras.Variable]] = {}
        self._backend = keras.backend.backend()
        if self._backend == "jax":
            # Donated: each step takes what the step before it returned.
            self._weights = [keras.ops.copy(v.value) for v in self.variables]
        if self._backend == "torch":
            for variable, gradient in zip(self.variables, self.gradients, strict=True):
                variable.value.grad = gradient
            if copied_gradients:
                self.gradients = [gradient.clone() for gradient in self.gradients]

    def of(self, contender: Contender) -> Callable[[], None]:
        """The step of a contender, compiled and warm."""
        if contender.library == "torch":
            step = self._torch(contender.make([v.value for v in self.variables]))
        elif contender.library == "optax":
            step = self._optax(contender.make())
        else:
            optimizer = contender.make()
            optimizer.build(self.variables)
            if contender.kind == "wgd":
                self._centered[contender] = optimizer.whitened_variables
            step = getattr(self, f"_keras_{self._backend}")(optimizer)
        for _ in range(WARM_UP):
            step()
        return step

    def centered_share(self, contender: Contender) -> float:
        """The share of the weights that a contender centers. Call `of` first."""
        return size(self._centered.get(contender, ())) / size(self.variables)

    def _torch(self, apply):
        import torch

        # On the CPU, torch has finished when it returns.
        wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None

        @torch.no_grad()
        def step():
            apply()
            wait()

        return step

    def _keras_torch(self, optimizer):
        def apply():
            if self._copied_gradients:
                gradients = self.gradients
            else:  # read in each step, as `fit` does
                gradients = [v.value.grad for v in self.variables]
            optimizer.apply(gradients, self.variables)

        return self._torch(apply)

    def _keras_tensorflow(self, optimizer):
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def apply(gradients):
            optimizer.apply(gradients, self.variables)

        def step():
            apply(self.gradients)
            tf.test.experimental.sync_devices()

        return step

    def _keras_jax(self, optimizer):
        def apply(weights, state, gradients):
            return optimizer.stateless_apply(state, gradients, weights)

        return self._jax(apply, [v.value for v in optimizer.variables])

    def _optax(self, transformation):
        import optax

        def apply(weights, state, gradients):
            updates, state = transformation.update(gradients, state, weights)
            return optax.apply_updates(weights, updates), state

        return self._jax(apply, transformation.init(self._weights))

    def _jax(self, apply, state: Any):
        import jax

        # In this order: XLA writes the results into the donated memory in order.
        compiled = jax.jit(apply, donate_argnums=(0, 1))

        def step():
            nonlocal state
            self._weights, state = compiled(self._weights, state, self.gradients)
            jax.block_until_ready((self._weights, state))

        return step
