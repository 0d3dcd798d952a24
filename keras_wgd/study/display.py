"""What a terminal shows of runs: a bar, a line for each end, and tables."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from keras_wgd.study import runner, tables
from keras_wgd.study.results import Result
from keras_wgd.study.spec import RunSpec


def print_tables(console: Console, runs) -> None:
    """Print the tables of runs; never so narrow that a number is cut."""
    width = console.width
    console.width = max(width, 80)
    for table in tables.rich_tables(runs):
        console.print(table)
    console.width = width


def make_runs(
    console: Console,
    out: Path,
    specs: list[RunSpec],
    jobs: int,
    data_dir: str | None,
) -> int:
    """Make the runs that are not finished, and show how they go.

    Args:
        console: Where to print.
        out: The folder of the study.
        specs: The runs.
        jobs: How many run at a time.
        data_dir: The folder with the data set's files.

    Returns:
        How many failed.
    """
    finished, waiting = runner.split(out, specs)
    if finished:
        console.print(f"{len(finished)} of {len(specs)} runs are finished already")
    if not waiting:
        return 0
    done, failed = len(finished), 0
    try:
        with progress(console) as bar:
            task = bar.add_task(
                f"{len(waiting)} runs", total=sum(spec.epochs for spec in waiting)
            )
            left = {spec: spec.epochs for spec in waiting}
            for event in runner.run_all(out, waiting, jobs, data_dir):
                if event.kind == "epoch":
                    left[event.spec] -= 1
                    bar.advance(task)
                if event.kind in ("finish", "fail"):
                    bar.advance(task, left.pop(event.spec))
                if event.kind == "finish":
                    done += 1
                    line = finish_line(done, len(specs), event.detail)
                    bar.console.print(line, highlight=False, soft_wrap=True)
                if event.kind == "fail":
                    failed += 1
                    reason = escape(" ".join(event.detail.split()))
                    bar.console.print(
                        f"[red]failed[/red] {event.spec.id}: {reason}",
                        highlight=False,
                        soft_wrap=True,
                    )
    except KeyboardInterrupt:
        console.print(
            f"stopped: {done} of {len(specs)} runs are finished; "
            "the same command goes on from there"
        )
        raise
    return failed


def progress(console: Console) -> Progress:
    """A bar with the time left; where there is no terminal, nothing."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} epochs"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


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
