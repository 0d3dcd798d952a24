"""`keras-wgd compare`."""

import contextlib
import dataclasses
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from keras_wgd.cli import display, fields, options
from keras_wgd.cli.comparisons import built_in, task_file
from keras_wgd.cli.comparisons.built_in import BuiltIn
from keras_wgd.cli.options import user_errors
from keras_wgd.experiments.fields import field
from keras_wgd.experiments.store.results import REPORT, REPORT_PAGE

if TYPE_CHECKING:  # it imports Polars, which the help does not need
    from keras_wgd.comparison import Comparison


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overrides:
    """Arguments of `compare` by their names, which a task file may define too."""

    epochs: int | None = field(None, help="Passes over the training data.")
    batch_size: int | None = field(None, help="Samples in a step.")
    seeds: int | None = field(
        None, help="The most seeds; every optimizer trains with each."
    )
    budget: str | None = field(
        None,
        metavar="TIME",
        help="The most time for a comparison, such as 90s, 30m or 2h.",
    )
    margin: float | None = field(
        None, help="A difference that does not matter, in units of the monitor."
    )
    monitor: str | None = field(
        None, help="What is compared: a value that fit logs, such as val_loss."
    )
    tail: float | None = field(
        None, help="The share of the last epochs whose mean is compared."
    )
    dtype_policy: str | None = field(
        None, help="A policy of Keras, such as mixed_bfloat16."
    )
    jobs: int | None = field(None, help="Runs at a time.")
    devices: int | None = field(
        None, help="Split each batch over this many GPUs or, without a GPU, cores."
    )
    ray: str | None = field(
        None,
        metavar="[ADDRESS]",
        help="Make the runs on the Ray cluster at this address; without an address, on "
        "a cluster on this machine.",
    )


# The defaults of keras_wgd.compare, for the help.
_SHOWN = {
    "epochs": f"{built_in.EPOCHS} without a file, else 1",
    "batch_size": "32",
    "seeds": "10",
    "budget": "no limit",
    "monitor": "val_accuracy",
    "tail": "0.3",
    "jobs": "1",
    "devices": "1",
}
_PANEL = "The comparison"


@fields.takes(
    *fields.from_fields(
        BuiltIn,
        shown=lambda name: built_in.SHOWN.get(name, ""),
        panel="A task without a file",
    ),
    *fields.from_fields(
        Overrides, shown=lambda name: _SHOWN.get(name, ""), panel=_PANEL
    ),
)
def compare(
    task: Annotated[
        Path | None,
        typer.Argument(
            help="A Python file that defines build_model, optimizers, train and other "
            "arguments of keras_wgd.compare by their names.",
            metavar="[TASK.py]",
            show_default=False,
        ),
    ] = None,
    *,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="A rate to try on a part of the training data; may be repeated. Each "
            "optimizer then gets its best.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    all_seeds: Annotated[
        bool,
        typer.Option(
            "--all-seeds",
            help="Run all seeds, even where the answer is clear before.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        options.folder_option("Keep runs and report here; the same command resumes."),
    ] = None,
    backend: options.Backend = None,
    as_json: options.Json = False,
    **values: Any,
) -> None:
    """Compare optimizers on your own task: better, worse, equivalent or undecided.

    All optimizers train with the same seeds, and each is compared with the
    first, seed by seed. The comparison ends as soon as the answer is clear, or
    the budget is spent.

    With several --optimizer and a --mean-over there is a comparison for each
    optimizer, in a folder of its own in --out: whether WGD helps an optimizer
    is a question about the same optimizer without WGD, not about the first of
    the list. Each comparison has the whole budget, and its own error rate.
    """
    with user_errors():
        described = BuiltIn(**fields.given(BuiltIn, values))
        _check_task(task, described)
    changes = fields.given(Overrides, values)
    if all_seeds:
        changes["sequential"] = False
    options.choose_backend(backend)
    from keras_wgd.comparison import compare as call

    console = Console(file=sys.stderr if as_json else sys.stdout)
    with contextlib.ExitStack() as stack:
        if as_json:  # what a task or Keras prints is not JSON
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        with user_errors():
            if task is None:
                parts, *lines = built_in.comparisons(described)
                display.print_inputs(console, *lines)
            else:
                parts = {"": task_file.read(task, inspect.signature(call).parameters)}
        told = []
        for name, arguments in parts.items():
            place = out if out is not None else arguments.get("out")
            if place is not None:
                place = Path(place) / name
            arguments = arguments | changes | {"out": place, "progress": console}
            if learning_rate:
                arms = arguments["optimizers"]
                arguments["learning_rates"] = dict.fromkeys(arms, learning_rate)
            with user_errors():
                comparison = call(**arguments)
            if not as_json:
                if name:
                    console.rule(name)
                print(comparison)
            report = _report(console, comparison, place)
            told.append(_described(name, comparison, report))
            if told[-1]["stopped"] == "interrupted":
                break
    if as_json:
        print(json.dumps(told))
    if told[-1]["stopped"] == "interrupted":
        raise KeyboardInterrupt
    if any(each["failures"] for each in told):
        raise typer.Exit(1)


def _check_task(task: Path | None, described: BuiltIn) -> None:
    sources = (task, described.images, described.dataset)
    count = sum(source is not None for source in sources)
    if count != 1 and task is None:
        raise ValueError(
            "compare needs a Python file, --images FOLDER or --dataset NAME. "
            f"Received: {'both options' if count else 'none'}"
        )
    if task is not None and (given := described.options()):
        raise ValueError(
            "a task in a Python file defines its model, data and optimizers itself. "
            f"Received: {task} and {', '.join(given)}"
        )


def _report(
    console: Console, comparison: "Comparison", place: Path | None
) -> Path | None:
    """Write the page of a comparison that has a folder."""
    if place is None:
        return None
    (place / REPORT).mkdir(parents=True, exist_ok=True)
    report = comparison.report(place / REPORT / REPORT_PAGE)
    display.print_report(console, [report])
    return report


def _described(
    name: str, comparison: "Comparison", report: Path | None
) -> dict[str, Any]:
    """A comparison for a program, ready for JSON."""
    return {
        "name": name or None,
        "verdicts": dict(comparison.verdicts),
        "table": json.loads(comparison.table().write_json()),
        "runs": json.loads(comparison.runs.write_json()),
        "stopped": comparison.stopped,
        "learning_rates": dict(comparison.learning_rates),
        "warnings": list(comparison.warnings),
        "failures": dict(comparison.failures),
        "report": None if report is None else str(report),
    }
