"""The outcome of a comparison in plain words, one fact a sentence."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from keras_wgd.experiments.analysis.sequential import Design, Judgment
from keras_wgd.experiments.analysis.trial_frames import Question

# Keras's metrics that are fractions, and usual names for them.
_FRACTIONS = re.compile(
    r"(?:^|_)(?:acc|accuracy|auc|dice|f1|f1_score|fbeta_score|io_u|iou|mean_io_u|"
    r"precision|recall|sensitivity|specificity|top[-_]?[k\d]*)(?:_(?!.*loss)|$)"
)
_TIMES = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


@dataclasses.dataclass(frozen=True)
class Unit:
    """How values of the monitor are written.

    Attributes:
        factor: What a value is multiplied with.
        of_difference: The unit of differences, with a space before it; may be empty.
        of_value: Likewise, of values.
        digits: The digits after the point.
    """

    factor: float
    of_difference: str
    of_value: str
    digits: int

    @classmethod
    def of(cls, monitor: str, values: pl.Series, spread: float | None) -> "Unit":
        """The unit of a monitor.

        Fractions are in percent, and their differences in points: values from 0 to 1
        of a monitor that is named for such a metric. Others have no unit.

        Args:
            monitor: The name of the curve.
            values: All its values.
            spread: The size of the differences that are written, which has two digits
                that count.
        """
        finite = values.filter(values.is_finite())
        is_fraction = (
            _FRACTIONS.search(monitor.removeprefix("val_").lower()) is not None
            and not finite.is_empty()
            and bool(finite.is_between(0, 1).all())
        )
        factor = 100.0 if is_fraction else 1.0
        size = factor * (spread or 0)
        least = 2 if is_fraction else 0
        digits = 1 - math.floor(math.log10(size)) if size else least or 4
        return cls(
            factor=factor,
            of_difference=" points" if is_fraction else "",
            of_value=" %" if is_fraction else "",
            digits=max(least, digits),
        )

    def number(self, value: float, sign: str = "") -> str:
        """A number without its unit; with `sign="+"` with its sign."""
        value = self.factor * value
        if self.digits > 8 or abs(value) >= 1e8:
            return f"{value:{sign}.3g}"
        text = f"{value:{sign}.{self.digits}f}"
        is_zero = not re.search("[1-9]", text)
        return text.lstrip("+-") if is_zero else text

    def difference(self, value: float) -> str:
        """A difference, with its sign and unit."""
        return f"{self.number(value, '+')}{self.of_difference}"

    def size(self, value: float) -> str:
        """The size of a difference, with its unit: as short as it can be."""
        text, unit = f"{self.factor * abs(value):.3g}", self.of_difference
        return f"{text}{unit.removesuffix('s') if text == '1' else unit}"

    def value(self, value: float) -> str:
        """A value, with its unit."""
        return f"{self.number(value)}{self.of_value}"


def verdict(
    arm: str,
    found: Judgment | None,
    gains: Sequence[float],
    question: Question,
    unit: Unit,
) -> str:
    """What the pairs of an arm show."""
    baseline, monitor = question.arms[0], question.monitor
    if found is None:
        return f"{arm} against {baseline} is undecided: there is no pair with values."
    start = {
        "better": f"{arm} is better than {baseline}",
        "worse": f"{arm} is worse than {baseline}",
        "equivalent": f"{arm} and {baseline} are equivalent",
        "undecided": f"{arm} against {baseline} is undecided",
    }[found.decision]
    pairs = _number(found.pairs, "pair")
    if not any(gains):
        return f"{start}: {monitor} is the same in {pairs}."
    change = question.sign * found.gain
    has_direction = sum(question.sign * gain * change > 0 for gain in gains)
    facts = [
        f"{monitor} {unit.difference(change)}{_interval(found, question, unit)}",
        f"{'lower' if change < 0 else 'higher'} in {has_direction} of {pairs}",
    ]
    if found.decision == "equivalent" and question.margin is not None:
        facts.append(f"within the margin of {unit.size(question.margin)}")
    elif found.p is not None:
        facts.append(f"p {p_text(found.p)}")
    return f"{start}: {', '.join(facts)}."


def next_look(arm: str, found: Judgment, design: Design) -> str | None:
    """When an undecided arm is judged again; `None` after the last look."""
    ahead = [look for look in design.looks if look > found.pairs]
    if not ahead:
        return None
    more = ahead[0] - found.pairs
    return (
        f"{arm} is judged {'next' if found.look else 'first'} after {ahead[0]} pairs, "
        f"{more} more."
    )


def price(
    arms: tuple[str, str],
    size: float,
    cost: tuple[int, float] | None,
    power: float,
    unit: Unit,
) -> str:
    """What it takes to see a difference of some size.

    Args:
        arms: The arm, and the baseline.
        size: The difference, in units of the monitor.
        cost: As of `TrialAnalysis.price`.
        power: The probability that it is seen.
        unit: The unit of the monitor.
    """
    both, difference = " and ".join(arms), f"a difference of {unit.size(size)}"
    if cost is None:
        return f"More than 1000 pairs of {both} are needed to show {difference}."
    more, seconds = cost
    if not more:
        return (
            f"The pairs of {both} show {difference} with a probability of {power:g} or "
            "more."
        )
    return (
        f"{_number(more, 'more seed')} of {both}, about {time_text(seconds)}, "
        f"show{'s' if more == 1 else ''} {difference} with a probability of {power:g}."
    )


def speed(arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> str | None:
    """The time of a step beside the baseline's.

    Args:
        arm: A row of `TrialAnalysis.costs`.
        baseline: That of the baseline.
    """
    if arm["seconds_per_step_ratio"] is None:
        return None
    # The median over the pairs. It is not the ratio of the arms' own medians, which
    # would look like a contradiction beside it.
    return (
        f"A step of {arm['arm']} takes {arm['seconds_per_step_ratio']:.2f} times as "
        f"long as one of {baseline['arm']} (median of the pairs)."
    )


def way(
    arm: Mapping[str, Any], baseline: Mapping[str, Any], question: Question
) -> str | None:
    """How soon an arm is as good as the baseline is in the end.

    Args:
        arm: A row of `TrialAnalysis.costs`.
        baseline: That of the baseline.
        question: What is asked.
    """
    if not arm["targets"]:
        return None
    name, other = arm["arm"], baseline["arm"]
    goal = f"{other}'s {question.monitor} of the same seed"
    often = f"in {arm['reached']} of {_number(arm['targets'], 'trial')}"
    if arm["epochs_to_baseline"] is None:
        return f"{name} reaches {goal} {often}."
    ours, theirs = (
        f"after {_number(row['epochs_to_baseline'], 'epoch')} and "
        f"{time_text(row['seconds_to_baseline'])}"
        for row in (arm, baseline)
    )
    return (
        f"{name} reaches {goal} {often}, {ours} of training (median); {other} itself "
        f"{theirs}."
    )


def diverged(runs: pl.DataFrame, unit: Unit) -> str | None:
    """Which trials diverged, and how they count.

    Args:
        runs: As of `TrialAnalysis.runs`.
        unit: The unit of the monitor.
    """
    trials = runs.filter("diverged")
    if trials.is_empty():
        return None
    named = []
    for (arm,), part in trials.group_by("arm", maintain_order=True):
        plural = "s" if len(part) > 1 else ""
        named.append(f"{arm} with seed{plural} {_listed(map(str, part['seed']))}")
    value = trials["value"][0]
    counts = (
        "No trial has a finite value."
        if value is None
        else f"Each counts as the worst value of all trials, {unit.value(value)}."
    )
    return f"Diverged: {_listed(named)}. {counts}"


def p_text(p: float) -> str:
    """A p value with three digits after the point."""
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def time_text(seconds: float) -> str:
    """A time in a unit that suits it, with two digits that count or more."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    name, size = next((unit for unit in _TIMES if seconds >= 2 * unit[1]), _TIMES[-1])
    number = seconds / size
    text = f"{number:.0f}" if number >= 10 else f"{number:.1f}".removesuffix(".0")
    return f"{text} {name.removesuffix('s') if text == '1' else name}"


def _interval(found: Judgment, question: Question, unit: Unit) -> str:
    if found.low is None or found.high is None:
        return ""
    ends = sorted(question.sign * end for end in (found.low, found.high))
    low, high = (unit.number(end, "+") for end in ends)
    adjusted = [
        f"{count} {name}"
        for name, count in (
            ("looks", len(question.design.looks)),
            ("arms", len(question.arms) - 1),
        )
        if count > 1
    ]
    note = f", adjusted for {_listed(adjusted)}" if adjusted else ""
    return f" (95 % interval {low} to {high}{note})"


def _number(count: float, name: str) -> str:
    return f"{count:g} {name}{'' if count == 1 else 's'}"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
