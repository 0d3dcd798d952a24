"""The report of a comparison of optimizers: a page, and a text for a terminal."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable

from keras_wgd import pictures
from keras_wgd.experiments.analysis.sentences import Unit
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable, write_text
from keras_wgd.report import html
from keras_wgd.report.cells import Cell, Table, p_text
from keras_wgd.report.comparison_charts import figures, labels

_NONE = Cell(text="-")
# What the narrow table of a terminal leaves out, in this order, until it fits.
_SPARED = ("SD", "Seconds", "p", "Mean", "Trials")
# The columns of words; the others are of numbers.
_WORDS = ("Arm", "Verdict")
_MEASURES = {"tail": "mean of the tail", "last": "last epoch", "best": "best epoch"}


def write(analysis: TrialAnalysis, path: Path, notes: Sequence[str]) -> Path:
    """Write the report as one page that needs no network.

    Args:
        analysis: The numbers of a comparison, which may still be under way.
        path: The file. One that exists is replaced when the new one is whole.
        notes: Lines on settings and data, and warnings.

    Returns:
        `path`.
    """
    vega = pictures.bundle(pictures.vega_lite())
    question = analysis.question
    text = html.render(
        "comparison.html",
        figures(analysis),
        vega,
        verdicts=_printable(analysis.verdict_sentences()),
        sentences=_printable(analysis.other_sentences()),
        monitor=printable(question.monitor),
        best={"max": "highest", "min": "lowest"}[question.best],
        tail=question.tail,
        looks=question.design.looks,
        arms_table=arms_table(analysis),
        secondary=_secondary_table(analysis),
        costs=_costs_table(analysis),
        trials=_trials_table(analysis),
        notes=_printable(notes),
    )
    write_text(path, text)
    return path


def as_text(analysis: TrialAnalysis, notes: Sequence[str], width: int = 80) -> str:
    """The report for a terminal: sentences, the table of the arms, and the notes.

    Args:
        analysis: The numbers.
        notes: As for `write`.
        width: The longest line. The table leaves out columns to fit.
    """
    text = io.StringIO()
    console = Console(
        file=text,
        width=width,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    for sentence in _printable(analysis.sentences()):
        console.print(sentence)
    console.print()
    console.print(_fitted(arms_table(analysis), console))
    if notes:
        console.print()
    for note in _printable(notes):
        console.print(note)
    lines = text.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).rstrip()


def arms_table(analysis: TrialAnalysis) -> Table:
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
            note += f"{counts[row['arm']]} of {row['n']} trials diverged"
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


def _secondary_table(analysis: TrialAnalysis) -> Table:
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


def _costs_table(analysis: TrialAnalysis) -> Table:
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


def _trials_table(analysis: TrialAnalysis) -> Table:
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
                _value(unit, row["last"]),
                _value(unit, row["best"]),
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


def _fitted(table: Table, console: Console) -> RichTable:
    """The table with as many columns as the console has room for."""
    heads = list(table.heads)
    for spared in ("", *_SPARED):
        heads = [head for head in heads if head.partition(" ")[0] != spared]
        found = _rich(table, heads)
        options = console.options.update(max_width=10_000)
        if Measurement.get(console, options, found).minimum <= console.width:
            break
    return found


def _rich(table: Table, heads: Sequence[str]) -> RichTable:
    rows = [cells for block in table.blocks for cells in block]
    found = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    places = [table.heads.index(head) for head in heads]
    for place, head in zip(places, heads, strict=True):
        title = head.replace(" (", "\n(")
        texts = [cells[place].text for cells in rows]
        # The names of arms are wrapped; nothing else is.
        longest = max(cell_len(text) for text in (*title.split("\n"), *texts))
        found.add_column(
            title,
            justify="left" if head in _WORDS else "right",
            overflow="fold",
            min_width=min(longest, 10) if place == 0 else longest,
        )
    for cells in rows:
        found.add_row(*(_terminal(cells[place]) for place in places))
    return found


def _terminal(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _printable(texts: Iterable[str]) -> list[str]:
    return [printable(text) for text in texts]


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
        "A trial diverged if the mean of its tail is not finite. It counts as the "
        "worst finite value of all trials."
    ]


def _value(unit: Unit, value: float | None, sign: str = "", bold: bool = False) -> Cell:
    """A value of the monitor, or a difference of two."""
    if value is None:
        return _NONE
    text = unit.number(value, sign) if math.isfinite(value) else str(value)
    return Cell(text=text, value=value if math.isfinite(value) else None, bold=bold)


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
