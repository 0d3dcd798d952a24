"""Centre the step that an optimizer takes, rather than the gradient it is given."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from keras import ops

if TYPE_CHECKING:
    from keras_wgd.optimizers.plan import WhiteningPlan

# The wrappers whose `apply` is under way, outermost first. An optimizer that is
# used without its wrapper again must step as if it had never had one.
_applying: ContextVar[tuple[int, ...]] = ContextVar("applying", default=())


@contextlib.contextmanager
def applying(wrapper: Any) -> Iterator[None]:
    """While this lasts, the optimizers that `wrapper` has hooked are centred."""
    token = _applying.set((*_applying.get(), id(wrapper)))
    try:
        yield
    finally:
        _applying.reset(token)


def hook(
    wrapper: Any, plan: "WhiteningPlan", index_of: Callable[[Any], int | None]
) -> None:
    """Make the optimizers in a wrapper centre the step they take on each kernel.

    Decay and step stand next to each other in Keras's base class, with EMA and
    constraints after them: taking both in one gives these the centred weights,
    and leaves accumulation and clipping where they were.

    Args:
        wrapper: The wrapper; its steps are centred while it is `applying`.
        plan: The `WhiteningPlan`.
        index_of: Maps a variable to its position in the plan.
    """
    for optimizer in _innermost(wrapper):
        _hook(optimizer, id(wrapper), plan, index_of)


def _innermost(optimizer: Any) -> list[Any]:
    """The optimizers that take the steps, inside wrappers and collections."""
    if hasattr(optimizer, "optimizers"):
        return [leaf for part in optimizer.optimizers for leaf in _innermost(part)]
    if hasattr(optimizer, "inner_optimizer"):
        return _innermost(optimizer.inner_optimizer)
    return [optimizer]


def _hook(
    optimizer: Any,
    wrapper_id: int,
    plan: "WhiteningPlan",
    index_of: Callable[[Any], int | None],
) -> None:
    apply_weight_decay = optimizer._apply_weight_decay
    update_step = optimizer._backend_update_step

    def hooked_weight_decay(variables: Sequence[Any]) -> None:
        if wrapper_id not in _applying.get():
            apply_weight_decay(variables)

    def hooked_update_step(
        grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        if wrapper_id not in _applying.get():
            update_step(grads, trainable_variables, learning_rate)
            return
        kernels = [
            (index, variable, ops.stop_gradient(ops.copy(variable)))
            for variable in trainable_variables
            if (index := index_of(variable)) in plan.whitened
        ]
        apply_weight_decay(trainable_variables)
        update_step(grads, trainable_variables, learning_rate)
        for index, variable, before in kernels:
            step = ops.subtract(ops.stop_gradient(variable), before)
            optimizer.assign(variable, ops.add(before, plan.whiten(step, index)))

    optimizer._apply_weight_decay = hooked_weight_decay
    optimizer._backend_update_step = hooked_update_step
