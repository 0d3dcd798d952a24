"""An optimizer around another one: the same in all but the gradients."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from keras_wgd.norms import WhiteningNorms
from keras_wgd.optimizers import inner


class _Forwarded:
    """An attribute of the inner optimizer, read and set there."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        if wrapper is None:
            return self
        return getattr(wrapper.inner_optimizer, self._name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        # Until there is an inner optimizer, the base class's __init__ sets its own
        # values, which nothing reads.
        if "inner_optimizer" in vars(wrapper):
            setattr(wrapper.inner_optimizer, self._name, value)


def _delegated(name: str) -> Callable[..., Any]:
    """A method of `keras.optimizers.Optimizer` that calls the inner optimizer's."""

    @functools.wraps(getattr(keras.optimizers.Optimizer, name))
    def method(self: "OptimizerWrapper", *args: Any, **kwargs: Any) -> Any:
        return getattr(self.inner_optimizer, name)(*args, **kwargs)

    return method


class OptimizerWrapper(keras.optimizers.Optimizer):
    """Hands transformed gradients to another optimizer, which does all the rest.

    A subclass transforms the gradients in `_transform`. Keras's methods for a step
    (`apply`, `apply_gradients`, `stateless_apply`, `build`) call the inner optimizer's
    method of the same name, as Keras does without the wrapper.

    The wrapper has no state of its own. Its `variables` are the inner optimizer's, and
    the public attributes of the inner optimizer can be read and set on it.
    """

    _monitor: WhiteningNorms | None = None

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str | dict[str, Any],
        name: str | None = None,
    ):
        inner_optimizer = inner.get(inner_optimizer)
        super().__init__(learning_rate=0.0, name=name)
        # TensorFlow's checkpoints would store this list of the base class.
        del self._variables
        self.inner_optimizer = inner_optimizer

    def _transform(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Sequence[Any]:
        """Transform gradients, some of them `None`, for the inner optimizer.

        `variables` are `None` for all that the optimizer was built on.
        """
        raise NotImplementedError

    def _prepare(self, variables: Sequence[Any] | None) -> None:
        """Called before each step with gradients. By default it does nothing."""

    def _transformed(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Sequence[Any]:
        if not gradients or not (variables or self.inner_optimizer.built):
            return gradients  # the inner optimizer raises Keras's error, if any
        self._prepare(variables)
        if self._monitor is None:
            return self._transform(gradients, variables)
        return self._monitor.measure(self._transform, gradients, variables)

    def _take_step(
        self,
        step: Callable[..., Any],
        gradients: Sequence[Any],
        variables: Sequence[Any] | None,
        **kwargs: Any,
    ) -> Any:
        """Let the inner optimizer step by transformed gradients."""
        return step(gradients, variables, **kwargs)

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
            **kwargs: Further arguments of the inner optimizer's `apply`.

        Returns:
            What the inner optimizer's `apply` returns.
        """
        variables = None if trainable_variables is None else list(trainable_variables)
        gradients = self._transformed(list(grads), variables)
        return self._take_step(
            self.inner_optimizer.apply, gradients, variables, **kwargs
        )

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, Any]], **kwargs: Any
    ) -> Any:
        """`apply` for pairs of gradient and variable.

        Args:
            grads_and_vars: The pairs, in any order.
            **kwargs: Further arguments of the inner optimizer's `apply_gradients`.

        Returns:
            What the inner optimizer's `apply_gradients` returns.
        """
        pairs = list(grads_and_vars)
        method = getattr(self.inner_optimizer.apply_gradients, "__func__", None)
        if not pairs or method is keras.optimizers.Optimizer.apply_gradients:
            return super().apply_gradients(pairs, **kwargs)  # which calls `apply`

        def step(gradients: Sequence[Any], variables: Sequence[Any], **kw: Any) -> Any:
            pairs = list(zip(gradients, variables, strict=True))
            return self.inner_optimizer.apply_gradients(pairs, **kw)

        grads, variables = map(list, zip(*pairs, strict=True))
        gradients = self._transformed(grads, variables)
        return self._take_step(step, gradients, variables, **kwargs)

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
            The new values of the trainable variables and of the optimizer's variables.
        """
        own = self._monitor.variables if self._monitor else []
        count = len(optimizer_variables) - len(own)
        mapping = list(zip(own, optimizer_variables[count:], strict=True))
        with keras.StatelessScope(mapping) as scope:
            gradients = self._transformed(grads, None)

        def step(gradients: Sequence[Any], _: None) -> Any:
            return self.inner_optimizer.stateless_apply(
                optimizer_variables[:count], gradients, trainable_variables
            )

        weights, variables = self._take_step(step, gradients, None)
        return weights, [*variables, *map(scope.get_current_value, own)]

    @property
    def variables(self) -> list[Any]:
        """The inner optimizer's variables, and those of a monitor while it measures."""
        own = self._monitor.variables if self._monitor else []
        return [*self.inner_optimizer.variables, *own]

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

    # The other attributes that Keras's trainers, callbacks and base class read.
    built = _Forwarded()
    clipnorm = _Forwarded()
    clipvalue = _Forwarded()
    ema_momentum = _Forwarded()
    ema_overwrite_frequency = _Forwarded()
    global_clipnorm = _Forwarded()
    gradient_accumulation_steps = _Forwarded()
    loss_scale_factor = _Forwarded()
    use_ema = _Forwarded()
    weight_decay = _Forwarded()
    _iterations = _Forwarded()
    _learning_rate = _Forwarded()
    _model_variables_moving_average = _Forwarded()
    _trainable_variables = _Forwarded()
    _trainable_variables_indices = _Forwarded()

    # The base class's methods that have no part in a step.
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
        """Return the name and the inner optimizer's config."""
        return {
            "name": self.name,
            "inner_optimizer": inner.serialize(self.inner_optimizer),
        }

    def __getattr__(self, name: str) -> Any:
        hidden = name.startswith("_") and name != "_variables"
        if hidden or "inner_optimizer" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        value = getattr(self.inner_optimizer, name)
        if getattr(value, "__self__", None) is self.inner_optimizer:
            return _checked(value, type(self).__name__)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "inner_optimizer":
            check_not_nested(value)
        if name == "update_step":  # which the inner optimizer calls on itself
            raise AttributeError("set update_step on inner_optimizer")
        if isinstance(getattr(type(self), name, None), _Forwarded):
            object.__setattr__(self, name, value)  # the inner optimizer tracks it
        elif name in vars(self) or hasattr(type(self), name) or not hasattr(self, name):
            super().__setattr__(name, value)
        else:
            setattr(self.inner_optimizer, name, value)

    def __dir__(self) -> list[str]:
        # Saving walks dir(): it would store the inner optimizer twice.
        return [name for name in super().__dir__() if name != "inner_optimizer"]


def _checked(method: Callable[..., Any], wrapper: str) -> Callable[..., Any]:
    """A method that only the inner optimizer has; it must not take a step."""

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
    except Exception:  # each backend raises its own for a value that does not exist yet
        return None


def check_not_nested(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an inner optimizer that has a wrapper inside."""
    for part in inner.optimizers_within(optimizer):
        if isinstance(part, OptimizerWrapper):
            raise ValueError(
                f"inner_optimizer must not have a {type(part).__name__} in it: "
                "both would change the gradients. Choose one mean and wrap once. "
                f"Received: {optimizer!r}"
            )
