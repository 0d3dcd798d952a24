"""What a comparison asks, and the frames of its trials."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.statistics import LEVEL, ROUNDING
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.trial import Trial

_OWN: dict[str, Any] = {
    **dict.fromkeys(("value", "last", "best"), pl.Float64),
    **dict.fromkeys(("best_epoch", "epochs"), pl.Int64),
    "diverged": pl.Boolean,
    **dict.fromkeys(("centered", "steps"), pl.Int64),
    **dict.fromkeys(
        ("seconds", "seconds_per_step", "wall_seconds", "learning_rate"), pl.Float64
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What a comparison asks; it is named before the runs.

    Attributes:
        arms: The names of the optimizers; the first is the baseline.
        monitor: The curve that is compared.
        best: Whether the largest or the smallest value is the best.
        tail: The share of the epochs, from the last one back, over which the monitor
            is averaged; 0 is the last epoch alone.
        design: The looks.
        margin: The smallest difference that matters, in units of the monitor; `None`
            for no test of equivalence.
    """

    arms: tuple[str, ...]
    monitor: str
    best: Literal["max", "min"]
    tail: float
    design: Design
    margin: float | None

    @property
    def sign(self) -> int:
        """The factor that turns a difference of the monitor into a gain."""
        return 1 if self.best == "max" else -1

    @property
    def share(self) -> float:
        """The error rate of each arm, if all have the same."""
        return LEVEL / max(1, len(self.arms) - 1)

    @property
    def kind(self) -> pl.Enum:
        """The type of a column of arms."""
        return pl.Enum(self.arms)

    def worst(self, values: pl.Series) -> float | None:
        """The worst finite value; `None` if there is none."""
        finite = values.filter(values.is_finite())
        return finite.min() if self.best == "max" else finite.max()  # type: ignore

    def reaches(self, values: np.ndarray, target: float) -> np.ndarray:
        """Whether values are as good as a target, but for rounding."""
        return self.sign * (values - target) >= -ROUNDING * abs(target)


def trials_of(results: Sequence[Result], question: Question) -> list[Result]:
    """The trials of a comparison itself, by seed and then arm.

    Raises:
        ValueError: If a trial is there twice, is of another arm or lacks the monitor.
    """
    found: dict[tuple[int, int], Result] = {}
    for result in results:
        trial = result.spec
        if not isinstance(trial, Trial) or trial.tuning:
            continue
        if trial.arm not in question.arms:
            raise ValueError(
                f"results must be of the arms {', '.join(question.arms)}. "
                f"Received: {trial}"
            )
        if question.monitor not in result.curves:
            raise ValueError(
                f"results must have the monitor {question.monitor}. "
                f"Received: {trial} with {', '.join(result.curves)}"
            )
        key = (trial.seed, question.arms.index(trial.arm))
        if key in found:
            raise ValueError(
                f"results must hold each trial once. Received: twice {trial}"
            )
        found[key] = result
    return [found[key] for key in sorted(found)]


def runs(trials: Sequence[Result], question: Question) -> pl.DataFrame:
    """A row for each trial: the columns of `TrialAnalysis.runs`."""
    rows = []
    for result in trials:
        last = {name: curve[-1] for name, curve in result.curves.items()}
        named = {f"{name}_last" if name in _OWN else name: last[name] for name in last}
        rows.append(named | _row(result, question))
    frame = _frame(rows, {"arm": question.kind, "seed": pl.Int64, **_OWN})
    worst = pl.lit(question.worst(frame["value"]), pl.Float64)
    return frame.with_columns(value=pl.when("diverged").then(worst).otherwise("value"))


def epochs(trials: Sequence[Result], question: Question) -> pl.DataFrame:
    """A row for each trial and epoch: the columns of `TrialAnalysis.epochs`."""
    rows = [
        {name: curve[number] for name, curve in result.curves.items()}
        | {"arm": _trial(result).arm, "seed": _trial(result).seed}
        | {"epoch": number + 1, "seconds": seconds}
        for result in trials
        for number, seconds in enumerate(result.seconds)
    ]
    kinds = {"arm": question.kind, "seed": pl.Int64, "epoch": pl.Int64}
    return _frame(rows, {**kinds, "seconds": pl.Float64})


def choose_rates(
    results: Sequence[Result], question: Question
) -> tuple[dict[str, float], list[str]]:
    """The learning rate of each arm that was the best on its grid.

    The measure is the mean of the monitor over the tail, averaged over the tuning
    trials of a rate. A diverged trial counts as the worst finite value of them all.

    Args:
        results: The tuning trials; others are left out.
        question: What is asked.

    Returns:
        The rate of each arm that has tuning trials, and a warning for each arm whose
        best rate is at the edge of its grid, or that has diverged at every rate.
    """
    trials = [
        result
        for result in results
        if isinstance(result.spec, Trial)
        and result.spec.tuning
        and result.spec.learning_rate is not None
    ]
    table = (
        runs(trials, question)
        .group_by("arm", "learning_rate")
        .agg(pl.col("value").mean(), pl.col("diverged").all())
        .sort("arm", "learning_rate")
    )
    chosen, warnings = {}, []
    for (arm,), grid in table.group_by("arm", maintain_order=True):
        order = grid.sort(
            question.sign * pl.col("value"), descending=True, maintain_order=True
        )
        rates, rate = grid["learning_rate"], order["learning_rate"][0]
        chosen[str(arm)] = rate
        if grid["diverged"].all():
            warnings.append(
                f"{arm}: every tuning trial diverged; its rates are too high"
            )
        elif len(rates) > 1 and rate in (rates[0], rates[-1]):
            edge = "smallest" if rate == rates[0] else "largest"
            warnings.append(
                f"{arm}: the best learning rate, {rate:g}, is the {edge} of its grid; "
                "a better one may lie beyond it"
            )
    return chosen, warnings


def _row(result: Result, question: Question) -> dict[str, Any]:
    trial = _trial(result)
    curve = np.asarray(result.curves[question.monitor], "float64")
    size = max(1, round(question.tail * len(curve)))
    value = float(np.mean(curve[-size:]))
    # Weights that are not finite still have an accuracy: that of a constant answer.
    loss = result.curves.get("loss", curve)[-1]
    finite = np.where(np.isfinite(curve), question.sign * curve, -np.inf)
    best = int(finite.argmax()) if np.isfinite(finite).any() else None
    return {
        "arm": trial.arm,
        "seed": trial.seed,
        "value": _finite(value),
        "last": _finite(float(curve[-1])),
        "best": None if best is None else float(curve[best]),
        "best_epoch": None if best is None else best + 1,
        "epochs": len(curve),
        "diverged": not (math.isfinite(value) and math.isfinite(loss)),
        "centered": result.centered,
        "steps": result.details.get("steps"),
        "seconds": sum(result.seconds),
        "seconds_per_step": _seconds_per_step(result),
        "wall_seconds": result.details.get("wall_seconds"),
        "learning_rate": trial.learning_rate,
    }


def _seconds_per_step(result: Result) -> float | None:
    """Without the first epoch, which compiles, if there are others."""
    steps, number = result.details.get("steps"), len(result.seconds)
    if not steps:
        return None
    later = result.seconds[1:] or result.seconds
    return sum(later) / (steps * len(later) / number)


def _trial(result: Result) -> Trial:
    assert isinstance(result.spec, Trial)
    return result.spec


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _frame(rows: Sequence[dict[str, Any]], kinds: dict[str, Any]) -> pl.DataFrame:
    """A frame with the columns of `kinds` first, and numbers in all others."""
    names = dict.fromkeys([*kinds, *(name for row in rows for name in row)])
    return pl.DataFrame(
        rows, schema=dict.fromkeys(names, pl.Float64) | kinds, strict=False
    )
