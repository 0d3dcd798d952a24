"""An optimizer around another one: the same in all but the gradients."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_wgd.optimizers import inner

# Private state of the inner optimizer that Keras's trainers, callbacks and
# base class read on whatever optimizer they are given.
_FORWARDED = (
    "_iterations",
    "_learning_rate",
    "_model_variables_moving_average",
    "_trainable_variables",
    "_trainable_variables_indices",
    "_variables",
)


def _delegated(name: str) -> Callable[..., Any]:
    """A method of `keras.optimizers.Optimizer` that is the inner optimizer's own."""

    @functools.wraps(getattr(keras.optimizers.Optimizer, name))
    def method(self: "OptimizerWrapper", *args: Any, **kwargs: Any) -> Any:
        return getattr(self.inner_optimizer, name)(*args, **kwargs)

    return method


class OptimizerWrapper(keras.optimizers.Optimizer):
    """Hands gradients to another optimizer, which does all the rest.

    A subclass transforms the gradients in `_transform`. Every method of Keras on the
    way of a step (`apply`, `apply_gradients`, `stateless_apply`, `build`) calls the
    inner optimizer's method of the same name, so an inner optimizer that overrides
    one is called as without the wrapper.

    The wrapper has no state of its own. Its `variables` are the inner optimizer's, and
    the public attributes of the inner optimizer can be read and set on it.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer`, the name of one, such as
            `"adam"` or `"radam"`, or its config.
        name: The name of the optimizer.

    Raises:
        ValueError: If `inner_optimizer` is none of these, scales the loss, or has a
            wrapper of the same kind inside.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str | dict[str, Any],
        name: str | None = None,
    ):
        inner_optimizer = inner.get(inner_optimizer)
        self._check_not_nested(inner_optimizer)
        super().__init__(learning_rate=0.0, name=name)
        # The base class has just set what belongs to the inner optimizer. Without
        # these attributes, reads and writes go through. (TensorFlow's tracking
        # keeps its own in attributes that begin with _self_.)
        own = ("name", "_lock", "_tracker", "_distribution_strategy")
        for attribute in list(vars(self)):
            if attribute not in own and not attribute.startswith("_self_"):
                delattr(self, attribute)
        self.inner_optimizer = inner_optimizer

    def _check_not_nested(self, optimizer: keras.optimizers.Optimizer) -> None:
        for part in optimizers_within(optimizer):
            if isinstance(part, OptimizerWrapper):
                raise ValueError(
                    f"inner_optimizer must not have a {type(part).__name__} in it: "
                    "both would change the gradients. Choose one mean and wrap once. "
                    f"Received: {optimizer!r}"
                )

    def _transform(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Sequence[Any]:
        """The gradients for the inner optimizer.

        Args:
            gradients: A gradient, or `None`, for each variable.
            variables: The variables; `None` for all that the optimizer was built on.
        """
        raise NotImplementedError

    def build(self, variables: Sequence[Any]) -> None:
        """Build the inner optimizer.

        Args:
            variables: The model's trainable variables.
        """
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Transform the gradients and let the inner optimizer step.

        Args:
            grads: A gradient, or `None`, for each variable.
            trainable_variables: The variables, in any order, or `None` for all
                that the optimizer was built with.
            **kwargs: What the inner optimizer's `apply` takes besides.

        Returns:
            What the inner optimizer's `apply` returns.
        """
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        return self._step(
            self.inner_optimizer.apply, grads, trainable_variables, **kwargs
        )

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, Any]], **kwargs: Any
    ) -> Any:
        """`apply` for pairs of gradient and variable.

        Args:
            grads_and_vars: The pairs, in any order.
            **kwargs: What the inner optimizer's `apply_gradients` takes besides.

        Returns:
            What the inner optimizer's `apply_gradients` returns.
        """
        pairs = list(grads_and_vars)
        method = getattr(self.inner_optimizer.apply_gradients, "__func__", None)
        if not pairs or method is keras.optimizers.Optimizer.apply_gradients:
            return super().apply_gradients(pairs, **kwargs)  # which calls `apply`

        def take(grads: Sequence[Any], variables: Sequence[Any], **kwargs: Any) -> Any:
            together = list(zip(grads, variables, strict=True))
            return self.inner_optimizer.apply_gradients(together, **kwargs)

        grads, variables = map(list, zip(*pairs, strict=True))
        return self._step(take, grads, variables, **kwargs)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """The stateless version of `apply`, for JAX.

        Args:
            optimizer_variables: The values of `variables`.
            grads: A gradient, or `None`, for each variable.
            trainable_variables: The values of the variables that the optimizer
                was built with, in that order.

        Returns:
            The new values of the trainable and of the optimizer's variables.
        """

        def take(grads: Sequence[Any], _: None) -> Any:
            return self.inner_optimizer.stateless_apply(
                optimizer_variables, grads, trainable_variables
            )

        return self._step(take, grads, None)

    def _step(
        self,
        take: Callable[..., Any],
        grads: Sequence[Any],
        variables: Sequence[Any] | None,
        **kwargs: Any,
    ) -> Any:
        """Let the inner optimizer take a step by transformed gradients."""
        return take(self._transform(grads, variables), variables, **kwargs)

    @property
    def variables(self) -> list[Any]:
        """The inner optimizer's variables."""
        return list(self.inner_optimizer.variables)

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The inner optimizer's count of steps."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, iterations: Any) -> None:
        self.inner_optimizer.iterations = iterations

    add_optimizer_variables = _delegated("add_optimizer_variables")
    add_variable = _delegated("add_variable")
    add_variable_from_reference = _delegated("add_variable_from_reference")
    assign = _delegated("assign")
    assign_add = _delegated("assign_add")
    assign_sub = _delegated("assign_sub")
    exclude_from_weight_decay = _delegated("exclude_from_weight_decay")
    finalize_variable_values = _delegated("finalize_variable_values")
    load_own_variables = _delegated("load_own_variables")
    save_own_variables = _delegated("save_own_variables")
    scale_loss = _delegated("scale_loss")
    set_weights = _delegated("set_weights")

    def get_config(self) -> dict[str, Any]:
        """The name and the inner optimizer's config."""
        return {
            "name": self.name,
            "inner_optimizer": inner.serialize(self.inner_optimizer),
        }

    def __getattr__(self, name: str) -> Any:
        forwarded = name in _FORWARDED or not name.startswith("_")
        if forwarded and "inner_optimizer" in vars(self):
            optimizer = self.inner_optimizer
            value = getattr(optimizer, name)
            if getattr(value, "__self__", None) is optimizer:
                return _checked(value, type(self).__name__)
            return value
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "inner_optimizer":
            self._check_not_nested(value)
        if name == "update_step":  # which the inner optimizer calls on itself
            raise AttributeError("set update_step on inner_optimizer")
        own = name in vars(self) or hasattr(type(self), name)
        if not own and hasattr(self, name):
            setattr(self.inner_optimizer, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        # Saving walks dir(): listed, the inner optimizer would be stored twice.
        return [name for name in super().__dir__() if name != "inner_optimizer"]


def _checked(method: Callable[..., Any], wrapper: str) -> Callable[..., Any]:
    """A method of the inner optimizer alone, which must not take a step by itself."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        optimizer = method.__self__  # type: ignore[attr-defined]
        before = _iterations(optimizer)
        result = method(*args, **kwargs)
        if before is not None and before != _iterations(optimizer):
            raise ValueError(
                f"{method.__name__}() of {type(optimizer).__name__} took a step that "
                f"{wrapper} did not see: call apply() of the wrapper instead"
            )
        return result

    return call


def _iterations(optimizer: Any) -> int | None:
    """The count of steps; `None` while a program is traced."""
    try:
        return int(keras.ops.convert_to_numpy(optimizer._iterations))
    except Exception:  # each backend has its own for a value that is not there yet
        return None


def optimizers_within(
    optimizer: keras.optimizers.Optimizer,
) -> Iterator[keras.optimizers.Optimizer]:
    """An optimizer and those in its attributes, at any depth, each once."""
    waiting: list[Any] = [optimizer]
    seen = set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, keras.optimizers.Optimizer):
            yield part
            waiting.extend(vars(part).values())
        elif isinstance(part, Mapping):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            waiting.extend(part)  # TensorFlow's wrapper of a tuple has no +
