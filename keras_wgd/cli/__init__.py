"""The command line: the only place that prints, and that ends the process."""

import sys

import typer

from keras_wgd.cli import benchmarks, networks, reports, runs, studies
from keras_wgd.study.runner import FULL

cli = typer.Typer(
    help="Whitened gradient descent for Keras: networks, runs, studies and benchmarks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli.command(epilog="Example: keras-wgd kernels resnet50")(networks.kernels)
cli.command(
    epilog="Example: keras-wgd run --dataset cifar100 --data-dir data --model resnet8 "
    "--optimizer radam --mean-over filters --epochs 1 --train-size 5000"
)(runs.run)
cli.command(
    epilog="Example: keras-wgd study --preset paper --dataset cifar100 "
    "--model resnet18 --image-size 32 --stem small --data-dir data --out runs/resnet18"
)(studies.study)
cli.command(epilog="Example: keras-wgd report runs/quick")(reports.report)
cli.command(
    epilog="Example: keras-wgd bench --model resnet18 --optimizer radam --mean-over "
    "filters --train-step --image-size 64"
)(benchmarks.bench)


def app(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; say what is wrong in one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = (
            cli(
                studies.with_ray_address(arguments),
                prog_name="keras-wgd",
                standalone_mode=False,
            )
            or 0
        )
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        if message:  # none where the help has been shown instead
            print(f"keras-wgd: error: {message}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            reason = (
                "the disk is full; make room, and the same command goes on from the "
                "last whole epoch of each run"
            )
        where = f": {error.filename}" if error.filename else ""
        print(f"keras-wgd: error: {reason}{where}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # what typer, too, makes of Ctrl-C
        print("keras-wgd: interrupted", file=sys.stderr)
    return code
