"""The model, optimizer and callbacks of a trial, which the user's code makes."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_wgd.experiments.arguments import call
from keras_wgd.experiments.training.build import set_random_seed
from keras_wgd.experiments.training.custom.fresh import check_new
from keras_wgd.optimizers import inner


def new_model(build_model: Callable[[], Any], seed: int) -> keras.Model:
    """A model with the weights of a seed.

    Raises:
        ValueError: If it is not a model, not new, or compiled.
    """
    set_random_seed(seed)
    model = call("build_model", build_model)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"build_model must return a keras.Model. Received: {type(model).__name__}"
        )
    if model.compiled:
        raise ValueError(
            "build_model must return a model that is not compiled: compare() compiles "
            f"it with each optimizer. Received: a compiled {type(model).__name__}"
        )
    check_new(model, "build_model must return a new model")
    return model


def new_optimizer(
    arm: str, optimizer: Any, learning_rate: float | None = None
) -> keras.optimizers.Optimizer:
    """A new optimizer of an arm.

    Args:
        arm: The name of the arm.
        optimizer: What the user gave for it: a function, a name, or a config.
        learning_rate: The learning rate; `None` for the optimizer's own.

    Raises:
        ValueError: If it is not an optimizer, not new, or has a schedule in place of
            the learning rate.
    """
    name = f"optimizers[{arm!r}]"
    takes_rate = callable(optimizer) and _needs_argument(optimizer)
    if takes_rate and learning_rate is None:
        raise ValueError(
            f"{name} must be a function without arguments, or have learning_rates. "
            "Received: a function that needs an argument"
        )
    if callable(optimizer):
        made = call(name, optimizer, *([learning_rate] if takes_rate else []))
    else:
        try:
            made = inner.get(optimizer)
        except ValueError as error:
            message = str(error).replace("inner_optimizer", name, 1)
            raise ValueError(message) from None
    if not isinstance(made, keras.optimizers.Optimizer):
        raise ValueError(
            f"{name} must be a function that returns a new optimizer, a name or a "
            f"config. Received: {type(made).__name__}"
        )
    for part in (made, getattr(made, "inner_optimizer", None)):
        if part is not None and part.built:
            raise ValueError(
                f"{name} must make a new optimizer in each call. "
                f"Received: {part.name}, which has been used"
            )
    if learning_rate is not None and not takes_rate:
        try:
            made.learning_rate = learning_rate
        except TypeError:
            raise ValueError(
                f"{name} must be a function of the learning rate, since "
                "learning_rates cannot replace its schedule. "
                f"Received: {made.name}, with a schedule"
            ) from None
    return made


def new_callbacks(
    callbacks: Callable[[], Any] | None,
) -> list[keras.callbacks.Callback]:
    """New callbacks of the user; none without a function.

    Raises:
        ValueError: If one is not a callback, or not new.
    """
    made = keras.tree.flatten(call("callbacks", callbacks) if callbacks else [])
    for callback in made:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                "callbacks must return a list of keras.callbacks.Callback. "
                f"Received: {type(callback).__name__}"
            )
        check_new(callback, "callbacks must return new callbacks")
    return made


def _needs_argument(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin has no signature
        pass
    return False
