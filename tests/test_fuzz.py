"""Random networks, options and inner optimizers, against NumPy and against Keras.

`tests/conftest.py` sets how many examples there are.
"""

import contextlib
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from support import reference
from support.networks import values
from support.random_networks import CONVOLUTIONS, build, networks
from support.random_optimizers import CLASSES, inner_optimizers

from keras_wgd import WGD, conv_kernels
from keras_wgd.optimizers.means import MEANS, PLACEMENTS

# JAX compiles a program for each shape.
SHARES = {"torch": 1.0, "tensorflow": 0.5, "jax": 0.33}
SHARE = SHARES[keras.backend.backend()]
fuzz = settings(max_examples=round(SHARE * settings.default.max_examples))

drawn = {
    "network": networks(),
    "inner": inner_optimizers(),
    "kernels": st.sampled_from(["model", "part", "by name"]),
    "seed": st.integers(0, 99),
}


def test_every_convolution_is_drawn():
    known = {
        pattern.format(rank)
        for pattern, (ranks, _, _) in CONVOLUTIONS.items()
        for rank in ranks
    }
    pattern = r"(Separable|Depthwise)?Conv\dD(Transpose)?"
    assert {name for name in vars(layers) if re.fullmatch(pattern, name)} == known


def test_every_optimizer_is_drawn():
    covered = {base for made in CLASSES for base in made().__class__.__mro__}
    wrappers = {keras.optimizers.LossScaleOptimizer, keras.optimizers.MultiOptimizer}
    assert classes_of_keras() - covered == wrappers


def classes_of_keras():
    return {
        value
        for value in vars(keras.optimizers).values()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }


def by_name(kernel):
    """Kind and groups that the docs promise for names and shapes alone."""
    shape = kernel.variable.shape
    if kernel.variable.name != "kernel" or kernel.kind == "transposed":
        return kernel.kind, 1
    if kernel.kind == "depthwise":
        return ("standard", shape[-1]) if shape[-2] == 1 else ("depthwise", 1)
    return ("standard", 1) if shape[-1] > 1 else None


class Case:
    """A random network, and what the test knows of its kernels."""

    def __init__(self, network, kernels, seed):
        self.generator = np.random.default_rng(seed)
        self.model, made = build(network)
        shapes = [w.shape for w in self.model.get_weights()]
        self.model.set_weights([self.generator.random(shape) for shape in shapes])
        self.variables = self.model.trainable_variables
        self.kernels = {"model": self.model, "by name": None}.get(kernels)
        told = {id(kernel.variable): (kernel.kind, kernel.groups) for kernel in made}
        if kernels == "by name":
            told = {id(kernel.variable): by_name(kernel) for kernel in made}
        elif kernels == "part":
            self.kernels = conv_kernels(self.model)[::2]
            told = {id(k.variable): told[id(k.variable)] for k in self.kernels}
        self.told = told

    def wrapped(self, inner_optimizer, mean_over, placement):
        optimizer = WGD(inner_optimizer, mean_over, placement, self.kernels)
        with self.warning(mean_over):
            optimizer.build(self.variables)
        return optimizer

    def centered(self, arrays, variables, mean_over):
        """The arrays, centered if they belong to a kernel."""
        told = [self.told.get(id(variable)) for variable in variables]
        return [
            a if t is None else reference.whiten(a, t[0], mean_over, t[1])
            for a, t in zip(arrays, told, strict=True)
        ]

    def warning(self, mean_over):
        """Expect a warning if, and only if, nothing is centered."""
        arrays = [self.generator.random(v.shape) for v in self.variables]
        centered = self.centered(arrays, self.variables, mean_over)
        if any((a != c).any() for a, c in zip(arrays, centered, strict=True)):
            return contextlib.nullcontext()
        return pytest.warns(UserWarning, match="found nothing to center")

    def some_variables(self):
        """Most of the variables, in another order."""
        order = self.generator.permutation(len(self.variables))
        return [self.variables[i] for i in order[: len(order) * 3 // 4 + 1]]

    def gradients(self, variables):
        """Gradients of a size about one, whose means are exact in float32.

        They are multiples of the size of every mean, divided by a power of two.
        """
        return [
            (self.generator.integers(-8, 9, size=v.shape) * 432 / 512).astype("float32")
            for v in variables
        ]


def apply(optimizer, gradients, variables):
    # Contiguous, as WGD's are: PyTorch sums other layouts in another order.
    arrays = [g.astype("float32", order="C") for g in gradients]
    gradients = [ops.convert_to_tensor(array) for array in arrays]
    with uncompiled():
        optimizer.apply(gradients, variables)


def uncompiled():
    """JAX compiles a condition, such as that of accumulation, in each call."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.disable_jit()
    return contextlib.nullcontext()


def assign(variables, arrays):
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


@fuzz
@given(**drawn)
def test_step_on_gradients_centered_by_numpy(network, inner, kernels, seed):
    case = Case(network, kernels, seed)
    for mean_over in MEANS:
        plain, wrapped = inner(), case.wrapped(inner(), mean_over, "gradient")
        plain.build(case.variables)
        for _ in range(3):
            some = case.some_variables()
            gradients = case.gradients(some)
            before = values(case.variables)
            apply(plain, case.centered(gradients, some, mean_over), some)
            wanted = values(case.variables + plain.variables)
            assign(case.variables, before)
            apply(wrapped, gradients, some)
            got = values(case.variables + wrapped.variables)
            for g, w in zip(got, wanted, strict=True):
                np.testing.assert_array_equal(g, w)


@fuzz
@given(**drawn)
def test_update_centered_by_numpy(network, inner, kernels, seed):
    # With plain averages the weights would not be those of a plain step.
    inner = inner.without("ema_overwrite_frequency")
    case = Case(network, kernels, seed)
    for mean_over in MEANS:
        plain, wrapped = inner(), case.wrapped(inner(), mean_over, "update")
        plain.build(case.variables)
        for _ in range(3):
            some = case.some_variables()
            gradients = case.gradients(some)
            before = values(case.variables)
            apply(plain, gradients, some)
            steps = [v - b for v, b in zip(values(case.variables), before, strict=True)]
            assign(case.variables, before)
            apply(wrapped, gradients, some)
            centered = case.centered(steps, case.variables, mean_over)
            got = values(case.variables)
            for g, b, s, c in zip(got, before, steps, centered, strict=True):
                # A difference has the rounding error of its terms.
                largest = max(1.0, abs(b).max(), abs(s).max())
                np.testing.assert_allclose(g, b + c, rtol=1e-6, atol=2e-6 * largest)


@fuzz
@given(
    mean_over=st.sampled_from(tuple(MEANS)),
    placement=st.sampled_from(PLACEMENTS),
    **drawn,
)
def test_training_after_loading(
    network, inner, kernels, seed, mean_over, placement, tmp_path_factory
):
    case = Case(network, kernels, seed)
    optimizer = case.wrapped(inner(), mean_over, placement)
    case.model.compile(optimizer)
    steps = [case.gradients(case.variables) for _ in range(4)]
    for gradients in steps[:2]:
        apply(optimizer, gradients, case.variables)
    path = tmp_path_factory.mktemp("fuzz") / "model.keras"
    case.model.save(path)
    with case.warning(mean_over):
        loaded = keras.saving.load_model(path)
    for model in (case.model, loaded):
        for gradients in steps[2:]:
            apply(model.optimizer, gradients, model.trainable_variables)
    got = values(loaded.weights + loaded.optimizer.variables)
    wanted = values(case.model.weights + optimizer.variables)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(g, w)
