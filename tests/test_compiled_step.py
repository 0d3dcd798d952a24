"""The operations and the memory of a compiled step."""

import math
import re
from collections import Counter

import keras
import numpy as np
import pytest
from keras import ops, optimizers

from keras_wgd import WGD, ConvKernel, RAdam
from keras_wgd.optimizers.means import MEANS

pytestmark = pytest.mark.usefixtures("full_compilation")

BACKEND = keras.backend.backend()

INNER = {
    "sgdm": lambda: optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: optimizers.Adam(0.01),
    "radam": lambda: RAdam(0.01),
}
inner = pytest.mark.parametrize("inner", list(INNER))
mean_over = pytest.mark.parametrize("mean_over", MEANS)


def kernels(count, channels=64):
    """Kernels of 3x3 and a bias for each."""
    variables = []
    for number in range(count):
        with keras.name_scope(f"conv2d_{number}"):
            shape = (3, 3, channels, channels)
            variables.append(keras.Variable("ones", shape=shape, name="kernel"))
            variables.append(keras.Variable("ones", shape=(channels,), name="bias"))
    return variables


def how_many(channels, mean_over):
    """The number of means of such a kernel."""
    kernel = ConvKernel("kernel", (3, 3, channels, channels), "Conv2D")
    return math.prod(kernel.shape) // kernel.mean_size(mean_over)


def built(optimizer, variables):
    optimizer.build(variables)
    if isinstance(optimizer, WGD):
        assert len(optimizer.whitened_variables) == len(variables) // 2
    return optimizer


def bytes_of(arrays):
    return sum(
        ops.size(a) * np.dtype(keras.backend.standardize_dtype(a.dtype)).itemsize
        for a in arrays
    )


def calls(program):
    """The number of fused kernels and copies in XLA's program of a step."""
    entry = program[program.index("ENTRY") :]
    return Counter(re.findall(r" (fusion|copy|transpose|reduce)\(", entry))


if BACKEND == "torch":
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Operations(TorchDispatchMode):
        """Records the operations of a step, and the bytes that they allocate."""

        def __init__(self, held):
            super().__init__()
            self.names, self.bytes = [], 0
            self._held = {t.untyped_storage().data_ptr() for t in held}

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            self.names.append(function.overloadpacket.__name__)
            for tensor in made if isinstance(made, list | tuple) else [made]:
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    if storage.data_ptr() not in self._held:
                        self.bytes += storage.nbytes()
            return made

    def step(optimizer, count, channels=64):
        variables = kernels(count, channels)
        built(optimizer, variables)
        for variable in variables:
            variable.value.grad = torch.randn(variable.shape)
        held = [v.value for v in (*variables, *optimizer.variables)]
        held += [v.value.grad for v in variables]

        def apply():
            with torch.no_grad():
                optimizer.apply([v.value.grad for v in variables], variables)

        for _ in range(8):
            apply()  # beyond the steps that RAdam does not rectify
        with Operations(held) as operations:
            apply()
        return operations

    def test_radam_is_one_operation():
        few, many = step(RAdam(0.01), 2), step(RAdam(0.01), 20)
        assert few.names == many.names
        assert few.names.count("_fused_adam_") == 1
        assert many.bytes < 200  # scalars

    @inner
    @mean_over
    @pytest.mark.parametrize("threads", [1, 2])
    def test_centering_is_a_mean_and_a_subtraction(
        monkeypatch, threads, inner, mean_over
    ):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        plain = step(INNER[inner](), 5)
        whitened = step(WGD(INNER[inner](), mean_over), 5)
        added = sorted(whitened.names)
        for name in plain.names:
            added.remove(name)
        # Each thread computes a mean, and these have a mean.
        runs = threads if mean_over == "fan_in" and threads > 1 else 0
        again = 1 if runs == 0 else 2
        assert [n for n in added if n != "view"] == ["mean"] * 5 * again + ["sub"] * 5
        means = 4 * 5 * (1 + runs) * how_many(64, mean_over)
        assert whitened.bytes - plain.bytes == means

    @mean_over
    def test_small_kernels_are_centered_together(mean_over):
        few, many = (step(WGD(RAdam(), mean_over), count, 16) for count in (2, 40))
        assert few.names == many.names
        assert few.names.count("mean") == 1


if BACKEND == "jax":
    import jax

    def compiled(optimizer, variables):
        built(optimizer, variables)
        weights = [v.value for v in variables]
        state = [v.value for v in optimizer.variables]

        def apply(weights, state, gradients):
            return optimizer.stateless_apply(state, gradients, weights)

        step = jax.jit(apply, donate_argnums=(0, 1))
        return step.lower(weights, state, weights).compile(), [*weights, *state]

    @inner
    @mean_over
    def test_memory_of_the_compiled_step(inner, mean_over):
        variables = kernels(2, 512)
        plain, _ = compiled(INNER[inner](), variables)
        whitened, donated = compiled(WGD(INNER[inner](), mean_over), variables)
        # A mean is a sum, and a division that may be a separate kernel.
        most = calls(plain.as_text()) + Counter(fusion=4)
        assert calls(whitened.as_text()) <= most
        memory, alone = whitened.memory_analysis(), plain.memory_analysis()
        assert memory.alias_size_in_bytes == bytes_of(donated)
        means = 4 * 2 * how_many(512, mean_over)
        added = memory.temp_size_in_bytes - alone.temp_size_in_bytes
        assert added <= 2 * means + 4096


if BACKEND == "tensorflow":
    import tensorflow as tf

    def compiled(optimizer, variables):
        built(optimizer, variables)

        @tf.function(jit_compile=True)
        def apply(gradients):
            optimizer.apply(gradients, variables)

        gradients = [tf.zeros(v.shape) for v in variables]
        return apply.experimental_get_compiler_ir(gradients)(stage="optimized_hlo")

    @inner
    @mean_over
    def test_kernels_of_the_compiled_step(inner, mean_over):
        variables = kernels(3)
        plain = calls(compiled(INNER[inner](), variables))
        whitened = calls(compiled(WGD(INNER[inner](), mean_over), variables))
        assert whitened == plain + Counter(fusion=3)
