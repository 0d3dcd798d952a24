"""How the tables of a study look, whatever prints them: the paper's layout."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import polars as pl

from keras_wgd.study import labels, paper
from keras_wgd.study.optimizers import OPTIMIZERS
from keras_wgd.study.statistics import BLOCK, ROUGHNESS, SETTING

METRIC_HEADS = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "mean_recall": "Mean recall",
    "mean_precision": "Mean precision",
    "kappa": "CKS",
}
ROUGHNESS_HEADS = {"train_roughness": "Training loss", "test_roughness": "Test loss"}

# Scale and digits after the point: all but these are fractions, shown in percent.
_FORMS = {"loss": (1, 4), "train_roughness": (1, 4), "test_roughness": (1, 4)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: What is printed.
        value: What it is sorted by, if there is a number.
        paper: The paper's figure, as printed there; empty where it has none.
        best: Whether it is the best mean of its block.
    """

    text: str = ""
    value: float | None = None
    paper: str = ""
    best: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of one setting.

    Attributes:
        title: What is compared, and what differs from Table 1 of the paper.
        heads: Of the columns.
        blocks: An optimizer with a learning rate each: its rows, and their cells.
        notes: What a reader must know.
    """

    title: str
    heads: tuple[str, ...]
    blocks: tuple[tuple[tuple[Cell, ...], ...], ...]
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """The table in Markdown, the paper's figures in brackets."""
        lines = [f"### {self.title}", "", _line(self.heads)]
        lines.append(_line(["---"] + ["---:"] * (len(self.heads) - 1)))
        for cells in itertools.chain.from_iterable(self.blocks):
            texts = [f"**{cell.text}**" if cell.best else cell.text for cell in cells]
            lines.append(
                _line(
                    f"{text} ({cell.paper})" if cell.paper else text
                    for text, cell in zip(texts, cells, strict=True)
                )
            )
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])


def metric_tables(summary: pl.DataFrame) -> list[Table]:
    """Tables 3 to 8 of the paper, or what is like them: one for each setting.

    Args:
        summary: As `tables.summarize` gives it.
    """
    return [_metric_table(part) for part in _settings(summary)]


def roughness_tables(summary: pl.DataFrame) -> list[Table]:
    """How smooth training was: one table for each setting of three epochs or more.

    Args:
        summary: As `tables.summarize` gives it.
    """
    measured = summary.filter(pl.col("epochs") >= 3)
    return [_roughness_table(part) for part in _settings(measured)]


def spread(
    row: Mapping[str, Any],
    measure: str,
    digits: int | None = None,
    between: str = " ± ",
    some: str = " ({n} of {seeds})",
) -> str:
    """A mean and half of its 95 % interval.

    Args:
        row: A row of `tables.summarize`.
        measure: One of `tables.MEASURES`, or one with `_gain`.
        digits: After the point; by default as the paper prints it.
        between: What stands between the two.
        some: What follows where it is over some of the runs only.

    Returns:
        As "58.38 ± 0.40"; without the half where there is one run, or all are the
        same; "diverged" where there is no finite value; with "(2 of 3)" where some
        are.
    """
    base = measure.removesuffix("_gain")
    scale, usual = _FORMS.get(base, (100, 2))
    digits = usual if digits is None else digits
    if row[measure] is None:
        return "diverged" if row["diverged"] and base == measure else "-"
    sign = "" if base == measure else "+"
    text = f"{scale * row[measure]:{sign}.{digits}f}"
    if row[f"{measure}_low"] is not None:
        half = (row[f"{measure}_high"] - row[f"{measure}_low"]) / 2
        text += f"{between}{scale * half:.{digits}f}"
    if base == measure and row[f"{measure}_n"] < row["seeds"]:
        text += some.format(n=row[f"{measure}_n"], seeds=row["seeds"])
    return text


def p_text(p: float | None) -> str:
    """A p value, as short as it may be."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def is_best(row: Mapping[str, Any], rows: list[dict[str, Any]], measure: str) -> bool:
    """Whether a mean is the best of its block, and not the only one.

    The mean of the runs that did not diverge, where some did, is never the best.
    """
    means = [
        other[measure] for other in rows if other[f"{measure}_n"] == other["seeds"]
    ]
    whole = row[f"{measure}_n"] == row["seeds"]
    best = min if measure == "loss" or measure in ROUGHNESS_HEADS else max
    return whole and len(rows) > 1 and row[measure] == best(means)


def blocks(part: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """The rows of a setting's summary, by optimizer and learning rate."""
    groups = part.group_by(BLOCK, maintain_order=True)
    return [group.to_dicts() for _, group in groups]


def _settings(summary):
    return [part for _, part in summary.group_by(SETTING, maintain_order=True)]


def _metric_table(part):
    setting = part.row(0, named=True)
    gains = part["accuracy_gain_p"].count()
    printed = paper.table_of(setting["dataset"], setting["model"])
    notes = [
        "All but the loss in percent: mean ± half of the 95 % interval over the seeds "
        "(Student's t; none where all seeds are the same). Recall and precision are "
        "means over the classes, CKS is Cohen's kappa. Gain: accuracy less that of the "
        "plain run of the same seed, in percentage points, with its 95 % interval and "
        "the p value of a paired t test."
    ]
    if gains:
        notes[0] += (
            f" P adjusted: for the {gains} gains tested in this table (Benjamini and "
            "Hochberg)."
        )
    if printed:
        notes += [
            f"The second number is the paper's (Table {printed.number}: one run at a "
            "learning rate of 0.01, 224 px, 50 epochs). The paper does not say over "
            "what it takes the mean, so each reading stands beside the same figure.",
            *printed.notes,
        ]
    if part["diverged"].sum():
        notes.append(
            f"{part['diverged'].sum()} of {part['seeds'].sum()} runs diverged: a loss "
            "of theirs is not finite. Their accuracy counts; a mean of losses is over "
            "the other runs, whose number is given."
        )
    return Table(
        title=labels.title(setting),
        heads=(
            *("Optimizer", "Rate", "Seeds", *METRIC_HEADS.values()),
            *("Gain", "95 % interval", "p", "p adjusted"),
        ),
        blocks=tuple(
            tuple(
                (
                    *_first_cells(row),
                    *(_metric_cell(row, rows, metric) for metric in METRIC_HEADS),
                    *_gain_cells(row, "accuracy"),
                    _p_cell(row, "accuracy_gain_p_adjusted"),
                )
                for row in rows
            )
            for rows in blocks(part)
        ),
        notes=tuple(notes),
    )


def _roughness_table(part):
    setting = part.row(0, named=True)
    heads = []
    for head in ROUGHNESS_HEADS.values():
        heads += [head, "WGD less plain", "95 % interval", "p"]
    return Table(
        title=f"Roughness: {labels.plain_title(setting)}",
        heads=("Optimizer", "Rate", "Seeds", *heads),
        blocks=tuple(
            tuple(
                (
                    *_first_cells(row),
                    *itertools.chain.from_iterable(
                        (_metric_cell(row, rows, name), *_gain_cells(row, name))
                        for name in ROUGHNESS_HEADS
                    ),
                )
                for row in rows
            )
            for rows in blocks(part)
        ),
        notes=(f"{ROUGHNESS} Less is smoother.",),
    )


def _first_cells(row):
    label = OPTIMIZERS[row["optimizer"]].label
    if row["arm"] != "plain":
        label = f"WGD {label} ({row['arm']})"
    rate, seeds = row["learning_rate"], row["seeds"]
    return (
        Cell(text=label),
        Cell(text=f"{rate:g}", value=rate),
        Cell(text=str(seeds), value=seeds),
    )


def _metric_cell(row, rows, measure):
    printed = paper.figures_of(
        row["dataset"], row["model"], row["optimizer"], row["arm"] != "plain"
    )
    digits = _FORMS.get(measure, (100, 2))[1]
    return Cell(
        text=spread(row, measure),
        value=row[measure],
        paper=f"{printed[measure]:.{digits}f}" if measure in printed else "",
        best=is_best(row, rows, measure),
    )


def _gain_cells(row, measure):
    """The difference from the plain runs, its interval and its p value."""
    if row["arm"] == "plain":
        return Cell(), Cell(), Cell()
    gain, low, high = (row[f"{measure}_gain{end}"] for end in ("", "_low", "_high"))
    scale, digits = _FORMS.get(measure, (100, 2))
    text = "-" if gain is None else f"{scale * gain:+.{digits}f}"
    interval = "-"
    if low is not None:
        interval = f"{scale * low:+.{digits}f} to {scale * high:+.{digits}f}"
    return (
        Cell(text=text, value=gain),
        Cell(text=interval, value=low),
        _p_cell(row, f"{measure}_gain_p"),
    )


def _p_cell(row, column):
    if row["arm"] == "plain":
        return Cell()
    return Cell(text=p_text(row[column]), value=row[column])


def _line(cells):
    return f"| {' | '.join(cells)} |"
