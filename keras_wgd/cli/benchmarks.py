"""`keras-wgd bench`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keras_wgd.bench import NETWORKS
from keras_wgd.choices import check_choice
from keras_wgd.cli import display
from keras_wgd.cli.options import (
    Backend,
    Json,
    UserError,
    choose_backend,
    folder_option,
    one_of,
    user_errors,
)
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.optimizers.means import MEANS, PLACEMENTS
from keras_wgd.progress import Bar

# The step of nadam is that of adam, but for some scalars.
_USUAL = ("sgdm", "adam", "radam")


def _any_of(allowed, default="all"):
    """An option that may be repeated."""
    return one_of(allowed, "Any of {}; may be repeated.", show_default=default)


def bench(
    model: Annotated[str, one_of(NETWORKS, "Whose weights: one of {}.")] = "resnet50",
    optimizer: Annotated[list[str] | None, _any_of(OPTIMIZERS, "all but nadam")] = None,
    mean_over: Annotated[list[str] | None, _any_of(MEANS)] = None,
    placement: Annotated[list[str] | None, _any_of(PLACEMENTS)] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each step is timed.")
    ] = 20,
    copied_gradients: Annotated[
        bool,
        typer.Option(
            "--copied-gradients",
            help="On PyTorch, give Keras's optimizers copies of the gradients, as a "
            "custom training loop may, and not the .grad of each weight.",
        ),
    ] = False,
    train_step: Annotated[
        bool,
        typer.Option(
            "--train-step",
            help="Also time whole steps of fit: each optimizer alone, with the first "
            "mean and placement, and with a WhiteningMonitor.",
        ),
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images in a whole step.")
    ] = 32,
    image_size: Annotated[
        int,
        typer.Option(
            min=1, metavar="PIXELS", help="Their height and width in a whole step."
        ),
    ] = 224,
    growth: Annotated[
        Path | None,
        folder_option(
            "Instead, time the step of RAdam against size and number of its weights. "
            "Write growth-BACKEND.json here, and draw all such files as growth.svg."
        ),
    ] = None,
    backend: Backend = None,
    as_json: Json = False,
) -> None:
    """Time the step of each optimizer, alone and wrapped, beside its peers."""
    optimizers = _chosen("optimizer", optimizer, OPTIMIZERS) or _USUAL
    means = _chosen("mean_over", mean_over, MEANS) or tuple(MEANS)
    placements = _chosen("placement", placement, PLACEMENTS) or PLACEMENTS
    _chosen("model", [model], NETWORKS)
    backend = choose_backend(backend)
    if copied_gradients and backend != "torch":
        raise UserError(f"--copied-gradients needs PyTorch. Received: {backend}")
    console = Console(stderr=as_json)
    if growth is not None:
        _growth(console, growth, rounds, as_json)
        return
    from keras_wgd.bench import measurements, networks, tables
    from keras_wgd.bench.contenders import contenders, in_fit
    from keras_wgd.environment import environment, keras_defaults

    with keras_defaults():
        with user_errors():
            network = networks.build(model, image_size)
        weights = network.trainable_variables
        families = [contenders(name, means, placements, network) for name in optimizers]
        steps = [contender for family in families for contender in family]
        whole = [c for family in families for c in in_fit(family)] if train_step else []
        count = (len(steps) + len(whole)) * (rounds + 1)
        with Bar(console, "", count, "steps") as bar:
            alone = measurements.of_steps(
                weights, steps, rounds, bar.move, copied_gradients
            )
            fits = measurements.of_fit_steps(
                network, whole, rounds, batch_size, bar.move
            )
        about = environment()
    if as_json:
        report = {
            "environment": about,
            "model": model,
            "batch_size": batch_size,
            "image_size": image_size,
            "steps": [m.to_dict() for m in alone],
            "fit": [m.to_dict() for m in fits],
        }
        print(json.dumps(report))
        return
    device = ", ".join(about["accelerators"]) or (
        f"{about['processor']}, {about['cores']} cores"
    )
    with display.wide(console, 100):
        console.print(
            f"{model}: {len(weights)} weights of {networks.size(weights):,} numbers; "
            f"{about['backend']}, {device}; medians of {rounds} rounds",
            highlight=False,
        )
        for name in optimizers:
            console.print(tables.steps([m for m in alone if m.optimizer == name]))
        if fits:
            console.print(tables.fit_steps(fits, alone, batch_size, image_size))


def _growth(console, out, rounds, as_json):
    from keras_wgd.bench import growth
    from keras_wgd.environment import environment, keras_defaults

    with user_errors():
        growth.read(out)  # an error is found before the minutes of measuring
    bar = Bar(console, "", growth.count(rounds), "steps")
    with keras_defaults(), bar:
        about = environment()
        points = growth.measure(rounds, bar.move)
    with user_errors():
        written = growth.write(out, about, points)
    if as_json:
        print(json.dumps({"environment": about, "points": points}))
    else:
        display.print_paths(console, written)


def _chosen(field, given, allowed):
    with user_errors():
        for value in given or ():
            check_choice(field, value, allowed)
    return tuple(dict.fromkeys(given or ()))
