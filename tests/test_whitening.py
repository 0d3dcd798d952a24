import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from support import reference

from keras_wgd import whiten
from keras_wgd.optimizers.kernels import ConvKernel
from keras_wgd.optimizers.means import MEANS

if keras.backend.backend() == "torch":
    from keras_wgd.optimizers.torch_steps import whiten_

# Every kind and rank of kernel, with unusual shapes.
KERNELS = [
    ("standard", (3, 4, 6), 1),
    ("standard", (3, 3, 4, 6), 1),
    ("standard", (3, 1, 2, 4, 6), 1),
    ("standard", (3, 3, 2, 6), 3),
    ("standard", (1, 1, 5, 3), 1),
    ("transposed", (3, 6, 4), 1),
    ("transposed", (3, 3, 6, 4), 1),
    ("transposed", (2, 2, 2, 6, 4), 1),
    ("depthwise", (3, 4, 2), 1),
    ("depthwise", (3, 3, 4, 2), 1),
]


def drawn(shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def every_mean_of(kernels):
    """Each kernel with each mean, except means over one element."""
    return pytest.mark.parametrize(
        ("kind", "shape", "groups", "mean_over"),
        [
            (*kernel, mean_over)
            for kernel in kernels
            for mean_over in MEANS
            if kernel_of(*kernel).mean_size(mean_over) > 1
        ],
    )


def kernel_of(kind, shape, groups):
    return ConvKernel("conv/kernel", shape, "Conv", kind, groups)


@every_mean_of(KERNELS)
def test_every_mean(kind, shape, groups, mean_over):
    kernel = kernel_of(kind, shape, groups)
    gradient = drawn(shape)
    whitened = whiten(
        ops.convert_to_tensor(gradient),
        kernel.axes(mean_over),
        kernel.mean_groups(mean_over),
    )
    expected = reference.whiten(gradient, kind, mean_over, groups)
    np.testing.assert_allclose(
        ops.convert_to_numpy(whitened), expected, rtol=0, atol=1e-6
    )


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of PyTorch")
@pytest.mark.parametrize("count", [1, 3])
@every_mean_of([*KERNELS, ("standard", (5, 5, 32, 32), 1)])
def test_every_mean_in_place(kind, shape, groups, count, mean_over):
    import torch

    kernel = kernel_of(kind, shape, groups)
    gradients = [drawn(shape, seed) for seed in range(count)]
    tensors = [torch.tensor(gradient) for gradient in gradients]
    places = [tensor.data_ptr() for tensor in tensors]
    whiten_(tensors, kernel.axes(mean_over), kernel.mean_groups(mean_over))
    for tensor, gradient in zip(tensors, gradients, strict=True):
        expected = reference.whiten(gradient, kind, mean_over, groups)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=0, atol=1e-6)
    assert [tensor.data_ptr() for tensor in tensors] == places


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of PyTorch")
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_large_mean_in_place_on_several_threads(monkeypatch, threads):
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    gradient = drawn((3, 3, 16, 128))
    tensor = torch.tensor(gradient)
    whiten_([tensor], (-4, -3, -2))
    expected = reference.whiten(gradient, "standard", "fan_in", 1)
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=0, atol=1e-6)


cases = st.tuples(
    st.sampled_from(KERNELS), st.sampled_from(tuple(MEANS)), st.integers(0, 2**16)
)


def project(case, gradient):
    (kind, shape, groups), mean_over, _ = case
    kernel = ConvKernel("conv/kernel", shape, "Conv", kind, groups)
    axes, groups = kernel.axes(mean_over), kernel.mean_groups(mean_over)
    tensor = ops.convert_to_tensor(gradient)
    return ops.convert_to_numpy(whiten(tensor, axes, groups)).astype("float64")


@settings(max_examples=60, deadline=None)
@given(cases)
def test_idempotence(case):
    once = project(case, drawn(case[0][1], case[2]))
    np.testing.assert_allclose(
        project(case, once.astype("float32")), once, rtol=0, atol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(cases)
def test_norms_of_equation_17(case):
    gradient = drawn(case[0][1], case[2])
    whitened = project(case, gradient)
    removed = gradient - whitened
    np.testing.assert_allclose(
        np.sum(whitened**2),
        np.sum(gradient.astype("float64") ** 2) - np.sum(removed**2),
        rtol=1e-5,
    )
    assert np.sum(whitened**2) <= np.sum(gradient.astype("float64") ** 2)
    assert np.sum(removed**2) > 0


@settings(max_examples=60, deadline=None)
@given(cases, st.floats(-8, 8, width=32), st.floats(-8, 8, width=32))
def test_linearity(case, a, b):
    one, two = (drawn(case[0][1], case[2] + i) for i in range(2))
    np.testing.assert_allclose(
        project(case, np.float32(a) * one + np.float32(b) * two),
        a * project(case, one) + b * project(case, two),
        rtol=0,
        atol=3e-5,
    )


@settings(max_examples=30, deadline=None)
@given(cases, st.integers(-20, 20))
def test_powers_of_two_commute_exactly(case, exponent):
    gradient, scale = drawn(case[0][1], case[2]), np.float32(2.0**exponent)
    np.testing.assert_array_equal(
        project(case, gradient * scale), project(case, gradient) * scale
    )


# JAX has no float64 by default.
UNIT_ROUNDOFF = {"float16": 2**-11, "bfloat16": 2**-8, "float64": 2**-53}
if keras.backend.backend() == "jax":
    del UNIT_ROUNDOFF["float64"]


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_dtype_and_precision(dtype):
    gradient = ops.cast(drawn((3, 3, 16, 32)), dtype)
    whitened = whiten(gradient)
    assert whitened.dtype == gradient.dtype
    gradient, whitened = (
        ops.convert_to_numpy(x).astype("float64") for x in (gradient, whitened)
    )
    # Mean and difference round once each, and the sum rounds too.
    error = whitened - reference.whiten(gradient, "standard", "filters")
    assert np.abs(error).max() <= 3 * UNIT_ROUNDOFF[dtype] * np.abs(gradient).max()


def test_arrays_and_numpy_integers():
    gradient = drawn((3, 4))
    whitened = ops.convert_to_numpy(whiten(gradient, np.int64(1)))
    wanted = gradient - gradient.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(whitened, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_mean(bad):
    gradient = drawn((3, 3, 4, 6))
    gradient[1, 2, 3, 4] = bad
    whitened = ops.convert_to_numpy(whiten(ops.convert_to_tensor(gradient)))
    spread = ~np.isfinite(whitened)
    assert spread[1, 2, 3].all()
    assert spread.sum() == 6


@pytest.mark.parametrize(
    ("axes", "groups", "message"),
    [
        (4, 1, "between -4 and 3. Received: axes=4"),
        ((-1, 3), 1, r"different axes .* Received: axes=\(-1, 3\)"),
        ((), 1, r"Received: axes=\(\)"),
        (-1, 4, "groups must divide the last axis.* Received: groups=4"),
        (-2, 2, "the mean must run over it. Received: groups=2"),
        (-1, 0, "Received: groups=0"),
        (-1, 2.0, "Received: groups=2.0"),
        (None, 1, "Received: axes=None"),
        (1.5, 1, r"Received: axes=1.5"),
        ("x", 1, "Received: axes=x"),
    ],
)
def test_wrong_axes_and_groups(axes, groups, message):
    with pytest.raises(ValueError, match=message):
        whiten(ops.zeros((3, 3, 4, 6)), axes, groups)
