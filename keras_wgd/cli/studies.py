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
from keras_wgd.cli import options
from keras_wgd.cli.options import UserError, one_of, user_errors
from keras_wgd.experiments.launch.cluster import LOCAL
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import ARMS
from keras_wgd.experiments.store.claim import Shard, check_plan, claim, recorded
from keras_wgd.tasks.datasets.names import SIZES
from keras_wgd.tasks.models.names import MODELS


def _part(names: Collection[str], text: str) -> Any:
    """An option that may be given several times, to take a part of the study."""
    return one_of(names, text, show_default=False, rich_help_panel="A part of it")


def with_ray_address(arguments: Sequence[str]) -> list[str]:
    """`--ray` without an address is `--ray local`."""
    complete = []
    for position, argument in enumerate(arguments):
        complete.append(argument)
        if argument == "--ray" and not _is_value(arguments[position + 1 :]):
            complete.append(LOCAL)
    return complete


def _is_value(rest):
    return bool(rest) and not rest[0].startswith("-")


def study(
    preset: Annotated[str, one_of(presets.PRESETS, "A study: {}.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the results.",
            parser=options.folder,
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at a time; GPUs and cores are divided among them. A Ray cluster "
            "with an address has its own number.",
            show_default="one for each GPU, or else for each core",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    list_runs: Annotated[
        bool, typer.Option("--list", help="Print the runs, and make none.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check what can be checked before (the data, too, which Keras may "
            "download), print the runs and what there is of each in --out, and leave "
            "that as it is.",
        ),
    ] = False,
    dataset: Annotated[
        list[str] | None,
        _part(SIZES, "This data set alone; more than once for several."),
    ] = None,
    model: Annotated[list[str] | None, _part(MODELS, "Likewise, a network.")] = None,
    optimizer: Annotated[
        list[str] | None, _part(OPTIMIZERS, "Likewise, an optimizer.")
    ] = None,
    arm: Annotated[
        list[str] | None, _part(ARMS, "Likewise, plain or a mean, such as filters.")
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seed",
            help="This seed in place of the study's; more than once for several. "
            "Seeds that are new to a study in --out are added to it.",
            show_default=False,
            rich_help_panel="Runs",
        ),
    ] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    epsilon: options.Epsilon = None,
    sampler: options.Sampler = None,
    image_size: options.ImageSize = None,
    stem: options.Stem = None,
    train_size: options.TrainSize = None,
    test_size: options.TestSize = None,
    shard: Annotated[
        str,
        typer.Option(
            help="Make the i-th of n parts; start the others elsewhere. Runs that "
            "differ in the arm alone are in one part.",
            metavar="i/n",
            show_default=False,
            rich_help_panel="Many machines",
        ),
    ] = "1/1",
    ray: Annotated[
        str | None,
        typer.Option(
            help="Make the runs on the Ray cluster there; without an address, on a "
            "cluster of this machine.",
            metavar="[ADDRESS]",
            show_default=False,
            rich_help_panel="Many machines",
        ),
    ] = None,
    save_model: options.SaveModel = False,
    tensorboard: options.Tensorboard = False,
    backend: options.Backend = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, and only that.")
    ] = False,
) -> None:
    """Make all runs of a study, and a table.

    What is finished is not made again: the same command goes on where it was
    stopped, by Ctrl-C or otherwise, and loses at most the epoch under way. So it does
    with a copy of the folder on another machine.
    """
    with user_errors():
        part = Shard.parse(shard)
        plan = presets.preset(preset).replace(
            seeds or (),
            **options.given(
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
                epsilon=epsilon,
                sampler=sampler,
                image_size=image_size,
                stem=stem,
                train_size=train_size,
                test_size=test_size,
            ),
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
    from keras_wgd.cli import display
    from keras_wgd.experiments.launch import cluster, gpus
    from keras_wgd.experiments.store import results
    from keras_wgd.experiments.training import inputs
    from keras_wgd.experiments.training import tensorboard as boards

    how = Options(options.text_of(data_dir), save_model, tensorboard)
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with contextlib.ExitStack() as claimed:
        with user_errors():
            if tensorboard:
                boards.check()
            if ray is not None:
                cluster.check(ray)
            display.print_inputs(console, *inputs.check(specs, how))
            display.print_problems(console, results.check(out, specs, backend))
            begun = check_plan(out, specs, backend)
            if not dry_run:  # last, so that a mistake leaves no folder behind
                claimed.enter_context(claim(out, specs, backend, part))
            display.print_seeds(console, begun, specs)
            if dry_run:
                _list(mine, as_json, [results.state_of(out, spec) for spec in mine])
                return
        if ray in (None, LOCAL):  # another cluster knows its own
            how = dataclasses.replace(how, gpus=gpus.visible(backend))
        jobs = jobs or len(how.gpus) or os.cpu_count() or 1
        if how.gpus and ray is None:
            display.print_gpus(console, how.gpus, jobs)
        failed = display.make_runs(console, out, mine, jobs, how, ray)
        if display.print_study(console, out, recorded(out), as_json):
            display.print_report_command(console, out, options.program())
    if failed:
        raise typer.Exit(1)


def _list(specs, as_json, states=()):
    from keras_wgd.cli import display

    if not specs:
        display.print_no_run(Console(stderr=as_json))
    if as_json:
        kept = [{"state": state} for state in states] or [{}] * len(specs)
        print(json.dumps([s.to_dict() | k for s, k in zip(specs, kept, strict=True)]))
    elif specs:
        display.print_specs(Console(), specs, states)
