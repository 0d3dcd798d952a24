"""Optimizers by name with settings as text, and the arms of a comparison of them."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_wgd.choices import check_choice, did_you_mean
from keras_wgd.optimizers import inner
from keras_wgd.optimizers.means import MeanOver, Placement
from keras_wgd.optimizers.wgd import WGD

Arms = dict[str, functools.partial[keras.optimizers.Optimizer]]

_BOOLS = {"true": True, "false": False}


def make(
    name: str,
    chosen: Mapping[str, Any],
    mean_over: MeanOver | None = None,
    placement: Placement = "gradient",
) -> keras.optimizers.Optimizer:
    """An optimizer of Keras, or RAdam, with arguments; in WGD if there is a mean."""
    optimizer = inner.named()[name](**chosen)
    return optimizer if mean_over is None else WGD(optimizer, mean_over, placement)


def arms(
    names: Sequence[str],
    texts: Sequence[str] = (),
    means: Sequence[MeanOver] = (),
    placement: Placement | None = None,
    all_names: Sequence[str] = (),
) -> Arms:
    """Each optimizer, plain and then with each mean, by names such as "adam-fan_in".

    The texts are settings: "name=value" for all optimizers, or "adam.name=value" for
    one of them, or of `all_names`.
    """
    made: Arms = {}
    for name in names:
        chosen = settings(name, texts, all_names or names)
        for mean in (None, *means):
            arm = name if mean is None else f"{name}-{mean}"
            made[arm] = functools.partial(
                make, name, chosen, mean, placement or "gradient"
            )
    return made


def settings(
    name: str, texts: Sequence[str], all_names: Sequence[str] = ()
) -> dict[str, Any]:
    """The arguments of one optimizer. Each has the type of its default."""
    names = all_names or [name]
    for each in names:
        check_choice("optimizer", each, inner.named())
    known = {
        parameter.name: parameter.default
        for parameter in inspect.signature(inner.named()[name]).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "name"
    }
    chosen: dict[str, Any] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        owner, dot, setting = left.strip().rpartition(".")
        if not equals or not setting:
            raise ValueError(
                f"set must be NAME=VALUE or OPTIMIZER.NAME=VALUE. Received: {text!r}"
            )
        if dot:
            check_choice("optimizer of set", owner, names)
        if owner not in ("", name):
            continue
        if setting not in known:
            one = f"; write OPTIMIZER.{setting}=... for one of the optimizers"
            raise ValueError(
                f"set must name a setting of {name}: {', '.join(known)}"
                f"{one if len(names) > 1 and not dot else ''}. "
                f"Received: {setting!r}{did_you_mean(setting, known)}"
            )
        chosen[setting] = _value(setting, known[setting], value.strip())
    try:
        make(name, chosen)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"set must have values that {name} accepts. "
            f"Received: {chosen} ({' '.join(str(error).split())})"
        ) from error
    return chosen


def _value(name: str, default: Any, text: str) -> Any:
    """A value of the type of a default; a number where the default is `None`."""
    try:
        if isinstance(default, bool):
            return _BOOLS[text.lower()]
        if isinstance(default, str):
            return text
        if text.lower() == "none" and default is None:
            return None
        if isinstance(default, float):
            return float(text)
        if isinstance(default, int) or text.lstrip("+-").isdigit():
            return int(text)
        return float(text)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number"}.get(
            type(default), "a number"
        )
        raise ValueError(f"{name} must be {kind}. Received: {text!r}") from None
