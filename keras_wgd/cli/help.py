"""The help of the commands: the kinds of values of options, and examples."""

import functools
from typing import Any

from typer.core import TyperCommand, TyperGroup

# The letters of a line of the help in a terminal of 80 columns.
_WIDTH = 76

EXAMPLES = {
    "kernels": (
        ("A network of keras.applications", "keras-wgd kernels mobilenetv2"),
        (
            "Your own model, for a program to read",
            "keras-wgd kernels model.keras --mean-over fan_in --json",
        ),
    ),
    "run": (
        ("Seconds, on images that need no download", "keras-wgd run --dataset digits"),
        (
            "The same with WGD; result and model are kept",
            "keras-wgd run --dataset digits --mean-over filters --save-model "
            "--out runs/mine",
        ),
        (
            "On CIFAR-100, with its files in data/",
            "keras-wgd run --dataset cifar100 --data-dir data --model resnet8 "
            "--optimizer radam --mean-over filters --epochs 1 --train-size 5000",
        ),
    ),
    "study": (
        ("36 runs in minutes", "keras-wgd study --preset quick --out runs/quick"),
        (
            "The runs of the paper's study, and which of them are still to be made",
            "keras-wgd study --preset paper --data-dir data --out runs/paper --dry-run",
        ),
        (
            "A part of it, at the size of the images",
            "keras-wgd study --preset paper --dataset cifar100 --model resnet18 "
            "--image-size 32 --stem small --data-dir data --out runs/resnet18",
        ),
        (
            "The second of eight machines",
            "keras-wgd study --preset cpu --shard 2/8 --data-dir data --out runs/cpu",
        ),
    ),
    "report": (
        ("Tables, figures and report.html", "keras-wgd report runs/quick"),
        (
            "Of the runs of two machines, for a program to read",
            "keras-wgd report runs/one runs/other --out report --json",
        ),
    ),
    "bench": (
        ("All steps on a network's weights", "keras-wgd bench --model resnet18"),
        (
            "One optimizer and one mean, also in whole steps of fit",
            "keras-wgd bench --model resnet18 --optimizer radam --mean-over filters "
            "--train-step --image-size 64",
        ),
        (
            "Time against size, as a figure",
            "keras-wgd bench --growth runs/growth --backend jax",
        ),
    ),
}


def folded(command: str) -> list[str]:
    """A command in lines for a terminal, which a shell reads as one."""
    lines = [""]
    for part in command.split(" --"):
        option = f"--{part}" if lines[-1] else part
        if len(lines[-1]) + len(option) + 3 > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {option}")
        else:
            lines[-1] += f" {option}" if lines[-1] else option
    return lines


def epilog(command: str) -> str:
    """The end of a command's help, in lines that Typer does not wrap."""
    lines = ["[bold]Examples[/bold]"]
    for comment, text in EXAMPLES[command]:
        lines += [f"[dim]# {comment}[/dim]", *folded(text)]
    return "\b\n" + "\n".join(lines)


def kind(parameter: Any) -> str:
    """The placeholder for the value of an option in the help, such as N or NAME.

    Args:
        parameter: An option or an argument of a command.

    Returns:
        Its metavar, or N for a whole number, X for a number, and NAME for text;
        empty for flags and arguments.
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
