"""What a terminal shows of runs: a bar, a line for each end, and tables."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_wgd.cli import tables
from keras_wgd.cli.progress import Bar
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.launch import cluster, runner
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.files import printable


def print_tables(console: Console, analysis: Analysis) -> None:
    """Print the tables of a study."""
    with wide(console):
        for table in tables.rich_tables(analysis.summary):
            console.print(table)


@contextlib.contextmanager
def wide(console: Console, least: int = 80) -> Iterator[None]:
    """For tables: never so narrow that a number is cut."""
    width = console.width
    console.width = max(width, least)
    yield
    console.width = width


def print_specs(
    console: Console, specs: Sequence[RunSpec], states: Sequence[str] = ()
) -> None:
    """Print what runs are, a line for each, and what there is of them, if given."""
    heads = {
        "dataset": "data set",
        "model": "network",
        "optimizer": "optimizer",
        "arm": "arm",
        "learning_rate": "rate",
        "seed": "seed",
        "epochs": "epochs",
    }
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", justify="right")
    for head in (*heads.values(), "images", *(["state"] if states else [])):
        table.add_column(head, no_wrap=True)
    for number, spec in enumerate(specs, 1):
        size = "" if spec.image_size is None else f"{spec.image_size} px"
        count = "all" if spec.train_size is None else str(spec.train_size)
        values = (str(getattr(spec, name)) for name in heads)
        state = states[number - 1 : number]
        table.add_row(str(number), *values, f"{count} {size}".strip(), *state)
    with wide(console, 100):
        console.print(table)
    if states:
        counts = Counter(states)
        told = ", ".join(f"{counts[state]} {state}" for state in dict.fromkeys(states))
        console.print(f"{len(specs)} runs: {told}", highlight=False)


def print_no_run(console: Console) -> None:
    """Say that a part of a study is empty."""
    console.print("no run is in this part of the study")


def print_paths(console: Console, paths: Sequence[Path], what: str = "written") -> None:
    """Print where something is, a line for each."""
    for path in paths:
        text = f"{what}: {printable(path)}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_report(console: Console, paths: Sequence[Path]) -> None:
    """Print where a report is: its tables and numbers, its figures, its page."""
    figures = [path for path in paths if path.suffix in (".png", ".svg")]
    pages = [path for path in paths if path.suffix == ".html"]
    rest = [path for path in paths if path not in figures + pages]
    print_paths(console, rest)
    for folder, count in Counter(path.parent for path in figures).items():
        print_paths(console, [folder], f"written: {count} figures, PNG and SVG")
    print_paths(console, pages, "report")


def print_gpus(console: Console, gpus: Sequence[str], jobs: int) -> None:
    """Print on which GPUs runs are made, and how many at a time."""
    text = f"runs at a time: {jobs}, divided among GPU {', '.join(gpus)}"
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def print_inputs(
    console: Console, problems: Sequence[str], warnings: Sequence[str]
) -> None:
    """Print what `inputs.check` has found in the data."""
    print_problems(console, problems)
    _print_labelled(console, "warning", warnings)


def print_problems(console: Console, problems: Sequence[str]) -> None:
    """Print what was not used, and why."""
    _print_labelled(console, "not used", problems)


def _print_labelled(console, label, lines):
    for line in lines:
        console.print(
            f"[yellow]{label}[/yellow]: {escape(line)}",
            highlight=False,
            soft_wrap=True,
        )


def print_study(
    console: Console, out: Path, specs: Sequence[RunSpec], as_json: bool
) -> bool:
    """Print and write the tables of the runs of a study that are finished.

    Returns:
        Whether there are any.
    """
    found, problems = results.read_all(out)
    print_problems(console, problems)
    wanted = set(specs)
    found = [result for result in found if result.spec in wanted]
    if not found:
        if as_json:
            print("[]")
        return False
    analysis = Analysis.of(found)
    print_paths(console, analysis.write(out))
    if as_json:
        print(analysis.summary.write_json())
    else:
        print_tables(console, analysis)
    return True


def print_report_command(console: Console, out: Path, program: str) -> None:
    """Print what makes the report of a study, and where that will be.

    Args:
        console: Where to print.
        out: The folder of the study.
        program: What starts the command line.
    """
    page = printable(out / results.REPORT / results.REPORT_PAGE)
    command = f"{program} report {printable(shlex.quote(str(out)))}"
    for line in (f"next, for figures and tables in {page}:", f"  {command}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_seeds(
    console: Console, begun: Sequence[RunSpec], specs: Sequence[RunSpec]
) -> None:
    """Print which seeds are new to a study, and which it has besides.

    Args:
        console: Where to print.
        begun: The runs that the study had.
        specs: Those that are asked for.
    """
    if not begun:
        return
    for what, runs in {
        "new to the study": [spec for spec in specs if spec not in begun],
        "in the study, not asked for": [spec for spec in begun if spec not in specs],
    }.items():
        seeds = ", ".join(map(str, dict.fromkeys(spec.seed for spec in runs)))
        if runs:
            text = f"{what}: {len(runs)} runs of seed {seeds}"
            console.print(text, highlight=False, soft_wrap=True)


def make_runs(
    console: Console,
    out: Path,
    specs: list[RunSpec],
    jobs: int,
    options: Options,
    ray: str | None = None,
) -> int:
    """Make the runs that are not finished, and show how they go.

    Args:
        console: Where to print.
        out: The folder of the study.
        specs: The runs.
        jobs: How many run at a time.
        options: How to make them.
        ray: The address of a Ray cluster to make them on.

    Returns:
        How many failed.
    """
    finished, waiting = runner.split(out, specs)
    if finished:
        console.print(f"{len(finished)} of {len(specs)} runs are finished already")
        if options.save_model or options.tensorboard:
            console.print("what they keep stays as it is: the options are for the rest")
    if not specs:
        print_no_run(console)
    if not waiting:
        return 0
    done, failed = len(finished), 0
    events = (
        runner.run_all(out, waiting, jobs, options)
        if ray is None
        else cluster.run_all(out, waiting, jobs, ray, options)
    )
    try:
        total = sum(spec.epochs for spec in waiting)
        bar = Bar(console, f"{len(waiting)} runs", total)
        with contextlib.closing(events), bar:
            left = {spec: spec.epochs for spec in waiting}
            for event in events:
                if event.kind == "start":  # again, perhaps
                    bar.begin()
                    bar.move(left[event.spec] - event.spec.epochs)
                    left[event.spec] = event.spec.epochs
                if event.kind in ("epoch", "restore"):
                    left[event.spec] -= 1
                    bar.move(skipped=event.kind == "restore")
                if event.kind in ("finish", "fail"):
                    bar.move(left.pop(event.spec), skipped=True)
                if event.kind == "finish":
                    done += 1
                    line = finish_line(done, len(specs), event.detail)
                    bar.console.print(line, highlight=False, soft_wrap=True)
                if event.kind == "fail":
                    failed += 1
                    reason = escape(printable(" ".join(event.detail.split())))
                    bar.console.print(
                        f"[red]failed[/red] {event.spec.id}: {reason}",
                        highlight=False,
                        soft_wrap=True,
                    )
    except (KeyboardInterrupt, SystemExit):
        console.print(
            f"stopped: {done} of {len(specs)} runs are finished; "
            "the same command goes on from there"
        )
        raise
    return failed


@contextlib.contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far something is of which each part takes about the same time.

    Args:
        console: Where.
        what: What is counted.
        total: How many there are.

    Yields:
        What to call when another is done.
    """
    with Bar(console, "", total, what) as bar:
        yield bar.move


def epoch_line(spec: RunSpec, epoch: int, curves: dict[str, Any]) -> str:
    """How an epoch went."""
    return (
        f"epoch {epoch:>{len(str(spec.epochs))}}/{spec.epochs}  "
        f"train: loss {curves['train_loss']:.4f}, "
        f"accuracy {curves['train_accuracy']:.1%}  "
        f"test: loss {curves['test_loss']:.4f}, accuracy {curves['test_accuracy']:.1%}"
    )


def finish_line(number: int, total: int, result: Result) -> str:
    """How a run ended, the `number`-th of `total`."""
    spec = result.spec
    return (
        f"[green]done[/green] {number:>{len(str(total))}}/{total}  "
        f"{spec.optimizer:<6}{spec.arm:<10}seed {spec.seed}  "
        f"accuracy {result.metrics['accuracy']:6.2%}  "
        f"loss {result.metrics['loss']:.4f}  {sum(result.seconds):5.1f} s"
    )
