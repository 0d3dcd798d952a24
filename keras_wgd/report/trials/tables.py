"""Tables of a comparison."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from keras_wgd.experiments.analysis.sentences import Unit
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable
from keras_wgd.report.cells import Cell, Table, p_text
from keras_wgd.report.trials.shared import labels

_NONE = Cell(text="-")
_MEASURES = {"tail": "mean of the tail", "last": "last epoch", "best": "best epoch"}


def arms(analysis: TrialAnalysis) -> Table:
    """A row for each arm, the baseline first."""
    names = labels(analysis.question.arms)
    rows = analysis.table.to_dicts()
    unit = analysis.unit
    counts = _diverged(analysis)
    blocks = []
    for number, row in enumerate(rows):
        decided = row["verdict"] in ("better", "worse", "equivalent")
        note = "the baseline" if number == 0 else ""
        if counts.get(row["arm"]):
            note = f"{note}, " if note else ""
            note += f"{counts[row['arm']]} of {row['n']} diverged"
        blocks.append(
            (
                Cell(text=names[row["arm"]], note=note),
                Cell(text=row["verdict"] or "", bold=decided),
                _value(unit, row["gain"], "+", bold=decided),
                _interval(unit, row),
                _p(row["p"]),
                Cell(text=str(row["n"]), value=row["n"]),
                _value(unit, row["mean"]),
                _value(unit, row["std"]),
                _seconds(row["seconds"]),
            )
        )
    return Table(
        title="The arms",
        heads=(
            *("Arm", "Verdict", f"Gain{_in(unit.of_difference)}", "95 % interval", "p"),
            *("Trials", f"Mean{_in(unit.of_value)}", "SD", "Seconds"),
        ),
        blocks=tuple((block,) for block in blocks),
        notes=(
            "Mean and SD: the mean and the standard deviation over the trials of "
            f"{_tail(analysis)}. Gain: the mean over the pairs of trials of one seed "
            "of the difference to the baseline; positive is better. Interval and p: "
            "adjusted for the looks and the arms. Seconds: the mean training time of "
            "a trial.",
            *_worst(counts),
        ),
    )


def secondary(analysis: TrialAnalysis) -> Table:
    """The gains in the tail, the last and the best epoch."""
    names = labels(analysis.question.arms)
    rows = analysis.secondary.to_dicts()
    unit = analysis.unit
    blocks: dict[str, list[tuple[Cell, ...]]] = {}
    for row in rows:
        blocks.setdefault(row["arm"], []).append(
            (
                Cell(text=names[row["arm"]], note=_MEASURES[row["measure"]]),
                Cell(text=str(row["pairs"]), value=row["pairs"]),
                _value(unit, row["gain"], "+"),
                _value(unit, row["std"]),
                _p(row["p_unpaired"]),
                _number(row["correlation"], "+.2f"),
            )
        )
    return Table(
        title="Other ways to measure the gain",
        heads=(
            "Arm",
            "Pairs",
            f"Gain{_in(unit.of_difference)}",
            "SD of a pair",
            "p unpaired",
            "Correlation",
        ),
        blocks=tuple(map(tuple, blocks.values())),
        notes=(
            "These numbers do not make the verdict, and are not adjusted. SD of a "
            "pair: that of the difference of a pair. P unpaired: of Welch's t "
            "test, which ignores the pairs. Correlation: of the arm and the baseline "
            "over the seeds; the higher it is, the more the pairs help.",
        ),
    )


def costs(analysis: TrialAnalysis) -> Table:
    """What the arms cost, beside the baseline."""
    names = labels(analysis.question.arms)
    blocks = []
    for row in analysis.costs.to_dicts():
        reached = ""
        if row["targets"]:
            reached = f"{row['reached']} of {row['targets']}"
        blocks.append(
            (
                Cell(text=names[row["arm"]]),
                _milliseconds(row["seconds_per_step"]),
                _number(row["seconds_per_step_ratio"], ".2f"),
                _seconds(row["seconds"]),
                _number(row["seconds_ratio"], ".2f"),
                _number(row["epochs_to_baseline"], "g"),
                _number(row["epochs_to_baseline_ratio"], ".2f"),
                _seconds(row["seconds_to_baseline"]),
                _number(row["seconds_to_baseline_ratio"], ".2f"),
                Cell(text=reached or "-", value=row["reached"]),
            )
        )
    return Table(
        title="Cost",
        heads=(
            *("Arm", "ms a step", "Ratio", "Seconds a trial", "Ratio"),
            *("Epochs to the baseline", "Ratio", "Seconds to the baseline", "Ratio"),
            "Reached",
        ),
        blocks=tuple((block,) for block in blocks),
        notes=(
            "Medians over the trials, of training alone. To the baseline: until the "
            "monitor first is as good as the baseline's own result of that seed; a "
            "dash if most trials never reach it. Reached: in how many trials it is. "
            "Ratio: to the baseline, the median over the pairs; below 1 is cheaper.",
        ),
    )


def trials(analysis: TrialAnalysis) -> Table:
    """The monitor in each trial."""
    names = labels(analysis.question.arms)
    rows = analysis.runs.to_dicts()
    unit = analysis.unit
    blocks: dict[int, list[tuple[Cell, ...]]] = {}
    for row in rows:
        value = _value(unit, row["value"])
        if row["diverged"]:
            value = Cell(text=f"diverged ({value.text})", value=value.value)
        blocks.setdefault(row["seed"], []).append(
            (
                Cell(text=names[row["arm"]], note=f"seed {row['seed']}"),
                value,
                *(
                    Cell(text="not finite")
                    if row[name] is None
                    else _value(unit, row[name])
                    for name in ("last", "best")
                ),
                Cell(text=str(row["best_epoch"] or "-"), value=row["best_epoch"]),
                Cell(text=str(row["epochs"]), value=row["epochs"]),
                _number(row["learning_rate"], "g"),
                Cell(text=str(row["centered"]), value=row["centered"]),
                _seconds(row["seconds"]),
            )
        )
    return Table(
        title="The trials",
        heads=(
            *(
                "Arm",
                f"Value{_in(unit.of_value)}",
                "Last",
                "Best",
                "Best epoch",
                "Epochs",
            ),
            *("Learning rate", "Centered", "Seconds"),
        ),
        blocks=tuple(map(tuple, blocks.values())),
        notes=(
            f"Value: {_tail(analysis)}. Centered: the number of variables whose "
            "gradient WGD centers. A dash for the learning rate: the optimizer's own.",
        ),
    )


def _in(unit: str) -> str:
    """A unit, as in the head of a column."""
    return f" ({unit.strip()})" if unit else ""


def _tail(analysis: TrialAnalysis) -> str:
    monitor = printable(analysis.question.monitor)
    if not analysis.question.tail:
        return f"{monitor} after the last epoch"
    share = f"{100 * analysis.question.tail:g} %"
    return f"{monitor}, averaged over the last {share} of the epochs of a trial"


def _diverged(analysis: TrialAnalysis) -> dict[str, int]:
    """How many trials of each arm diverged."""
    return dict(analysis.runs.group_by("arm").agg(pl.col("diverged").sum()).rows())


def _worst(counts: Mapping[str, int]) -> list[str]:
    if not any(counts.values()):
        return []
    return [
        "A trial diverged if the mean of its tail or its last training loss is not "
        "finite. It counts as the worst finite value of all trials."
    ]


def _value(unit: Unit, value: float | None, sign: str = "", bold: bool = False) -> Cell:
    """A value of the monitor, or a difference of two."""
    if value is None:
        return _NONE
    return Cell(text=unit.number(value, sign), value=value, bold=bold)


def _interval(unit: Unit, row: Mapping[str, Any]) -> Cell:
    if row["low"] is None:
        return _NONE
    low, high = (unit.number(row[end], "+") for end in ("low", "high"))
    return Cell(text=f"{low} to {high}", value=row["low"])


def _number(number: float | None, form: str) -> Cell:
    return _NONE if number is None else Cell(text=f"{number:{form}}", value=number)


def _p(p: float | None) -> Cell:
    return Cell(text=p_text(p), value=p)


def _seconds(seconds: float | None) -> Cell:
    if seconds is None:
        return _NONE
    text = f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"
    return Cell(text=text, value=seconds)


def _milliseconds(seconds: float | None) -> Cell:
    return _seconds(None if seconds is None else 1000 * seconds)
