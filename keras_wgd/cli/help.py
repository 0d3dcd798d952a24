"""The help of the commands: the kinds of values of options, and examples."""

import functools
import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

# Lines are shorter than a terminal of 80 columns.
EXAMPLES = {
    "kernels": r"""
# A network of keras.applications
keras-wgd kernels mobilenetv2
# Your own model, for a program to read
keras-wgd kernels model.keras --mean-over fan_in --json
""",
    "compare": r"""
# Your model, data and optimizers, in a file; half an hour at most
keras-wgd compare task.py --budget 30m --jobs 2 --out runs/mine
# Your photos: does WGD help Adam and AdamW on MobileNetV2?
keras-wgd compare --images photos --image-size 96 --model mobilenetv2 \
    --optimizer adam --optimizer adamw --mean-over fan_in --out runs/photos
# Optimizers with each other, with their settings, for a program to read
keras-wgd compare --dataset digits --model resnet8 --optimizer sgd \
    --optimizer lion --set sgd.momentum=0.9 --set learning_rate=0.001 --json
# From the weights of a model of yours
keras-wgd compare --images photos --weights model.keras --seeds 6
""",
    "run": r"""
# Seconds, on images that need no download
keras-wgd run --dataset digits
# The same with WGD; result and model are kept
keras-wgd run --dataset digits --mean-over filters --save-model \
    --out runs/mine
# On CIFAR-100, with its files in data/
keras-wgd run --dataset cifar100 --data-dir data --model resnet8 \
    --optimizer radam --mean-over filters --epochs 1 --train-size 5000
""",
    "study": r"""
# 36 runs in minutes
keras-wgd study --preset quick --out runs/quick
# The runs of the paper's study, and which of them are still to be made
keras-wgd study --preset paper --data-dir data --out runs/paper --dry-run
# A part of it, at the size of the images
keras-wgd study --preset paper --dataset cifar100 --model resnet18 \
    --image-size 32 --stem small --data-dir data --out runs/resnet18
# The second of eight machines
keras-wgd study --preset cpu --shard 2/8 --data-dir data --out runs/cpu
""",
    "report": r"""
# Tables, figures and report.html
keras-wgd report runs/quick
# The runs of two machines, for a program to read
keras-wgd report runs/one runs/other --out report --json
""",
    "bench": r"""
# All steps on a network's weights
keras-wgd bench --model resnet18
# One optimizer and one mean, also in whole steps of fit
keras-wgd bench --model resnet18 --optimizer radam --mean-over filters \
    --train-step --image-size 64
# Time against size, as a figure
keras-wgd bench --growth runs/growth --backend jax
""",
}


def epilog(command: str) -> str:
    """The end of a command's help, in lines that Typer does not wrap."""
    examples = re.sub("^#.*$", r"[dim]\g<0>[/dim]", EXAMPLES[command], flags=re.M)
    return f"\b\n[bold]Examples[/bold]{examples}".rstrip()


def kind(parameter: Any) -> str:
    """The placeholder for the value of an option: its metavar, or N, X or NAME.

    Flags and arguments have none.
    """
    if parameter.param_type_name == "argument" or parameter.is_flag:
        return ""
    annotation = parameter.type_descriptor.annotation
    of_one = getattr(annotation, "__args__", (annotation,))[0]
    return parameter.metavar or {int: "N", float: "X"}.get(of_one, "NAME")


class _Kinds:
    """Shows `kind` in place of the types of Python."""

    def get_params(self, ctx: Any) -> Any:
        """The arguments and options, `--help` included."""
        parameters = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            parameter.display_type = functools.partial(_first, kind(parameter))
        return parameters


def _first(shown, context):
    return shown


class Group(_Kinds, TyperGroup):
    """The command line as a whole."""


class Command(_Kinds, TyperCommand):
    """A command."""
