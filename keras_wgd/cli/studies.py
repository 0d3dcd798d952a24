"""`keras-wgd study`."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from keras_wgd import presets
from keras_wgd.cli import display, fields, launch, options
from keras_wgd.cli.options import UserError, one_of, user_errors
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.fields import described
from keras_wgd.experiments.launch import cluster, gpus
from keras_wgd.experiments.launch.cluster import LOCAL
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import ARMS, RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.claim import Shard, check_plan, claim, recorded
from keras_wgd.experiments.training import inputs, tensorboard
from keras_wgd.tasks.datasets.names import SIZES
from keras_wgd.tasks.models.names import MODELS


def _only(names: Collection[str], what: str) -> Any:
    """An option that selects runs, and may be repeated."""
    text = f"Only runs with this {what}; may be repeated."
    return one_of(names, text, show_default=False, rich_help_panel="A part of it")


def with_ray_address(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the address "local" for a `--ray` that has none."""
    complete = []
    for argument, after in zip(arguments, [*arguments[1:], "-"], strict=False):
        complete.append(argument)
        if argument == "--ray" and after.startswith("-"):
            complete.append(LOCAL)
    return complete


@fields.takes(
    *fields.from_fields(
        RunSpec, fields.COMMON, fields.default_of_presets, panel="Runs"
    ),
    *fields.from_fields(Options, described(Options).keys() - {"devices"}),
)
def study(
    *,
    preset: Annotated[str, one_of(presets.PRESETS, "The study: {}.")],
    out: Annotated[
        Path | None, options.folder_option("The folder for the results.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at a time, which share GPUs and cores. Not for a Ray cluster "
            "with an address.",
            show_default="one for each GPU, or else for each core",
        ),
    ] = None,
    list_runs: Annotated[
        bool, typer.Option("--list", help="Print the runs, and make none.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check all inputs (the data too, which Keras may download), print the "
            "runs and the state of each in --out, and change nothing there.",
        ),
    ] = False,
    dataset: Annotated[list[str] | None, _only(SIZES, "data set")] = None,
    model: Annotated[list[str] | None, _only(MODELS, "network")] = None,
    optimizer: Annotated[
        list[str] | None,
        one_of(
            OPTIMIZERS,
            "Only runs with this optimizer, or with another of Keras by its lower-case "
            "name and --learning-rate; may be repeated.",
            show_default=False,
            rich_help_panel="A part of it",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None, _only(ARMS, "arm, plain or a mean such as filters")
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seed",
            help="A seed, in place of those of the study; may be repeated. New seeds "
            "are added to a study in --out.",
            show_default=fields.default_of_presets("seed"),
            rich_help_panel="Runs",
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            help="Make part i of n; start the others elsewhere. Runs that differ only "
            "in the arm are in one part.",
            metavar="i/n",
            show_default=False,
            rich_help_panel="Many machines",
        ),
    ] = "1/1",
    ray: Annotated[
        str | None,
        typer.Option(
            help="Make the runs on the Ray cluster at this address; without an "
            "address, on a cluster on this machine.",
            metavar="[ADDRESS]",
            show_default=False,
            rich_help_panel="Many machines",
        ),
    ] = None,
    backend: options.Backend = None,
    as_json: options.Json = False,
    **values: Any,
) -> None:
    """Make all runs of a study, and a table.

    Finished runs are not made again. The same command resumes a study that was
    stopped, by Ctrl-C or otherwise, also from a copy of the folder on another machine.
    At most the current epoch is lost.
    """
    with user_errors():
        part = Shard.parse(shard)
        plan = presets.preset(preset).replace(
            seeds or (), optimizers=optimizer or (), **fields.given(RunSpec, values)
        )
        specs = plan.select(
            dataset=dataset or (),
            model=model or (),
            optimizer=optimizer or (),
            arm=arm or (),
        )
    mine = part.of(specs)
    if list_runs:
        _list(mine, as_json)
        return
    if out is None:
        raise UserError("--out must name a folder for the results. Received: none")
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs must be a whole number of at least 1. Received: {jobs}")
    backend = options.choose_backend(backend)
    how = Options(**fields.given(Options, values))
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with contextlib.ExitStack() as stack:
        with user_errors():
            if how.tensorboard:
                tensorboard.check()
            if ray is not None:
                cluster.check(ray)
            display.print_inputs(console, *inputs.check(specs, how))
            display.print_problems(console, results.check(out, specs, backend))
            begun = check_plan(out, specs, backend)
            if not dry_run:  # last, so that an error leaves no folder behind
                stack.enter_context(claim(out, specs, backend, part))
            display.print_seeds(console, begun, specs)
            if dry_run:
                _list(mine, as_json, [results.state_of(out, spec) for spec in mine])
                return
        if ray in (None, LOCAL):  # another cluster has GPUs of its own
            how = dataclasses.replace(how, gpus=gpus.visible(backend))
        jobs = jobs or len(how.gpus) or os.cpu_count() or 1
        if how.gpus and ray is None:
            display.print_gpus(console, how.gpus, jobs)
        failed = launch.make_runs(console, out, mine, jobs, how, ray)
        if _print_study(console, out, as_json):
            display.print_report_command(console, out, options.program())
    if failed:
        raise typer.Exit(1)


def _list(specs, as_json, states=()):
    if not specs:
        display.print_no_run(Console(stderr=as_json))
    if as_json:
        kept = [{"state": state} for state in states] or [{}] * len(specs)
        print(json.dumps([s.to_dict() | k for s, k in zip(specs, kept, strict=True)]))
    elif specs:
        display.print_specs(Console(), specs, states)


def _print_study(console, out, as_json):
    """Print and write the tables of the finished runs; return if there are any."""
    found, problems = results.read_all(out)
    display.print_problems(console, problems)
    wanted = set(recorded(out))
    found = [result for result in found if result.spec in wanted]
    if not found:
        if as_json:
            print("[]")
        return False
    analysis = Analysis.of(found)
    display.print_paths(console, analysis.write(out))
    if as_json:
        print(analysis.summary.write_json())
    else:
        display.print_tables(console, analysis)
    return True
