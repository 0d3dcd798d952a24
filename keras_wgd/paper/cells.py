"""What the tables of a study are made of, and how their numbers are written."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.experiments.analysis.statistics import LEVEL

# Where less is better.
LOSSES = ("loss", "train_roughness", "test_roughness")
# Scale and digits after the point: all but these are fractions, shown in percent.
_FORMS = dict.fromkeys(LOSSES, (1, 4))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: What is printed.
        value: What it is sorted by, if there is a number.
        paper: The paper's figure, as printed there; empty where it has none.
        note: What else is told, in small print.
        bold: Whether a difference behind it is significant.
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
        heads: Of the columns.
        blocks: Rows that belong together, such as those of an optimizer with a
            learning rate, and their cells.
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
        rows = itertools.chain.from_iterable(self.blocks)
        lines += [_line(map(_markdown, cells)) for cells in rows]
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])


def spread(
    row: Mapping[str, Any],
    measure: str,
    digits: int | None = None,
    between: str = " ± ",
    some: str = " ({n} of {seeds})",
) -> str:
    """A mean and half of its 95 % interval.

    Args:
        row: A row of `frames.summarize`.
        measure: One of `frames.MEASURES`, or one with `_gain`.
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


def is_better(row: Mapping[str, Any], rows: list[dict[str, Any]], measure: str) -> bool:
    """Whether a mean is better, by differences that are significant.

    That of an arm with WGD is better than the plain one, or the plain one better
    than that of every arm beside it. No mean is better than one from which a run
    is left out because it diverged.

    Args:
        row: A row of `frames.summarize`.
        rows: All rows of its block.
        measure: One of `frames.MEASURES`.
    """
    plain = row["arm"] == "plain"
    arms = [other for other in rows if other["arm"] != "plain"] if plain else [row]
    compared = [other for other in rows if other in arms or other["arm"] == "plain"]
    sign = (-1 if measure in LOSSES else 1) * (-1 if plain else 1)
    return (
        bool(arms)
        and all(other[f"{measure}_n"] == other["seeds"] for other in compared)
        and all(
            is_significant(arm[f"{measure}_gain_p_adjusted"])
            and sign * arm[f"{measure}_gain"] > 0
            for arm in arms
        )
    )


def is_significant(p: float | None) -> bool:
    """Whether an adjusted p value is below the level."""
    return p is not None and p < LEVEL


def gain_cells(row: Mapping[str, Any], measure: str) -> tuple[Cell, ...]:
    """The difference from the plain runs, its interval and its p values.

    Args:
        row: A row of `frames.summarize`.
        measure: One of `frames.MEASURES`.
    """
    if row["arm"] == "plain":
        return (Cell(),) * 4
    ends = ("", "_low", "_high", "_p", "_p_adjusted")
    return number_cells([row[f"{measure}_gain{end}"] for end in ends], measure)


def number_cells(numbers: Sequence[float | None], measure: str) -> tuple[Cell, ...]:
    """A difference, its interval and its p values; bold where it is significant.

    Args:
        numbers: The mean, both ends of the interval, and p, as it is and adjusted.
        measure: One of `frames.MEASURES`.
    """
    gain, low, high, p, p_adjusted = numbers
    scale, digits = _FORMS.get(measure, (100, 2))
    interval = "-"
    if low is not None and high is not None:
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


def mean_cell(
    row: Mapping[str, Any],
    rows: list[dict[str, Any]],
    measure: str,
    paper: float | None = None,
) -> Cell:
    """A mean with half of its interval.

    Args:
        row: A row of `frames.summarize`.
        rows: All rows of its block.
        measure: One of `frames.MEASURES`.
        paper: What the paper prints.
    """
    digits = _FORMS.get(measure, (100, 2))[1]
    return Cell(
        text=spread(row, measure),
        value=row[measure],
        paper="" if paper is None else f"{paper:.{digits}f}",
        bold=is_better(row, rows, measure),
    )


def _markdown(cell):
    text = f"**{cell.text}**" if cell.bold else cell.text
    brackets = " ".join(f"({small})" for small in (cell.paper, cell.note) if small)
    return f"{text} {brackets}" if brackets else text


def _line(cells):
    return f"| {' | '.join(cells)} |"
