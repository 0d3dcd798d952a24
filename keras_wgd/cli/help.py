"""What the help of a command says of its options: kinds of value and defaults."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from keras_wgd.experiments.spec import RunSpec
from keras_wgd.presets import PRESETS
from keras_wgd.tasks.datasets.names import SIZES

# A longer list of values is told by its ends.
_MOST_VALUES = 4
_OF_NONE = {"stem": "the network's own", "train_size": "all", "test_size": "all"}


def kind(parameter: Any) -> str:
    """What stands for the value of an option in the help; nothing for a flag.

    Args:
        parameter: An option or an argument of a command.

    Returns:
        Its metavar, or else N for a whole number, X for a number, and NAME.
    """
    if parameter.param_type_name == "argument" or parameter.is_flag:
        return ""
    annotation = parameter.type_descriptor.annotation
    of_one = getattr(annotation, "__args__", (annotation,))[0]
    return parameter.metavar or {int: "N", float: "X"}.get(of_one, "NAME")


def _name_kinds(parameters):
    """Let the help show `kind` in place of the types of Python."""
    for parameter in parameters:
        parameter.display_type = functools.partial(_same, kind(parameter))


def _same(shown, context):
    return shown


class Group(TyperGroup):
    """The command line as a whole."""

    def get_params(self, ctx: Any) -> Any:
        """The options, `--help` among them."""
        parameters = super().get_params(ctx)
        _name_kinds(parameters)
        return parameters


class Command(TyperCommand):
    """A command.

    Attributes:
        defaults: What the help says of the default of an option, by the name of
            its parameter; of the others, what their declaration says.
    """

    defaults: Mapping[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.name in self.defaults:
                parameter.show_default = self.defaults[parameter.name]

    def get_params(self, ctx: Any) -> Any:
        """The arguments and options, `--help` among them."""
        parameters = super().get_params(ctx)
        _name_kinds(parameters)
        return parameters


# The fields of a run that an option of `run` and `study` sets.
FIELDS = (
    *("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "epsilon"),
    *("sampler", "image_size", "stem", "train_size", "test_size"),
)


def run_defaults() -> dict[str, str]:
    """The default of each of `FIELDS` in a run of its own."""
    defaults = {
        field.name: _told([_value(field.name, field.default)])
        for field in dataclasses.fields(RunSpec)
        if field.name in FIELDS
    }
    sizes = (f"{size} for {name}" for name, size in SIZES.items())
    return defaults | {"image_size": ", ".join(sizes)}


def preset_defaults() -> dict[str, str]:
    """The default of each of `FIELDS`, and of the seeds, in each preset."""
    return {
        "seeds" if name == "seed" else name: _by_preset(name)
        for name in (*FIELDS, "seed")
    }


def _by_preset(name):
    presets: dict[str, list[str]] = {}
    for preset in PRESETS.values():
        runs = preset.runs()
        values = _told(_value(name, getattr(run, name), run.dataset) for run in runs)
        presets.setdefault(values, []).append(preset.name)
    if len(presets) == 1:
        return next(iter(presets))
    return "; ".join(f"{values} in {', '.join(of)}" for values, of in presets.items())


def _value(name: str, value: Any, dataset: str = "") -> Any:
    """A value of a field, with words or numbers in place of `None`."""
    if value is None:
        return SIZES.get(dataset) if name == "image_size" else _OF_NONE[name]
    return value


def _told(values: Iterable[Any]) -> str:
    """Values in ascending order, in words."""
    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    numbers = [f"{v:g}" if isinstance(v, float) else str(v) for v in ordered]
    if len(numbers) > _MOST_VALUES:
        return f"{numbers[0]} to {numbers[-1]}"
    *most, last = numbers
    return f"{', '.join(most)} and {last}" if most else last
