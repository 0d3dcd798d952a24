"""All numbers of a comparison of the user's own: from trials to verdicts."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from keras_wgd.experiments.analysis.comparisons import paired
from keras_wgd.experiments.analysis.sequential import (
    Decision,
    Design,
    Judgment,
    judge,
    pairs_needed,
)
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.trial import Trial

# What is compared: the mean over the tail, and beside it the last and the best epoch.
MEASURES = {"tail": "value", "last": "last", "best": "best"}
POWER = 0.8
# Longer designs than this are not simulated for a price.
_LONGEST = 50


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
        """What turns a difference of the monitor into a gain."""
        return 1 if self.best == "max" else -1

    @property
    def level(self) -> float:
        """The nominal level of an interval, for the looks and the arms."""
        return self.design.nominal_level(LEVEL / max(1, len(self.arms) - 1))


@dataclasses.dataclass(frozen=True)
class TrialAnalysis:
    """What the verdict, tables, charts and sentences of a comparison are made from.

    The pairs count in the order of their seeds. A diverged trial, whose mean over the
    tail is not finite, counts as the worst finite value of all trials.

    Attributes:
        question: What is asked.
        results: The trials so far; those of the search for rates are left out.

    Raises:
        ValueError: If a trial is there twice, has another arm or lacks the monitor.
    """

    question: Question
    results: Sequence[Result] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        seen = set()
        for result in self._results:
            trial = result.spec
            if trial.arm not in self.question.arms:
                raise ValueError(
                    f"results must be of the arms {self.question.arms}. "
                    f"Received: {trial}"
                )
            if (trial.arm, trial.seed) in seen:
                raise ValueError(
                    f"results must hold each trial once. Received: twice {trial}"
                )
            seen.add((trial.arm, trial.seed))

    @property
    def _results(self) -> list[Any]:
        trials = [
            result
            for result in self.results
            if isinstance(result.spec, Trial) and not result.spec.tuning
        ]
        order = self.question.arms.index
        known = [result for result in trials if result.spec.arm in self.question.arms]
        other = [result for result in trials if result not in known]
        return other + sorted(
            known, key=lambda result: (result.spec.seed, order(result.spec.arm))
        )
