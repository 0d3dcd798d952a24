"""What a terminal shows of runs: tables, and lines on what happens."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_wgd.cli import tables
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.files import printable

# The columns of the list of runs.
_HEADS = {
    "dataset": "data set",
    "model": "network",
    "optimizer": "optimizer",
    "arm": "arm",
    "learning_rate": "rate",
    "seed": "seed",
    "epochs": "epochs",
}


def print_tables(console: Console, analysis: Analysis) -> None:
    """Print the tables of a study."""
    with wide(console):
        for table in tables.rich_tables(analysis.summary):
            console.print(table)


@contextlib.contextmanager
def wide(console: Console, minimum: int = 80) -> Iterator[None]:
    """For tables: the console has a minimum width, so that no number is cut."""
    width = console.width
    console.width = max(width, minimum)
    yield
    console.width = width


def _print(console, text, markup=False):
    """Print text in one line, however narrow the terminal is."""
    console.print(text, highlight=False, markup=markup, soft_wrap=True)


def print_specs(
    console: Console, specs: Sequence[RunSpec], states: Sequence[str] = ()
) -> None:
    """Print a line for each run, with its state if given."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", justify="right")
    for head in (*_HEADS.values(), "images", *(["state"] if states else [])):
        table.add_column(head, no_wrap=True)
    for number, spec in enumerate(specs, 1):
        size = "" if spec.image_size is None else f"{spec.image_size} px"
        count = "all" if spec.train_size is None else str(spec.train_size)
        values = (str(getattr(spec, name)) for name in _HEADS)
        state = states[number - 1 : number]
        table.add_row(str(number), *values, f"{count} {size}".strip(), *state)
    with wide(console, 100):
        console.print(table)
    if states:
        counts = ", ".join(f"{n} {state}" for state, n in Counter(states).items())
        console.print(f"{len(specs)} runs: {counts}", highlight=False)


def print_no_run(console: Console) -> None:
    """Print that a part of a study is empty."""
    console.print("no run is in this part of the study")


def print_paths(console: Console, paths: Sequence[Path], what: str = "written") -> None:
    """Print where something is, a line for each path."""
    for path in paths:
        _print(console, f"{what}: {printable(path)}")


def print_report(console: Console, paths: Sequence[Path]) -> None:
    """Print where a report is: its tables and numbers, its figures, its page."""
    figures = [path for path in paths if path.suffix in (".png", ".svg")]
    pages = [path for path in paths if path.suffix == ".html"]
    print_paths(console, [path for path in paths if path not in figures + pages])
    for folder, count in Counter(path.parent for path in figures).items():
        print_paths(console, [folder], f"written: {count} figures, PNG and SVG")
    print_paths(console, pages, "report")


def print_gpus(console: Console, gpus: Sequence[str], jobs: int) -> None:
    """Print the number of runs at a time, and the GPUs that they share."""
    text = f"runs at a time: {jobs}, divided among GPU {', '.join(gpus)}"
    _print(console, printable(text))


def print_inputs(
    console: Console, problems: Sequence[str], warnings: Sequence[str]
) -> None:
    """Print what `inputs.check` has found in the data."""
    print_problems(console, problems)
    for line in warnings:
        _print(console, f"[yellow]warning[/yellow]: {escape(line)}", markup=True)


def print_problems(console: Console, problems: Sequence[str]) -> None:
    """Print what is not used, and why."""
    for line in problems:
        _print(console, f"[yellow]not used[/yellow]: {escape(line)}", markup=True)


def print_report_command(console: Console, out: Path, program: str) -> None:
    """Print the command for the report of a study, and where its page will be."""
    page = printable(out / results.REPORT / results.REPORT_PAGE)
    _print(console, f"next, for figures and tables in {page}:")
    _print(console, f"  {program} report {printable(shlex.quote(str(out)))}")


def print_seeds(
    console: Console, begun: Sequence[RunSpec], specs: Sequence[RunSpec]
) -> None:
    """Print which seeds of `specs` are new to a study, and which others it has."""
    if not begun:
        return
    for what, runs in {
        "new to the study": [spec for spec in specs if spec not in begun],
        "in the study, not asked for": [spec for spec in begun if spec not in specs],
    }.items():
        seeds = ", ".join(map(str, dict.fromkeys(spec.seed for spec in runs)))
        if runs:
            _print(console, f"{what}: {len(runs)} runs of seed {seeds}")


def print_epoch(
    console: Console, spec: RunSpec, epoch: int, curves: Mapping[str, float]
) -> None:
    """Print the losses and accuracies after an epoch."""
    _print(
        console,
        f"epoch {epoch:>{len(str(spec.epochs))}}/{spec.epochs}  "
        f"train: loss {curves['train_loss']:.4f}, "
        f"accuracy {curves['train_accuracy']:.1%}  "
        f"test: loss {curves['test_loss']:.4f}, accuracy {curves['test_accuracy']:.1%}",
    )


def print_finish(console: Console, number: int, total: int, result: Result) -> None:
    """Print the metrics of a finished run, the `number`-th of `total`."""
    spec = result.spec
    assert isinstance(spec, RunSpec)
    _print(
        console,
        f"[green]done[/green] {number:>{len(str(total))}}/{total}  "
        f"{spec.optimizer:<6}{spec.arm:<10}seed {spec.seed}  "
        f"accuracy {result.metrics['accuracy']:6.2%}  "
        f"loss {result.metrics['loss']:.4f}  {sum(result.seconds):5.1f} s",
        markup=True,
    )


def print_failure(console: Console, spec: RunSpec, reason: str) -> None:
    """Print why a run has failed."""
    text = escape(printable(" ".join(reason.split())))
    _print(console, f"[red]failed[/red] {spec.id}: {text}", markup=True)
