"""Center the step that an optimizer takes, rather than the gradient it receives."""

import contextlib
import dataclasses
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from keras_wgd.optimizers.inner import optimizers_within
from keras_wgd.optimizers.plan import WhiteningPlan


@dataclasses.dataclass
class _Step:
    plan: WhiteningPlan
    # Positions in the plan of the kernels that were stepped and centered, and of those
    # whose gradients were accumulated.
    centered: set[int] = dataclasses.field(default_factory=set)
    accumulated: set[int | None] = dataclasses.field(default_factory=set)


# The step that a wrapper is taking; `None` while an inner optimizer steps by itself.
# (Each replica of TensorFlow steps in its own thread, which has its own value.)
_step: ContextVar[_Step | None] = ContextVar("step", default=None)


class UpdateCentering:
    """Centers the steps of a built optimizer, and of all optimizers inside it.

    Weight decay and step are neighbors in Keras's `apply`, with averages and
    constraints after them. Both are centered as one, and only there: averages and
    constraints see the centered weights, and accumulation and clipping stay as they
    are.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, plan: WhiteningPlan):
        self.optimizer = optimizer
        self._plan = plan
        for part in optimizers_within(optimizer):
            for method in _METHODS:
                _hook(part, method)

    @contextlib.contextmanager
    def step(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Iterator[None]:
        """Center the step that is taken in this context."""
        expected = set(self._plan.select(gradients, variables).values())
        step = _Step(self._plan)
        token = _step.set(step)
        try:
            yield
        finally:
            _step.reset(token)
        if missed := expected - step.centered - step.accumulated:
            name = type(self.optimizer).__name__
            raise ValueError(
                'placement="update" needs an inner optimizer that steps in Keras\'s '
                f"own apply; {name} changed kernels without it. Use "
                'placement="gradient", or wrap the optimizer that it has inside. '
                f"Received: {self._plan.kernels[min(missed)].path}, not centered"
            )


def _hook(optimizer: Any, method: Callable[..., Any]) -> None:
    """Put a method of this module in the place of the optimizer's own."""
    name = method.__name__
    own = vars(optimizer).get(name)  # set on the instance, by the user or by this
    if getattr(own, "__func__", None) is method:
        return
    if own is not None:
        setattr(optimizer, f"_own{name}", own)
    setattr(optimizer, name, types.MethodType(method, optimizer))


def _own(optimizer: Any, name: str) -> Callable[..., Any]:
    """The optimizer's own method, for which there is a hook."""
    of_class = functools.partial(getattr(type(optimizer), name), optimizer)
    return vars(optimizer).get(f"_own{name}", of_class)


def _apply_weight_decay(optimizer: Any, variables: Sequence[Any]) -> None:
    if _step.get() is None:  # else it is a part of the step
        _own(optimizer, "_apply_weight_decay")(variables)


def _backend_update_step(
    optimizer: Any, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any
) -> None:
    update_step = _own(optimizer, "_backend_update_step")
    step = _step.get()
    if step is None:
        update_step(grads, variables, learning_rate)
        return
    kernels = [
        (index, variable, _value(variable))
        for variable in variables
        if (index := step.plan.index_of(variable)) in step.plan.centered
    ]
    _own(optimizer, "_apply_weight_decay")(variables)
    update_step(grads, variables, learning_rate)
    for index, variable, before in kernels:
        # Operators: ops.subtract and ops.add of two float64 tensors give float32
        # on PyTorch in Keras 3.16.0.dev (keras-team/keras#23704).
        centered = step.plan.whiten(_value(variable) - before, index)
        optimizer.assign(variable, before + centered)
        step.centered.add(index)


def _backend_increment_gradient_accumulators(
    optimizer: Any, grads: Sequence[Any], acc_grads: Sequence[Any]
) -> None:
    _own(optimizer, "_backend_increment_gradient_accumulators")(grads, acc_grads)
    if step := _step.get():
        sums = {id(value) for value in acc_grads}
        step.accumulated |= {
            step.plan.index_of(variable)
            for variable, value in zip(
                optimizer._trainable_variables,
                optimizer._accumulated_gradients,
                strict=True,
            )
            if id(value) in sums
        }


_METHODS = (
    _apply_weight_decay,
    _backend_update_step,
    _backend_increment_gradient_accumulators,
)


def _value(variable: Any) -> Any:
    value = ops.copy(variable)
    # PyTorch steps in the memory of the variable, through which nothing can be
    # differentiated; on JAX a derivative of the step must see the weights.
    return ops.stop_gradient(value) if keras.backend.backend() == "torch" else value
