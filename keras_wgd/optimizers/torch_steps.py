"""The fast paths on PyTorch; each has a twin in `keras.ops` that other backends use."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import torch
from keras import ops

# Of gradients of no more numbers, it takes less to copy several into one and back
# than to centre each by itself: on two CPU cores, 2.6 against 6.4 microseconds for
# each of 100 with 2,304 numbers, 5.2 against 7.7 with 9,216, 19 against 13 with 36,864.
_SMALL = 2**14


def whiten_(gradients: Sequence[Any], axes: Sequence[int], groups: int = 1) -> None:
    """`whiten`, in the memory of the gradients.

    A step that makes new gradients spends more on their memory than on the means.

    Args:
        gradients: Tensors of one shape, dtype and device that may be written to.
        axes: As for `whiten`, counted from the last; not looked at again.
        groups: As for `whiten`.
    """
    if len(gradients) == 1 or gradients[0].numel() > _SMALL:
        for gradient in gradients:
            _subtract_mean_(gradient, axes, groups)
    else:
        together = torch.stack(gradients)
        _subtract_mean_(together, axes, groups)
        torch._foreach_copy_(gradients, together.unbind())


def _subtract_mean_(gradient: Any, axes: Sequence[int], groups: int) -> None:
    if groups > 1:
        gradient = gradient.unflatten(-1, (groups, -1))
        axes = [axis if axis == -1 else axis - 1 for axis in axes]
    gradient.sub_(_mean(gradient, axes))


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


def writable(gradients: Sequence[Any], variables: Mapping[int, Any]) -> set[int]:
    """Which gradients may be centred in their own memory.

    They are the `.grad` that PyTorch keeps for its variable, and share memory with no
    other. Where weights of different shapes meet in a sum, autograd may give them views
    of the same memory.

    Args:
        gradients: All gradients of a step, or `None`. Arrays are passed over.
        variables: The variables of those to be centred, by the gradient's position.

    Returns:
        Positions in `gradients`.
    """
    if torch.compiler.is_compiling():
        return set()
    memory = {
        at: gradient.untyped_storage().data_ptr()
        for at, gradient in enumerate(gradients)
        if isinstance(gradient, torch.Tensor) and gradient.layout is torch.strided
    }
    uses = Counter(memory.values())
    return {
        at
        for at, variable in variables.items()
        if uses.get(memory.get(at)) == 1 and _is_kept(gradients[at], variable)
    }


def _is_kept(gradient: Any, variable: Any) -> bool:
    return (
        variable.value.grad is gradient
        and gradient.is_contiguous()
        and not gradient.requires_grad
        and not gradient.is_inference()
    )


def squares(tensors: Sequence[Any]) -> Sequence[Any]:
    """The square of the norm of each tensor, in float32.

    One call for all: a small network spends more on calls than on numbers.
    """
    norms = torch._foreach_norm([tensor.float() for tensor in tensors])
    return torch._foreach_mul(norms, norms)


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
    for gradient, variable in zip(grads, variables, strict=True):
        index = optimizer._get_variable_index(variable)
        w = variable.value
        m = optimizer._momentums[index].value
        v = optimizer._velocities[index].value
        if not isinstance(gradient, torch.Tensor):
            gradient = ops.convert_to_tensor(gradient)
        if gradient.is_sparse:
            gradient = gradient.to_dense()
        if gradient.dtype != w.dtype:
            gradient = gradient.to(w.dtype)
        step = (w, m, v, gradient)
        in_order = all(tensor.is_contiguous() for tensor in step)
        groups.setdefault((w.device, w.dtype, in_order), []).append(step)
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
