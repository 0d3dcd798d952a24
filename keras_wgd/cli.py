"""The command line: the only place that prints, and that ends the process."""

import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from keras_wgd.optimizers.names import MEANS
from keras_wgd.study.spec import RunSpec

BACKENDS = ("tensorflow", "jax", "torch")

cli = typer.Typer(
    help="Whitened gradient descent for Keras: networks, runs and studies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class UserError(typer.TyperException):
    """A mistake in the command or its input: one line, exit code 2."""


def app(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; say what is wrong in one line."""
    try:
        code = cli(arguments, prog_name="keras-wgd", standalone_mode=False) or 0
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        if message:  # none where the help has been shown instead
            print(f"keras-wgd: error: {message}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, say
        print(f"keras-wgd: error: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # what typer, too, makes of Ctrl-C
        print("keras-wgd: interrupted", file=sys.stderr)
    return code


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Where what goes wrong is the user's to mend."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def folder(text: str) -> Path:
    """A folder's path; an empty one (an unset variable) is not the current folder."""
    if not text:
        raise typer.BadParameter("must name a folder. Received: ''")
    return Path(text)


Backend = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(BACKENDS)}; by default what KERAS_BACKEND says.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="The folder with the data set's files.",
        envvar="KERAS_WGD_DATA",
        show_default=False,
        parser=folder,
        metavar="FOLDER",
    ),
]


@cli.command(epilog="Example: keras-wgd kernels resnet50")
def kernels(
    network: Annotated[
        str, typer.Argument(help="A name of keras.applications, or a .keras file.")
    ],
    mean_over: Annotated[
        str, typer.Option(help="filters, fan_in or kernels.")
    ] = "filters",
    backend: Backend = None,
) -> None:
    """Show which kernels of a network WGD centres, over what, and why not others."""
    if mean_over not in MEANS:
        raise UserError(
            f"mean_over must be one of {', '.join(MEANS)}. Received: {mean_over!r}"
        )
    choose_backend(backend)
    from keras_wgd.models.applications import load
    from keras_wgd.optimizers.kernels import conv_kernels
    from keras_wgd.optimizers.plan import WhiteningPlan

    with user_errors():
        model = load(network)
    located = {k.index: k for k in conv_kernels(model) if k.index is not None}
    plan = WhiteningPlan(model.trainable_variables, mean_over, located)
    plan.print(f'{model.name}, mean_over="{mean_over}"')


@cli.command(
    epilog="Example: keras-wgd run --dataset cifar100 --data-dir data --model resnet8 "
    "--optimizer radam --mean-over filters --epochs 1 --train-size 5000"
)
def run(
    dataset: Annotated[str, typer.Option(help="digits or cifar100.")],
    model: Annotated[str, typer.Option(help="resnet8 or resnet20.")] = "resnet8",
    optimizer: Annotated[
        str, typer.Option(help="sgdm, adam, nadam or radam.")
    ] = "radam",
    mean_over: Annotated[
        str | None,
        typer.Option(
            help="filters, fan_in or kernels; without it the plain optimizer.",
            show_default=False,
        ),
    ] = None,
    placement: Annotated[
        str, typer.Option(help="gradient or update: what is centred.")
    ] = "gradient",
    seed: Annotated[int, typer.Option(help="Of the weights and the order.")] = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="It stays constant.")] = 0.01,
    momentum: Annotated[float, typer.Option(help="Of sgdm alone.")] = 0.9,
    weight_decay: Annotated[
        float, typer.Option(help="L2 on every weight, as torch applies it.")
    ] = 1e-3,
    epsilon: Annotated[float, typer.Option(help="Of all but sgdm.")] = 1e-10,
    train_size: Annotated[
        int | None, typer.Option(help="Training images to use.", show_default="all")
    ] = None,
    test_size: Annotated[
        int | None, typer.Option(help="Test images to use.", show_default="all")
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep the result in this folder.",
            show_default=False,
            parser=folder,
            metavar="FOLDER",
        ),
    ] = None,
    backend: Backend = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and only that.")
    ] = False,
) -> None:
    """Train one network once and print its metrics."""
    with user_errors():
        spec = RunSpec(
            dataset=dataset,
            model=model,
            optimizer=optimizer,
            mean_over=mean_over,
            placement=placement,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            epsilon=epsilon,
            train_size=train_size,
            test_size=test_size,
        )
    choose_backend(backend)
    from keras_wgd import datasets, models
    from keras_wgd.study import display, results, tables
    from keras_wgd.study.training import train

    with user_errors():
        models.check(spec.model)
        data = datasets.load(
            spec.dataset, _text(data_dir), spec.train_size, spec.test_size
        )
        data.check_batch_size(spec.batch_size)
        if out is not None:
            results.prepare(out, [spec])
    console = Console(stderr=as_json)
    with display.progress(console) as bar:
        task = bar.add_task(spec.id, total=spec.epochs)

        def on_epoch(epoch, curves):
            bar.advance(task)
            bar.console.print(
                display.epoch_line(spec, epoch, curves), highlight=False, soft_wrap=True
            )

        result = train(spec, data, on_epoch)
    if out is not None:
        console.print(
            f"kept in {results.write(out, result)}", highlight=False, soft_wrap=True
        )
    if as_json:
        print(json.dumps({"spec": spec.to_dict(), **results.to_dict(result)}))
    else:
        display.print_tables(console, tables.frame([result]))


@cli.command(epilog="Example: keras-wgd study --preset quick --out runs/quick")
def study(
    preset: Annotated[str, typer.Option(help="The name of a study: quick.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The folder for the results.", parser=folder, metavar="FOLDER"
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time.", show_default="one for each core"),
    ] = None,
    data_dir: DataDir = None,
    backend: Backend = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, and only that.")
    ] = False,
) -> None:
    """Make all runs of a study, and a table.

    What is finished is not made again: the same command goes on where it was
    stopped, by Ctrl-C or otherwise.
    """
    from keras_wgd.study import display, presets, results, tables

    with user_errors():
        plan = presets.preset(preset)
        jobs = _jobs(jobs)
        specs = plan.runs()
        from keras_wgd import datasets

        datasets.load(
            plan.base.dataset,
            _text(data_dir),
            plan.base.train_size,
            plan.base.test_size,
        )
    choose_backend(backend)
    with user_errors():  # last, so that a mistake leaves no folder behind
        results.prepare(out, specs)
    console = Console(stderr=as_json)
    failed = display.make_runs(console, out, specs, jobs, _text(data_dir))
    found, problems = results.read_all(out)
    for problem in problems:
        console.print(
            f"[yellow]not used[/yellow]: {escape(problem)}",
            highlight=False,
            soft_wrap=True,
        )
    found = [result for result in found if result.spec in set(specs)]
    if found:
        runs = tables.frame(found)
        with user_errors():
            written = tables.write(out, runs)
        for path in written:
            console.print(f"written: {path}", highlight=False, soft_wrap=True)
        if as_json:
            print(tables.summarize(runs).write_json())
        else:
            display.print_tables(console, runs)
    if failed:
        raise typer.Exit(1)


def choose_backend(name: str | None) -> None:
    """Settle the backend, before Keras is imported here or in a worker."""
    name = name or os.environ.get("KERAS_BACKEND")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if name is None:  # what Keras's own settings say
        try:
            import keras  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"choose a backend with --backend, one of {', '.join(BACKENDS)}. "
                f"Received: none, and {error}"
            ) from error
        return
    if name not in BACKENDS:
        raise UserError(
            f"backend must be one of {', '.join(BACKENDS)}. Received: {name!r}"
        )
    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"backend must be installed: pip install 'keras-wgd[{name}]', or choose "
            f"another of {', '.join(BACKENDS)} with --backend. Received: {name!r}"
        )
    os.environ["KERAS_BACKEND"] = name


def _jobs(jobs: int | None) -> int:
    if jobs is None:
        return os.cpu_count() or 1
    if jobs < 1:
        raise ValueError(f"jobs must be a whole number of at least 1. Received: {jobs}")
    return jobs


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
