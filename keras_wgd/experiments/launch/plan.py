"""What a comparison may do: its trials, its looks and its limits."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.trials import Question
from keras_wgd.experiments.trial import Trial

# The first seed of tuning trials, which no other trial has.
_TUNING_SEED = 2**31


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a comparison may do. It is fixed before the first trial.

    Attributes:
        arms: The names of the optimizers; the first is the baseline.
        seeds: The seeds, in the order in which pairs are made.
        epochs: The most epochs of a trial.
        monitor: The curve that is compared.
        tail: The share of the epochs that it is averaged over.
        margin: The smallest difference that matters; `None` for no such test.
        sequential: Whether the comparison may end before the last seed.
        budget: Seconds after which no further pair begins; `None` for no limit.
        learning_rates: The grid of each arm; empty for the optimizers' own rates.
        tuning_seeds: The number of trials of each rate.
        jobs: Trials at a time.
        may_end_early: Whether trials may have fewer epochs, by a callback.
    """

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    epochs: int
    monitor: str
    tail: float
    margin: float | None
    sequential: bool
    budget: float | None
    learning_rates: Mapping[str, Sequence[float]]
    tuning_seeds: int
    jobs: int
    may_end_early: bool = False

    @property
    def design(self) -> Design:
        """The looks."""
        return Design.of(len(self.seeds), self.sequential)

    def trial(
        self, arm: str, seed: int, rate: float | None = None, tuning: bool = False
    ) -> Trial:
        """A trial of an arm."""
        return Trial(
            arm=arm,
            seed=seed,
            epochs=self.epochs,
            learning_rate=rate,
            tuning=tuning,
        )

    def trials(self) -> list[Trial]:
        """All trials that there may be, apart from their learning rates."""
        return [
            self.trial(arm, _TUNING_SEED + number, rate, tuning=True)
            for number in range(self.tuning_seeds)
            for arm in self.arms
            for rate in self.learning_rates.get(arm, ())
        ] + [self.trial(arm, seed) for seed in self.seeds for arm in self.arms]

    def first_rate(self, arm: str) -> float | None:
        """The first learning rate of an arm's grid; `None` without a grid."""
        return next(iter(self.learning_rates.get(arm, ())), None)

    def asked(self) -> dict[str, Any]:
        """What must be named before the trials, ready for JSON."""
        names = ("monitor", "tail", "margin", "sequential", "tuning_seeds")
        return {
            "arms": list(self.arms),
            **{name: getattr(self, name) for name in names},
            "learning_rates": {a: list(r) for a, r in self.learning_rates.items()},
        }

    def question(self, best: Literal["min", "max"]) -> Question:
        """What is asked, when it is known whether the monitor is the better high."""
        return Question(
            arms=self.arms,
            monitor=self.monitor,
            best=best,
            tail=self.tail,
            design=self.design,
            margin=self.margin,
        )
