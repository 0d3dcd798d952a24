"""`keras-wgd run`."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console

from keras_wgd.cli import display, fields, options
from keras_wgd.cli.options import UserError, user_errors
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.launch import events, processes
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import NAMED, RunSpec
from keras_wgd.experiments.store import claim, results
from keras_wgd.experiments.training import inputs, tensorboard
from keras_wgd.progress import Bar

DEFAULTS = {"model": "resnet8", "optimizer": "radam"}


def _default(name):
    return DEFAULTS.get(name) or fields.default_of_run(name)


@fields.takes(
    *fields.from_fields(RunSpec, NAMED, _default, required=("dataset",)),
    *fields.from_fields(RunSpec, fields.COMMON, _default, panel="Runs"),
    *fields.from_fields(Options),
)
def run(
    *,
    out: Annotated[
        Path | None,
        options.folder_option("Keep the result here; the same command resumes a run."),
    ] = None,
    backend: options.Backend = None,
    as_json: options.Json = False,
    **values: Any,
) -> None:
    """Train one network once and print its metrics."""
    with user_errors():
        spec = RunSpec(**DEFAULTS | fields.given(RunSpec, values))
        how = Options(**fields.given(Options, values))
    if out is None and (how.save_model or how.tensorboard):
        raise UserError(
            "--save-model and --tensorboard need --out, the folder to keep things in. "
            "Received: none"
        )
    backend = options.choose_backend(backend)
    from keras_wgd.experiments.training import devices

    console = Console(file=sys.stderr if as_json else sys.stdout)
    with contextlib.ExitStack() as stack:
        with user_errors():
            if how.tensorboard:
                tensorboard.check()
            devices.check(how.devices, spec.batch_size)
            display.print_inputs(console, *inputs.check([spec], how))
            engine = devices.start(how.devices)
            if out is None:
                place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            else:
                place = out
                display.print_problems(console, results.check(out, [spec], backend))
                results.prepare(out, [spec])
                stack.enter_context(claim.alone(out))
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

    from keras_wgd.experiments.training import train

    with Bar(console, "training", spec.epochs) as bar:

        def on_epoch(epoch, curves, restored):
            bar.move(skipped=restored)
            display.print_epoch(bar.console, spec, epoch, curves)

        try:
            if engine.count > 1 and keras.backend.backend() == "torch":
                return processes.make(out, spec, how, on_epoch)
            return train.make(out, spec, how, on_epoch, engine)
        except Exception as error:
            if not events.is_out_of_memory(error):
                raise
            raise UserError(
                "memory ran out; smaller batches, images or networks need less. "
                f"Received: {spec.id}, and {error or type(error).__name__}"
            ) from error
