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


def print_study(
    console: Console, out: Path, specs: Sequence[RunSpec], as_json: bool
) -> bool:
    """Print and write the tables of the finished runs, and return if there are any."""
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


def make_runs(
    console: Console,
    out: Path,
    specs: list[RunSpec],
    jobs: int,
    options: Options,
    ray: str | None = None,
) -> int:
    """Make the runs that are not finished, and show their progress.

    They are made in `jobs` processes at a time, or on the Ray cluster at an address.

    Returns:
        The number of runs that failed.
    """
    finished, waiting = runner.split(out, specs)
    if finished:
        console.print(f"{len(finished)} of {len(specs)} runs are finished already")
        if options.save_model or options.tensorboard:
            console.print(
                "--save-model and --tensorboard hold for the runs that are not finished"
            )
    if not specs:
        print_no_run(console)
    if not waiting:
        return 0
    events = (
        runner.run_all(out, waiting, jobs, options)
        if ray is None
        else cluster.run_all(out, waiting, jobs, ray, options)
    )
    done, failed = len(finished), 0
    left = {spec: spec.epochs for spec in waiting}
    bar = Bar(console, f"{len(waiting)} runs", sum(left.values()))
    try:
        with contextlib.closing(events), bar:
            for event in events:
                spec = event.spec
                if event.kind == "start":  # perhaps not for the first time
                    bar.begin()
                    bar.move(left[spec] - spec.epochs)
                    left[spec] = spec.epochs
                if event.kind in ("epoch", "restore"):
                    left[spec] -= 1
                    bar.move(skipped=event.kind == "restore")
                if event.kind in ("finish", "fail"):
                    bar.move(left.pop(spec), skipped=True)
                if event.kind == "finish":
                    done += 1
                    line = finish_line(done, len(specs), event.detail)
                    _print(bar.console, line, markup=True)
                if event.kind == "fail":
                    failed += 1
                    reason = escape(printable(" ".join(event.detail.split())))
                    line = f"[red]failed[/red] {spec.id}: {reason}"
                    _print(bar.console, line, markup=True)
    except (KeyboardInterrupt, SystemExit):
        console.print(
            f"stopped: {done} of {len(specs)} runs are finished; "
            "the same command resumes the others"
        )
        raise
    return failed


@contextlib.contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar for equal parts (`what`), and give the function that counts one."""
    with Bar(console, "", total, what) as bar:
        yield bar.move


def epoch_line(spec: RunSpec, epoch: int, curves: dict[str, Any]) -> str:
    """The line for an epoch."""
    return (
        f"epoch {epoch:>{len(str(spec.epochs))}}/{spec.epochs}  "
        f"train: loss {curves['train_loss']:.4f}, "
        f"accuracy {curves['train_accuracy']:.1%}  "
        f"test: loss {curves['test_loss']:.4f}, accuracy {curves['test_accuracy']:.1%}"
    )


def finish_line(number: int, total: int, result: Result) -> str:
    """The line for a finished run, the `number`-th of `total`."""
    spec = result.spec
    return (
        f"[green]done[/green] {number:>{len(str(total))}}/{total}  "
        f"{spec.optimizer:<6}{spec.arm:<10}seed {spec.seed}  "
        f"accuracy {result.metrics['accuracy']:6.2%}  "
        f"loss {result.metrics['loss']:.4f}  {sum(result.seconds):5.1f} s"
    )
