"""The tables of a study, and how numbers are written in them.

`row` is a row of `Analysis.summary`, `rows` are all rows of its block, and `measure` is
one of `frames.MEASURES`.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.experiments.analysis.frames import MEASURES
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.metrics import METRICS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table; bold if it rests on a significant difference."""

    text: str = ""
    value: float | None = None  # to sort by
    paper: str = ""  # the paper's figure, as printed there
    note: str = ""  # small print
    bold: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table in blocks of rows, such as those of an optimizer with a learning rate."""

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
    is_fraction = measure in METRICS and measure != "loss"
    return (100, 2) if is_fraction else (1, 4)  # percent, as in the paper


def mean_text(row: Mapping[str, Any], name: str, compact: bool = False) -> str:
    """A mean of a measure or gain, and half of its 95 % interval: "58.38 ± 0.40".

    "(2 of 3)", or "*" if compact, says that some values are not finite. A compact text
    has no spaces, and at most three digits after the point.
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
    """Whether a mean is better by a significant difference from others in its block.

    An arm with WGD is compared with the plain one, and the plain one with every other
    arm. Means that leave out diverged runs are never compared.
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
    """A mean with half of its interval, and the paper's figure."""
    return Cell(
        text=mean_text(row, measure),
        value=row[measure],
        paper="" if paper is None else f"{paper:.{form(measure)[1]}f}",
        bold=is_better(row, rows, measure),
    )


def gain_cells(row: Mapping[str, Any], name: str, measure: str) -> tuple[Cell, ...]:
    """A gain, its 95 % interval and its p values; bold if it is significant."""
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
