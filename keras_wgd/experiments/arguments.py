"""The arguments of `compare`: what is allowed, and what is made of it."""

import atexit
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_wgd.experiments.fields import number, whole

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def check_arms(optimizers: Any) -> tuple[str, ...]:
    """The names of the arms, after a check of the optimizers."""
    if not isinstance(optimizers, Mapping) or len(optimizers) < 2:
        raise ValueError(
            "optimizers must be a dictionary of two arms or more, the baseline first. "
            f"Received: {optimizers!r}"
        )
    for arm, optimizer in optimizers.items():
        if not isinstance(arm, str) or not arm or not arm.isprintable():
            raise ValueError(
                f"optimizers must have names that can be printed. Received: {arm!r}"
            )
        if not (callable(optimizer) or isinstance(optimizer, str | dict)):
            raise ValueError(
                f"optimizers[{arm!r}] must be a function that returns a new optimizer, "
                "since each trial needs its own: write lambda: Adam(1e-3). "
                f"Received: {type(optimizer).__name__}"
            )
    return tuple(optimizers)


def check_callable(name: str, value: Any, what: str) -> None:
    """Check that a value is a function."""
    if not callable(value):
        raise ValueError(
            f"{name} must be a function {what} in each call. "
            f"Received: {type(value).__name__}"
        )


def call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a user's function returns.

    Raises:
        ValueError: If it raises an error, which is the cause.
    """
    try:
        return function(*arguments)
    except Exception as error:
        text = ": ".join(filter(None, (type(error).__name__, str(error))))
        raise ValueError(
            f"{name} must be a function that does not fail. "
            f"Received: {' '.join(text.split())}"
        ) from error


def seeds_of(seeds: Any) -> tuple[int, ...]:
    """The seeds: those given, or the first so many."""
    if isinstance(seeds, Iterable) and not isinstance(seeds, str):
        chosen = tuple(seeds)
        for seed in chosen:
            whole(0, 2**31 - 1)("seeds", seed)
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"seeds must not repeat. Received: {list(chosen)}")
    else:
        chosen = tuple(range(check_whole("seeds", seeds)))
    if len(chosen) < 2:
        raise ValueError(
            "seeds must be two or more: one pair shows no spread. "
            f"Received: {len(chosen)}"
        )
    return chosen


def check_text(name: str, value: Any) -> None:
    """Check for a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text. Received: {value!r}")


def check_bool(name: str, value: Any) -> None:
    """Check for True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False. Received: {value!r}")


def check_fit(
    *,
    batch_size: Any,
    steps_per_execution: Any,
    steps_per_epoch: Any,
    validation_steps: Any,
    jit_compile: Any,
    class_weight: Any,
) -> None:
    """Check the arguments of `fit` and `compile` that have a simple type."""
    check_whole("batch_size", batch_size)
    check_whole("steps_per_execution", steps_per_execution)
    if steps_per_epoch is not None:
        check_whole("steps_per_epoch", steps_per_epoch)
    if validation_steps is not None:
        check_whole("validation_steps", validation_steps)
    if jit_compile != "auto":
        check_bool("jit_compile", jit_compile)
    if class_weight is not None and not isinstance(class_weight, Mapping):
        raise ValueError(
            "class_weight must be a dictionary of a weight for each class. "
            f"Received: {class_weight!r}"
        )


def check_whole(name: str, value: Any) -> int:
    """Check for a whole number of at least 1."""
    whole()(name, value)
    return value


def check_number(
    name: str, value: Any, minimum: float, maximum: float = math.inf
) -> float:
    """Check for a number in `[minimum, maximum]`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number. Received: {value!r}")
    if not minimum <= value <= maximum:
        bound = "" if math.isinf(maximum) else f" and at most {maximum:g}"
        raise ValueError(
            f"{name} must be at least {minimum:g}{bound}. Received: {value!r}"
        )
    return float(value)


def seconds_of(budget: Any) -> float | None:
    """A budget in seconds; `None` for none."""
    if isinstance(budget, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", budget.strip())
        seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    elif isinstance(budget, int | float) and not isinstance(budget, bool):
        seconds = float(budget)
    elif budget is None:
        return None
    else:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(
            'budget must be a time such as "90s", "30m" or "2h", or a number of '
            f"seconds. Received: {budget!r}"
        )
    return seconds


def grids_of(learning_rates: Any, arms: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The learning rates of each arm, as many for each; empty for none."""
    if learning_rates is None:
        return {}
    if not isinstance(learning_rates, Mapping) or set(learning_rates) != set(arms):
        raise ValueError(
            f"learning_rates must have a list for each of {', '.join(arms)}. "
            f"Received: {learning_rates!r}"
        )
    grids = {}
    for arm in arms:
        rates = learning_rates[arm]
        if not isinstance(rates, Iterable) or isinstance(rates, str):
            raise ValueError(
                f"learning_rates[{arm!r}] must be a list. Received: {rates!r}"
            )
        grids[arm] = tuple(rates)
        for rate in grids[arm]:
            number(above=0)(f"learning_rates[{arm!r}]", rate)
    sizes = {arm: len(set(rates)) for arm, rates in grids.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(
            "learning_rates must have as many rates for each arm, so that no arm is "
            f"tuned more than another. Received: {sizes}"
        )
    return {arm: tuple(map(float, dict.fromkeys(r))) for arm, r in grids.items()}


def folder_of(out: Any) -> Path:
    """The folder for the trials; `None` stands for one that lasts as the process."""
    if out is None:
        folder = tempfile.mkdtemp(prefix="keras-wgd-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
    if not isinstance(out, str | os.PathLike) or not os.fspath(out):
        raise ValueError(f"out must be the path of a folder. Received: {out!r}")
    return Path(out)


def console_of(progress: Any) -> Console:
    """The console that shows progress, which is quiet for False."""
    if isinstance(progress, Console):
        return progress
    if not isinstance(progress, bool):
        raise ValueError(
            "progress must be True, False or a Rich console. "
            f"Received: {type(progress).__name__}"
        )
    return Console(quiet=not progress)
