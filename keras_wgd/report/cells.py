"""The tables of a study, and how numbers are written in them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.experiments.analysis.frames import MEASURES
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.metrics import METRICS

# Factor and digits after the point: fractions are in percent, as in the paper.
_FORMS = {name: (100, 2) for name in METRICS if name != "loss"}
_OTHER_FORM = (1, 4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: What is printed.
        value: What it is sorted by, if there is a number.
        paper: The paper's figure, as printed there; empty if it has none.
        note: Small print.
        bold: Whether it rests on a significant difference.
    """

    text: str = ""
    value: float | None = None
    paper: str = ""
    note: str = ""
    bold: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: What is compared.
        heads: The heads of the columns.
        blocks: Rows that belong together, such as those of an optimizer with a
            learning rate, and their cells.
        notes: Explanations below the table.
    """

    title: str
    heads: tuple[str, ...]
    blocks: tuple[tuple[tuple[Cell, ...], ...], ...]
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """The table in Markdown, with its title and notes."""
        notes = (f"{note}\n" for note in self.notes)
        return "\n".join([f"### {self.title}\n", f"{self.grid()}\n", *notes])

    def grid(self) -> str:
        """The heads and rows in Markdown, the paper's figures in brackets."""
        rows = itertools.chain.from_iterable(self.blocks)
        ruler = ["---"] + ["---:"] * (len(self.heads) - 1)
        lines = [self.heads, ruler, *(map(_markdown, cells) for cells in rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def form(measure: str) -> tuple[float, int]:
    """The factor that a measure is printed with, and its digits after the point."""
    return _FORMS.get(measure, _OTHER_FORM)


def mean_text(row: Mapping[str, Any], name: str, compact: bool = False) -> str:
    """A mean and half of its 95 % interval.

    Args:
        row: A row of `Analysis.summary`.
        name: One of `frames.MEASURES`, or one with `_gain`.
        compact: Without spaces, and with at most three digits after the point.

    Returns:
        As "58.38 ± 0.40"; without the half if there is no interval; with "(2 of 3)",
        or "*", if some values are not finite; "diverged" if all are not.
    """
    measure = name.removesuffix("_gain")
    is_gain = name != measure
    scale, digits = form(measure)
    if row[name] is None:
        return "diverged" if row["diverged"] and not is_gain else "-"
    digits = min(digits, 3) if compact else digits
    text = f"{scale * row[name]:{'+' if is_gain else ''}.{digits}f}"
    if row[f"{name}_low"] is not None:
        half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
        text += f"{'±' if compact else ' ± '}{scale * half:.{digits}f}"
    if not is_gain and row[f"{name}_n"] < row["seeds"]:
        text += "*" if compact else f" ({row[f'{name}_n']} of {row['seeds']})"
    return text


def p_text(p: float | None) -> str:
    """A p value, as short as it may be."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def is_significant(p: float | None) -> bool:
    """Whether an adjusted p value is below the level."""
    return p is not None and p < LEVEL


def is_better(
    row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], measure: str
) -> bool:
    """Whether a mean is better by a significant difference.

    An arm with WGD is compared with the plain one, and the plain one with every other
    arm. Means that leave out diverged runs are never compared.

    Args:
        row: A row of `Analysis.summary`.
        rows: All rows of its block.
        measure: One of `frames.MEASURES`.
    """
    is_plain = row["arm"] == "plain"
    arms = [other for other in rows if other["arm"] != "plain"] if is_plain else [row]
    compared = [*arms, *(other for other in rows if other["arm"] == "plain")]
    sign = (1 if MEASURES[measure] == "max" else -1) * (-1 if is_plain else 1)
    return (
        bool(arms)
        and all(other[f"{measure}_n"] == other["seeds"] for other in compared)
        and all(
            is_significant(arm[f"{measure}_gain_p_adjusted"])
            and sign * arm[f"{measure}_gain"] > 0
            for arm in arms
        )
    )


def mean_cell(
    row: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    measure: str,
    paper: float | None = None,
) -> Cell:
    """A mean with half of its interval.

    Args:
        row: A row of `Analysis.summary`.
        rows: All rows of its block.
        measure: One of `frames.MEASURES`.
        paper: What the paper prints.
    """
    return Cell(
        text=mean_text(row, measure),
        value=row[measure],
        paper="" if paper is None else f"{paper:.{form(measure)[1]}f}",
        bold=is_better(row, rows, measure),
    )


def gain_cells(row: Mapping[str, Any], name: str, measure: str) -> tuple[Cell, ...]:
    """A gain, its 95 % interval and its p values; bold if it is significant.

    Args:
        row: A row with the columns of an estimate.
        name: The name of the estimate.
        measure: What is estimated.
    """
    scale, digits = form(measure)
    gain, low, high, p, p_adjusted = (
        row[f"{name}{end}"] for end in ("", "_low", "_high", "_p", "_p_adjusted")
    )
    interval = "-"
    if low is not None:
        interval = f"{scale * low:+.{digits}f} to {scale * high:+.{digits}f}"
    return (
        Cell(
            text="-" if gain is None else f"{scale * gain:+.{digits}f}",
            value=gain,
            bold=is_significant(p_adjusted),
        ),
        Cell(text=interval, value=low),
        Cell(text=p_text(p), value=p),
        Cell(text=p_text(p_adjusted), value=p_adjusted),
    )


def _markdown(cell):
    text = f"**{cell.text}**" if cell.bold else cell.text
    brackets = " ".join(f"({small})" for small in (cell.paper, cell.note) if small)
    return f"{text} {brackets}" if brackets else text
