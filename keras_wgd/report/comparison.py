"""The report of a comparison of optimizers: a page, and a text for a terminal."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable

from keras_wgd import pictures
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable, write_text
from keras_wgd.report import html
from keras_wgd.report.cells import Cell, Table
from keras_wgd.report.trials import curve_charts, gain_charts, tables
from keras_wgd.report.trials.shared import labels

# What the narrow table of a terminal leaves out, in this order, until it fits.
_SPARED = ("SD", "Seconds", "p", "Mean", "Trials")
# The columns of words; the others are of numbers.
_WORDS = ("Arm", "Verdict")


def write(analysis: TrialAnalysis, path: Path, notes: Sequence[str]) -> Path:
    """Write the report as one page that needs no network.

    Args:
        analysis: The numbers of a comparison, which may still be under way.
        path: The file. One that exists is replaced when the new one is whole.
        notes: Lines on settings and data, and warnings.

    Returns:
        `path`.
    """
    question = analysis.question
    names = labels(question.arms)
    drawn = {
        "gains": gain_charts.dots(analysis, names),
        "running": gain_charts.running(analysis, names),
        "curves": curve_charts.of_monitor(analysis, names),
        "others": curve_charts.of_others(analysis, names),
    }
    text = html.render(
        "comparison.html",
        {name: chart for name, chart in drawn.items() if chart is not None},
        pictures.bundle(pictures.vega_lite()),
        verdicts=_printable(analysis.verdict_sentences()),
        sentences=_printable(analysis.other_sentences()),
        monitor=printable(question.monitor),
        best={"max": "highest", "min": "lowest"}[question.best],
        tail=question.tail,
        looks=question.design.looks,
        arms=tables.arms(analysis),
        secondary=tables.secondary(analysis),
        costs=tables.costs(analysis),
        trials=tables.trials(analysis),
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
    console.print(_fitted(tables.arms(analysis), console))
    if notes:
        console.print()
    for note in _printable(notes):
        console.print(note)
    lines = text.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).rstrip()


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
            no_wrap=place != 0,
            min_width=min(longest, 10) if place == 0 else longest,
        )
    for cells in rows:
        found.add_row(*(_terminal(cells[place]) for place in places))
    return found


def _terminal(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _printable(texts: Iterable[str]) -> list[str]:
    return [printable(text) for text in texts]
