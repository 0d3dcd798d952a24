"""All numbers of a comparison of the user's own: from trials to verdicts."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from keras_wgd.experiments.analysis import costs, sentences, trial_frames
from keras_wgd.experiments.analysis.comparisons import paired
from keras_wgd.experiments.analysis.sentences import Unit
from keras_wgd.experiments.analysis.sequential import (
    Decision,
    Design,
    Judgment,
    gain_seen,
    judge,
    pairs_needed,
)
from keras_wgd.experiments.analysis.trial_frames import Question, choose_rates
from keras_wgd.experiments.store import comparison, results
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.trial import Trial
from keras_wgd.files import printable

__all__ = ["MEASURES", "POWER", "Question", "TrialAnalysis", "choose_rates"]

# What is compared: the mean over the tail, and beside it the last and the best epoch.
MEASURES = {"tail": "value", "last": "last", "best": "best"}
POWER = 0.8
# Keras measures in float32. Relative to the largest value: differences that are closer
# than this are the same number.
_ROUNDING = 1e-6
# A price beyond the last look is that of a study of up to twice as many pairs; the
# nominal level falls slowly after that.
_LONGEST = 40


@dataclasses.dataclass(frozen=True)
class TrialAnalysis:
    """What the verdict, tables, charts and sentences of a comparison are made from.

    The pairs count in the order of their seeds. A trial diverged if its mean over the
    tail or its last loss is not finite. It counts as the worst finite value of all
    trials.

    Attributes:
        question: What is asked.
        results: The trials so far; those of the search for rates are left out.

    Raises:
        ValueError: If a trial is there twice, has another arm or lacks the monitor.
    """

    question: Question
    results: Sequence[Result] = dataclasses.field(repr=False)

    @classmethod
    def read(cls, out: Path) -> tuple["TrialAnalysis", list[str]]:
        """The analysis of the trials in a folder of `compare`.

        Returns:
            The analysis, and a line for each folder of a trial that is not used.

        Raises:
            ValueError: If there is no comparison, or no trial of it.
        """
        record = comparison.read(out)
        found, problems = results.read_all(out, Trial)
        kept = [r for r in found if isinstance(r.spec, Trial) and not r.spec.tuning]
        if not kept:
            raise ValueError(
                printable(f"out must hold finished trials. Received: {out}, with none")
            )
        fields = record.question
        question = Question(
            arms=tuple(fields["arms"]),
            monitor=fields["monitor"],
            best=kept[0].details["best"],
            tail=float(fields["tail"]),
            design=Design.of(len(record.seeds), fields["sequential"]),
            margin=fields["margin"],
        )
        return cls(question, kept), problems

    @functools.cached_property
    def runs(self) -> pl.DataFrame:
        """A row for each trial, by seed and then arm.

        `value`, the mean of the monitor over the tail; its `last` value and its `best`
        one, with `best_epoch` from 1; `epochs`; `diverged`; `centered`; `steps`;
        `seconds` of training; `seconds_per_step`, without the first epoch, which
        compiles, where there are others; `wall_seconds`; `learning_rate`; and the last
        value of every curve under its own name, with `_last` where that is taken.
        """
        return trial_frames.runs(self._trials, self.question)

    @functools.cached_property
    def epochs(self) -> pl.DataFrame:
        """A row for each trial and epoch: `arm`, `seed`, `epoch` from 1, `seconds` of
        training, and every curve under its own name.
        """
        return trial_frames.epochs(self._trials, self.question)

    @functools.cached_property
    def differences(self) -> dict[str, list[float]]:
        """For each arm that has a pair, the gains of its pairs, by seed."""
        pairs = {arm: self._pairs(arm, "value") for arm in self.question.arms[1:]}
        return {
            arm: (self.question.sign * (ours - theirs)).tolist()
            for arm, (ours, theirs) in pairs.items()
            if len(ours)
        }

    @functools.cached_property
    def judgments(self) -> dict[str, Judgment]:
        """Of each arm but the baseline that has a pair."""
        return self._judge(self.differences)

    @functools.cached_property
    def verdicts(self) -> dict[str, Decision]:
        """Of each arm but the baseline."""
        return {
            arm: self.judgments[arm].decision if arm in self.judgments else "undecided"
            for arm in self.question.arms[1:]
        }

    @functools.cached_property
    def table(self) -> pl.DataFrame:
        """A row for each arm, the baseline first.

        The number of trials, `n`; `mean` and `std` of their values; `gain`, `low`,
        `high`, `p` and `verdict` from the pairs; and the mean `seconds` of a trial's
        training.
        """
        arms = pl.DataFrame({"arm": self.question.arms}, {"arm": self.question.kind})
        arms = arms.join(
            self.runs.group_by("arm").agg(
                n=pl.len().cast(pl.Int64),
                mean=pl.col("value").mean(),
                std=pl.col("value").std(),
                seconds=pl.col("seconds").mean(),
            ),
            on="arm",
            how="left",
            maintain_order="left",
        )
        numbers = ("gain", "low", "high", "p")
        judged = {
            name: [getattr(self.judgments.get(arm), name, None) for arm in arms["arm"]]
            for name in numbers
        }
        verdicts = [self.verdicts.get(arm) for arm in arms["arm"]]
        return arms.select(
            "arm",
            pl.col("n").fill_null(0),
            "mean",
            "std",
            *(pl.Series(name, judged[name], pl.Float64) for name in numbers),
            pl.Series("verdict", verdicts, pl.String),
            "seconds",
        )

    @functools.cached_property
    def secondary(self) -> pl.DataFrame:
        """A row for each arm but the baseline and each of `MEASURES`.

        `pairs`; the mean `gain`; `std`, of the difference of a pair; `p_unpaired`, of
        Welch's test; and `correlation`, between the two arms over the seeds. No number
        here is adjusted, and none makes a verdict.
        """
        from scipy import stats

        rows = []
        for arm in self.question.arms[1:]:
            for measure, column in MEASURES.items():
                ours, theirs = self._pairs(arm, column)
                gains = self.question.sign * (ours - theirs)
                row = {"arm": arm, "measure": measure, "pairs": len(gains)}
                if len(gains):
                    row["gain"] = gains.mean()
                if len(gains) > 1:
                    row["std"] = gains.std(ddof=1)
                if len(gains) > 1 and np.ptp(ours) and np.ptp(theirs):
                    test = stats.ttest_ind(ours, theirs, equal_var=False)
                    row["p_unpaired"] = test.pvalue
                    row["correlation"] = np.corrcoef(ours, theirs)[0, 1]
                rows.append(row)
        schema: dict[str, Any] = {
            "arm": self.question.kind,
            "measure": pl.String,
            "pairs": pl.Int64,
            **dict.fromkeys(("gain", "std", "p_unpaired", "correlation"), pl.Float64),
        }
        return pl.DataFrame(rows, schema=schema)

    @functools.cached_property
    def running(self) -> pl.DataFrame:
        """A row for each arm and number of its pairs from 2: how the estimate went.

        `pairs`, `gain`, `low` and `high` as they were when so many pairs were there,
        and `is_look`. Arms with fewer pairs count with those that they have.
        """
        rows = []
        most = max(map(len, self.differences.values()), default=0)
        for pairs in range(2, most + 1):
            part = {arm: row[:pairs] for arm, row in self.differences.items()}
            then = self._judge(part)
            rows += [
                {
                    "arm": arm,
                    "pairs": pairs,
                    "gain": then[arm].gain,
                    "low": then[arm].low,
                    "high": then[arm].high,
                    "is_look": pairs in self.question.design.looks,
                }
                for arm, row in self.differences.items()
                if len(row) >= pairs
            ]
        schema: dict[str, Any] = {
            "arm": self.question.kind,
            "pairs": pl.Int64,
            **dict.fromkeys(("gain", "low", "high"), pl.Float64),
            "is_look": pl.Boolean,
        }
        return pl.DataFrame(rows, schema=schema).sort("arm", "pairs")

    @functools.cached_property
    def costs(self) -> pl.DataFrame:
        """A row for each arm, the baseline first: `costs.table`."""
        return costs.table(self.runs, self.epochs, self.question)

    def price(self, gain: float) -> dict[str, tuple[int, float] | None]:
        """What it takes to see a gain of this size with power `POWER`.

        Args:
            gain: In units of the monitor.

        Returns:
            For each arm with two pairs or more: how many more pairs, and their seconds,
            those of the baseline's trials included; `None` above 1000 pairs.
        """
        return {
            arm: self._price(arm, gain, found.std)
            for arm, found in self.judgments.items()
            if found.std is not None
        }

    def sentences(self) -> list[str]:
        """The outcome in plain words, one fact a sentence: the verdicts come first."""
        return [*self.verdict_sentences(), *self.other_sentences()]

    def verdict_sentences(self) -> list[str]:
        """Each arm's verdict, and for an undecided one the next look and the price."""
        question, unit = self.question, self.unit
        told: list[str | None] = []
        for arm in question.arms[1:]:
            found, gains = self.judgments.get(arm), self.differences.get(arm, ())
            told.append(sentences.verdict(arm, found, gains, question, unit))
            if found and found.decision == "undecided":
                told.append(sentences.next_look(arm, found, question.design))
                told.append(self._price_sentence(arm, found))
        return [sentence for sentence in told if sentence]

    def other_sentences(self) -> list[str]:
        """The costs of the arms, and the trials that diverged."""
        baseline, *others = self.costs.to_dicts()
        told: list[str | None] = []
        for cost in others:
            told.append(sentences.speed(cost, baseline))
            told.append(sentences.way(cost, baseline, self.question))
        told.append(sentences.diverged(self.runs, self.unit))
        return [sentence for sentence in told if sentence]

    @functools.cached_property
    def unit(self) -> Unit:
        """How values and differences of the monitor are written."""
        values, monitor = self.epochs, self.question.monitor
        column = values[monitor] if monitor in values.columns else self.runs["value"]
        stds = [found.std for found in self.judgments.values() if found.std]
        gains = [abs(gain) for row in self.differences.values() for gain in row if gain]
        return Unit.of(monitor, column, min(stds or gains, default=None))

    def _judge(self, differences: Mapping[str, list[float]]) -> dict[str, Judgment]:
        every = {arm: differences.get(arm, []) for arm in self.question.arms[1:]}
        size = self.runs["value"].abs().max()
        design, rounding = self.question.design, _ROUNDING * float(size or 0)  # type: ignore
        judged = judge(every, design, self.question.margin, rounding=rounding)
        # The worst finite value says too little about a diverged trial for equivalence.
        strict = judge(every, design, rounding=rounding)
        return judged | {arm: strict[arm] for arm in self._diverged if arm in strict}

    @functools.cached_property
    def _diverged(self) -> set[str]:
        """The arms with a pair in which a trial diverged."""
        pairs = paired(self.runs, ["diverged"], [])
        return set(
            pairs.filter(pl.col("diverged") | pl.col("diverged_baseline"))["arm"]
        )

    def _price_sentence(self, arm: str, found: Judgment) -> str | None:
        """What the margin costs; without one, half the gain that the pairs show."""
        if not found.std:
            return None
        size = self.question.margin
        if size is None:
            level = self.question.design.nominal_level(self.question.share)
            size = gain_seen(found.pairs, found.std, level, POWER) / 2
        cost = self.price(size)[arm]
        arms = (arm, self.question.arms[0])
        return sentences.price(arms, size, cost, POWER, self.unit)

    def _price(self, arm: str, gain: float, std: float) -> tuple[int, float] | None:
        design, share = self.question.design, self.question.share
        needed = pairs_needed(gain, std, design.nominal_level(share))
        if needed and needed > design.looks[-1] and len(design.looks) > 1:
            longer = Design.of(
                max(design.looks[-1], min(2 * design.looks[-1], _LONGEST))
            )
            needed = pairs_needed(gain, std, longer.nominal_level(share))
        if needed is None:
            return None
        more = max(0, needed - self.judgments[arm].pairs)
        both = pl.col("arm").is_in([arm, self.question.arms[0]])
        means = (
            self.runs.filter(both).group_by("arm").agg(pl.col("wall_seconds").mean())
        )
        return more, more * float(means["wall_seconds"].sum())

    def _pairs(self, arm: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of an arm and of the baseline in the pairs of the arm."""
        worst = self.question.worst(self.runs[column])
        counted = self.runs.with_columns(
            pl.col(column).fill_null(pl.lit(worst, pl.Float64))
        )
        rows = paired(counted, [column], []).filter(pl.col("arm") == arm)
        rows = rows.drop_nulls([column, f"{column}_baseline"])
        return rows[column].to_numpy(), rows[f"{column}_baseline"].to_numpy()

    @functools.cached_property
    def _trials(self) -> list[Result]:
        return trial_frames.trials_of(self.results, self.question)
