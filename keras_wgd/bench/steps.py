"""The step of an optimizer as `fit` makes it, ready to be timed."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_wgd.bench.contenders import Contender
from keras_wgd.bench.networks import size

# RAdam's first steps are of another kind than the rest.
WARM_UP = 10


class Steps:
    """Steps of several optimizers on the same weights and gradients.

    Each has moving averages of its own. Weights and state are donated where `fit`
    donates them, and a step ends when the device has made it.

    Args:
        variables: The weights.
        seed: Of the gradients, which are normal numbers about 0.01 in size.
    """

    def __init__(self, variables: Sequence[keras.Variable], seed: int = 0):
        self.variables = list(variables)
        generator = keras.random.SeedGenerator(seed)
        self.gradients = [
            keras.random.normal(v.shape, stddev=0.01, dtype=v.dtype, seed=generator)
            for v in self.variables
        ]
        self._whitened: dict[Contender, Sequence[keras.Variable]] = {}
        self._backend = keras.backend.backend()
        if self._backend == "jax":
            # Each step is given what the last one returned, and never again.
            self._weights = [keras.ops.copy(v.value) for v in self.variables]
        if self._backend == "torch":
            for variable, gradient in zip(self.variables, self.gradients, strict=True):
                variable.value.grad = gradient

    def of(self, contender: Contender) -> Callable[[], None]:
        """The step of one contender, compiled and warm."""
        if contender.library == "torch":
            step = self._torch(contender.make([v.value for v in self.variables]))
        elif contender.library == "optax":
            step = self._optax(contender.make())
        else:
            optimizer = contender.make()
            optimizer.build(self.variables)
            if contender.kind == "wgd":
                self._whitened[contender] = optimizer.whitened_variables
            step = getattr(self, f"_keras_{self._backend}")(optimizer)
        for _ in range(WARM_UP):
            step()
        return step

    def share(self, contender: Contender) -> float:
        """The share of the weights that a contender centres, once it has its step."""
        return size(self._whitened.get(contender, ())) / size(self.variables)

    def _torch(self, apply):
        import torch

        # What the CPU is asked for, it has done when it answers.
        wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None

        @torch.no_grad()
        def step():
            apply()
            wait()

        return step

    def _keras_torch(self, optimizer):
        def apply():
            optimizer.apply([v.value.grad for v in self.variables], self.variables)

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

        # As they came: XLA writes into donated memory in this order.
        compiled = jax.jit(apply, donate_argnums=(0, 1))

        def step():
            nonlocal state
            self._weights, state = compiled(self._weights, state, self.gradients)
            jax.block_until_ready((self._weights, state))

        return step
