"""Centre the step that an optimizer takes, rather than the gradient it is given."""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_wgd.optimizers.plan import WhiteningPlan
from keras_wgd.optimizers.wrapper import optimizers_within


class _Step(NamedTuple):
    plan: WhiteningPlan
    centred: set[int]  # what has been centred in this step, by index in the plan


# The step that a wrapper is taking. An optimizer that is used without its wrapper
# again must step as if it had never had one.
_step: ContextVar[_Step | None] = ContextVar("step", default=None)


@contextlib.contextmanager
def centred_steps(plan: WhiteningPlan) -> Iterator[set[int]]:
    """While this lasts, the steps of hooked optimizers are centred.

    Args:
        plan: What is centred.

    Yields:
        The indices of the variables whose step has been centred.
    """
    step = _Step(plan, set())
    token = _step.set(step)
    try:
        yield step.centred
    finally:
        _step.reset(token)


def calls_per_step(optimizer: keras.optimizers.Optimizer) -> int:
    """The number of calls of `apply` in which every variable is stepped once."""
    parts = optimizers_within(optimizer)
    return max(part.gradient_accumulation_steps or 1 for part in parts)


def hook(optimizer: keras.optimizers.Optimizer) -> None:
    """Make an optimizer, and all inside it, centre steps within `centred_steps`.

    Decay and step stand next to each other in Keras's base class, with averages and
    constraints after them: taking both in one gives these the centred weights,
    and leaves accumulation and clipping where they were.
    """
    for part in optimizers_within(optimizer):
        if not is_hooked(part):
            _hook(part)


def is_hooked(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the optimizer itself has been hooked."""
    return hasattr(optimizer._backend_update_step, "centres_steps")


def _hook(optimizer: Any) -> None:
    apply_weight_decay = optimizer._apply_weight_decay
    update_step = optimizer._backend_update_step

    def hooked_weight_decay(variables: Sequence[Any]) -> None:
        if _step.get() is None:
            apply_weight_decay(variables)

    def hooked_update_step(
        grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        step = _step.get()
        if step is None:
            update_step(grads, trainable_variables, learning_rate)
            return
        kernels = [
            (index, variable, _value(variable))
            for variable in trainable_variables
            if (index := step.plan.index_of(variable)) in step.plan.whitened
        ]
        apply_weight_decay(trainable_variables)
        update_step(grads, trainable_variables, learning_rate)
        for index, variable, before in kernels:
            difference = ops.subtract(_value(variable), before)
            centred = step.plan.whiten(difference, index)
            optimizer.assign(variable, ops.add(before, centred))
            step.centred.add(index)

    hooked_update_step.centres_steps = True  # type: ignore[attr-defined]
    optimizer._apply_weight_decay = hooked_weight_decay
    optimizer._backend_update_step = hooked_update_step


def _value(variable: Any) -> Any:
    value = ops.copy(variable)
    # PyTorch steps in the memory of the variable, through which nothing can be
    # derived; on JAX a derivative of the step must see the weights.
    return ops.stop_gradient(value) if keras.backend.backend() == "torch" else value
