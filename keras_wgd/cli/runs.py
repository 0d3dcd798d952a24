"""`keras-wgd run`."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keras_wgd.choices import check_choice
from keras_wgd.cli import options
from keras_wgd.cli.options import UserError, one_of, user_errors
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.optimizers.means import MEANS, PLACEMENTS
from keras_wgd.tasks.datasets.names import SIZES
from keras_wgd.tasks.models.names import MODELS


def run(
    dataset: Annotated[str, one_of(SIZES)],
    model: Annotated[str, one_of(MODELS)] = "resnet8",
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = "radam",
    mean_over: Annotated[
        str | None,
        one_of(MEANS, "One of {}; without it the plain optimizer.", show_default=False),
    ] = None,
    placement: Annotated[
        str, one_of(PLACEMENTS, "One of {}: what is centred.")
    ] = "gradient",
    seed: Annotated[int, typer.Option(help="Of the weights and the order.")] = 0,
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
    data_dir: options.DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep the result in this folder; the same command goes on from there.",
            show_default=False,
            parser=options.folder,
            metavar="FOLDER",
        ),
    ] = None,
    save_model: options.SaveModel = False,
    tensorboard: options.Tensorboard = False,
    devices: options.Devices = 1,
    backend: options.Backend = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and only that.")
    ] = False,
) -> None:
    """Train one network once and print its metrics."""
    with user_errors():
        check_choice("dataset", dataset, SIZES)
        check_choice("model", model, MODELS)
        spec = RunSpec(
            dataset=dataset,
            model=model,
            optimizer=optimizer,
            mean_over=mean_over,
            placement=placement,
            seed=seed,
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
    if out is None and (save_model or tensorboard):
        raise UserError(
            "--save-model and --tensorboard need --out, the folder to keep things in. "
            "Received: none"
        )
    backend = options.choose_backend(backend)
    from keras_wgd.cli import display
    from keras_wgd.experiments.analysis.analysis import Analysis
    from keras_wgd.experiments.options import Options
    from keras_wgd.experiments.store import claim, results
    from keras_wgd.experiments.training import devices as engines
    from keras_wgd.experiments.training import inputs
    from keras_wgd.experiments.training import tensorboard as boards

    how = Options(options.text_of(data_dir), save_model, tensorboard, devices)
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with contextlib.ExitStack() as held:
        with user_errors():
            if tensorboard:
                boards.check()
            engines.check(devices, spec.batch_size)
            display.print_inputs(console, *inputs.check([spec], how))
            engine = engines.start(devices)
            if out is None:
                place = Path(held.enter_context(tempfile.TemporaryDirectory()))
            else:
                place = out
                display.print_problems(console, results.check(out, [spec], backend))
                results.prepare(out, [spec])
                held.enter_context(claim.alone(out))
        if results.is_finished(place, spec):
            result = results.read(results.path_of(place, spec))
        else:
            result = _make(console, place, spec, how, engine)
        if out is not None:
            display.print_paths(console, [results.path_of(out, spec)], "kept in")
    if as_json:
        print(json.dumps({"spec": spec.to_dict(), **results.to_dict(result)}))
    else:
        display.print_tables(console, Analysis.of([result]))


def _make(console, out, spec, how, engine):
    import keras

    from keras_wgd.cli import display
    from keras_wgd.cli.progress import Bar
    from keras_wgd.experiments.launch import events, processes
    from keras_wgd.experiments.training import train

    with Bar(console, "training", spec.epochs) as bar:

        def on_epoch(epoch, curves, restored):
            bar.move(skipped=restored)
            bar.console.print(
                display.epoch_line(spec, epoch, curves), highlight=False, soft_wrap=True
            )

        try:
            if engine.count > 1 and keras.backend.backend() == "torch":
                return processes.make(out, spec, how, on_epoch)
            return train.make(out, spec, how, on_epoch, engine)
        except Exception as error:
            if not events.is_lack_of_memory(error):
                raise
            raise UserError(
                "memory ran out; smaller batches, images or networks need less. "
                f"Received: {spec.id}, and {error or type(error).__name__}"
            ) from error
