"""The fast paths on PyTorch; each has a twin in `keras.ops` that other backends use."""

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import torch
from keras import ops
from keras.src.backend.common.stateless_scope import in_stateless_scope

from keras_wgd.optimizers.whitening import whiten

# Of gradients of no more numbers, it takes less to copy several into one and back
# than to center each by itself: on two CPU cores, 2.6 against 6.4 microseconds for
# each of 100 with 2,304 numbers, 5.2 against 7.7 with 9,216, 19 against 13 with 36,864.
_SMALL = 2**14


def whiten_(gradients: Sequence[Any], axes: Sequence[int], groups: int = 1) -> None:
    """`whiten`, in the memory of the gradients.

    Args:
        gradients: Tensors of one shape, dtype and device that may be written to.
        axes: As for `whiten`, counted from the last; not checked again.
        groups: As for `whiten`.
    """
    if len(gradients) == 1 or gradients[0].numel() > _SMALL:
        for gradient in gradients:
            _subtract_mean(gradient, axes, groups, out=gradient)
    else:
        torch._foreach_copy_(gradients, _whiten_together(gradients, axes, groups))


class Job(NamedTuple):
    """A gradient to center.

    Attributes:
        gradient: The gradient.
        variable: Its variable.
        position: That of the variable in the plan.
        axes: As for `whiten`, counted from the last; not checked again.
        groups: As for `whiten`.
    """

    gradient: Any
    variable: Any
    position: int
    axes: tuple[int, ...]
    groups: int


class Workspace:
    """Centers the gradients of a step, and keeps the memory that this takes.

    The `.grad` of a variable is centered in its own memory. Any other gradient belongs
    to the caller and is left as it is. On the CPU, fresh memory for its centered copy
    costs more than the mean and the subtraction together, so the copies of large
    gradients use the same memory in each step.
    """

    def __init__(self) -> None:
        self._buffers: dict[int, torch.Tensor] = {}

    def whiten(self, jobs: Sequence[Job]) -> list[Any]:
        """The centered gradients, in the order of the jobs."""
        results = [job.gradient for job in jobs]
        alike: dict[Any, list[int]] = {}
        for at, job in enumerate(jobs):
            gradient = job.gradient
            owned = is_writable(gradient, job.variable)
            if owned or _is_plain(gradient):
                key = (gradient.shape, job.axes, job.groups, gradient.dtype)
                alike.setdefault((*key, gradient.device, owned), []).append(at)
            else:
                results[at] = whiten(gradient, job.axes, job.groups)
        for (shape, axes, groups, *_, owned), places in alike.items():
            gradients = [results[at] for at in places]
            if owned:
                whiten_(gradients, axes, groups)
            elif len(places) > 1 and shape.numel() <= _SMALL:
                centered = _whiten_together(gradients, axes, groups)
                for at, result in zip(places, centered, strict=True):
                    results[at] = result
            else:
                for at, gradient in zip(places, gradients, strict=True):
                    results[at] = self._buffer(jobs[at].position, gradient)
                    _subtract_mean(gradient, axes, groups, out=results[at])
        return results

    def _buffer(self, position: int, gradient: Any) -> Any:
        """Memory for the centered gradient of a variable that nothing else uses."""
        buffer = self._buffers.pop(position, None)
        if (
            buffer is None
            or (buffer.shape, buffer.dtype) != (gradient.shape, gradient.dtype)
            or buffer.device != gradient.device
            # The inner optimizer or its caller may have kept it, or a view of it.
            or sys.getrefcount(buffer) > _REFERENCES_OF_ONE
            or _uses(buffer) > _USES_OF_ONE
        ):
            buffer = torch.empty_like(gradient, memory_format=torch.contiguous_format)
        if gradient.is_cpu:
            self._buffers[position] = buffer
        return buffer


def _whiten_together(
    gradients: Sequence[Any], axes: Sequence[int], groups: int
) -> Sequence[Any]:
    """Center copies of gradients of one shape at once."""
    together = torch.stack(gradients)
    _subtract_mean(together, axes, groups, out=together)
    return together.unbind()


def _subtract_mean(gradient: Any, axes: Sequence[int], groups: int, out: Any) -> None:
    """Write the gradient less its mean to `out`, which may be the gradient itself."""
    if groups > 1:
        gradient, out = (x.unflatten(-1, (groups, -1)) for x in (gradient, out))
        axes = [axis if axis == -1 else axis - 1 for axis in axes]
    torch.sub(gradient, _mean(gradient, axes), out=out)


def _mean(gradient: Any, axes: Sequence[int]) -> Any:
    """The mean, by threads that each read what they will then write.

    PyTorch gives a thread some columns of a mean of all rows and some rows of the
    subtraction. What one core has read another then writes, which takes ten times as
    long where the cores share no cache.
    """
    of_all_rows = len(axes) == gradient.ndim - 1 and -1 not in axes
    if of_all_rows and gradient.is_cpu and gradient.numel() > _SMALL:
        rows = gradient.flatten(0, -2)
        runs = math.gcd(len(rows), torch.get_num_threads())
        if runs > 1:
            return rows.unflatten(0, (runs, -1)).mean(1).mean(0)
    return gradient.mean(axes, keepdim=True)


def is_writable(gradient: Any, variable: Any) -> bool:
    """Whether a gradient may be centered in its own memory.

    It must be the `.grad` that PyTorch keeps for its variable, and nothing else may use
    its memory. Where weights of different shapes meet in a sum, autograd may give them
    views of the same memory.

    Args:
        gradient: A gradient.
        variable: Its variable.
    """
    return (
        not torch.compiler.is_compiling()
        and isinstance(gradient, torch.Tensor)
        and gradient.layout is torch.strided
        and getattr(variable, _tensor_attribute()).grad is gradient
        and gradient.is_contiguous()
        and not gradient.requires_grad
        and not gradient.is_inference()
        and _uses(gradient) == _USES_OF_ONE
    )


def _is_plain(gradient: Any) -> bool:
    """Whether nothing is traced or differentiated: operations may have an `out`."""
    return (
        not torch.compiler.is_compiling()
        and type(gradient) is torch.Tensor
        and gradient.layout is torch.strided
        and not gradient.requires_grad
        and not gradient.is_inference()
        and not torch.is_inference_mode_enabled()
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
    )


def _uses(tensor: Any) -> int:
    """How many tensors have the memory of this one, and what asks."""
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _of_one() -> tuple[int, int]:
    """The references to a local tensor, and the uses of its memory."""
    tensor = torch.empty(1)
    return sys.getrefcount(tensor), _uses(tensor)


_REFERENCES_OF_ONE, _USES_OF_ONE = _of_one()


def _tensor_attribute() -> str:
    """The attribute of a variable that holds its tensor in this step.

    `Variable.value` looks at several scopes in each call, which takes longer than the
    step of a small weight. Only a stateless scope matters to a step: under an autocast
    scope it writes to the variable itself, as always.
    """
    return "value" if in_stateless_scope() else "_value"


def radam_update(
    optimizer: Any, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any
) -> None:
    """A step of `RAdam` for all variables of a dtype and device at once.

    Args:
        optimizer: A `RAdam` that is built.
        grads: The gradients.
        variables: The variables, in the same order.
        learning_rate: The learning rate.
    """
    groups: dict[tuple[Any, Any, bool], list[tuple[Any, Any, Any, Any]]] = {}
    tensor = _tensor_attribute()
    for gradient, variable in zip(grads, variables, strict=True):
        index = optimizer._get_variable_index(variable)
        w = getattr(variable, tensor)
        m = getattr(optimizer._momentums[index], tensor)
        v = getattr(optimizer._velocities[index], tensor)
        if not isinstance(gradient, torch.Tensor):
            gradient = ops.convert_to_tensor(gradient)
        if gradient.is_sparse:
            gradient = gradient.to_dense()
        if gradient.dtype != w.dtype:
            gradient = gradient.to(w.dtype)
        in_order = (
            w.is_contiguous()
            and m.is_contiguous()
            and v.is_contiguous()
            and gradient.is_contiguous()
        )
        key = (w.device, w.dtype, in_order)
        groups.setdefault(key, []).append((w, m, v, gradient))
    with torch.no_grad():
        for (device, dtype, in_order), group in groups.items():
            scalar_dtype = torch.promote_types(dtype, torch.float32)
            adaptive, plain = optimizer._step_sizes(
                learning_rate, keras.backend.standardize_dtype(scalar_dtype)
            )
            w, m, v, g = map(list, zip(*group, strict=True))
            # The CPU is not waited for when it is asked which step this is.
            fused = device.type == "cpu" and dtype == scalar_dtype and in_order
            if fused and not torch.compiler.is_compiling() and adaptive != 0:
                _fused_radam(optimizer, w, m, v, g, adaptive)
            else:
                _foreach_radam(optimizer, w, m, v, g, scalar_dtype, adaptive, plain)


def _fused_radam(
    optimizer: Any,
    w: list[Any],
    m: list[Any],
    v: list[Any],
    g: list[Any],
    adaptive: Any,
) -> None:
    """Make a rectified step in one pass over memory, with PyTorch's Adam.

    Adam corrects the bias of both moments for the step it is in. At step infinity there
    is none, and `adaptive` has it.
    """
    if torch.compiler.is_compiling():  # this alone, after a break in the caller
        dtype, zero = adaptive.dtype, 0 * adaptive
        _foreach_radam(optimizer, w, m, v, g, dtype, adaptive, zero)
        return
    torch._fused_adam_(
        w,
        g,
        m,
        v,
        [],
        [torch.tensor(math.inf, device=w[0].device)] * len(w),
        lr=float(adaptive),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        amsgrad=False,
        maximize=False,
    )


def _foreach_radam(
    optimizer: Any,
    w: list[Any],
    m: list[Any],
    v: list[Any],
    g: list[Any],
    scalar_dtype: Any,
    adaptive: Any,
    plain: Any,
) -> None:
    """Make a step of either kind; nothing waits for the device.

    With `adaptive` and `plain` as `_step_sizes` gives them, the step is
    `m / (sqrt(v) * slope + intercept)`: one division, two scalars.
    """
    rectified = adaptive != 0
    # Where not rectified the slope is tiny, not 0: it adds nothing to the intercept,
    # and an overflowed v gives no step instead of 0 * inf = nan.
    tiny = torch.finfo(scalar_dtype).tiny
    device = w[0].device
    slope = torch.where(rectified, 1 / adaptive, tiny).to(device)
    intercept = torch.where(rectified, optimizer.epsilon / adaptive, 1 / plain)
    intercept = intercept.to(device)

    stored = w, m, v
    if w[0].dtype != scalar_dtype:
        w, m, v, g = [[x.to(scalar_dtype) for x in xs] for xs in (w, m, v, g)]
    torch._foreach_lerp_(m, g, 1 - optimizer.beta_1)
    # A tensor: on the CPU a number would be made into one for each v.
    torch._foreach_mul_(v, torch.full_like(slope, optimizer.beta_2))
    torch._foreach_addcmul_(v, g, g, value=1 - optimizer.beta_2)
    denominator = torch._foreach_sqrt(v)
    torch._foreach_mul_(denominator, slope)
    torch._foreach_add_(denominator, intercept)
    torch._foreach_addcdiv_(w, m, denominator, value=-1)
    if w is not stored[0]:
        for target, source in zip(stored, (w, m, v), strict=True):
            torch._foreach_copy_(target, source)
