"""The options of `run` and `study` that are made from the fields of a run."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING
from typing import Annotated, Any

from keras_wgd.choices import check_choice
from keras_wgd.cli.options import folder, one_of
from keras_wgd.experiments.fields import described, info_of, type_of
from keras_wgd.experiments.spec import NAMED, RunSpec
from keras_wgd.presets import PRESETS
from keras_wgd.tasks.datasets.names import SIZES

# The fields of a run that `study` can set for all its runs.
COMMON = tuple(name for name in described(RunSpec) if name not in NAMED)
# A longer list of values is shown by its ends.
_MAX_VALUES = 4


def from_fields(
    kind: type,
    names: Collection[str] = (),
    shown: Callable[[str], str] = lambda name: "",
    panel: str | None = None,
    required: Collection[str] = (),
) -> list[inspect.Parameter]:
    """Parameters of a command for the fields of a dataclass, which have an `Info`.

    Without `names`, for all fields. `shown` gives the default of a field in the help.
    A parameter is `None` where the user gives no value.
    """
    parameters = []
    for name, field in described(kind).items():
        if names and name not in names:
            continue
        info, of_values = info_of(field), type_of(field)
        text = info.help
        if not all(choice in text for choice in info.choices):
            text += f" One of {', '.join(info.choices)}."
        flags = [info.flag] if info.flag else []
        if of_values is bool:
            flags = [f"--{name.replace('_', '-')}"]
        option = one_of(
            info.choices,
            text,
            *flags,
            show_default=shown(name) or False,
            rich_help_panel=panel,
            metavar=info.metavar,
            envvar=info.envvar,
            parser=_folder_name if info.metavar == "FOLDER" else None,
        )
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[
                    (list[str] if info.flag else of_values) | None, option
                ],
                default=inspect.Parameter.empty if name in required else None,
            )
        )
    return parameters


def _folder_name(text: str) -> str:
    return str(folder(text))


def takes(*parameters: inspect.Parameter) -> Callable[..., Any]:
    """A decorator: the command gets these parameters as keyword arguments, too."""

    def decorate(command):
        signature = inspect.signature(command)
        *own, _ = signature.parameters.values()  # the last is `**values`
        # Arguments first, then required options.
        ordered = sorted(
            [*parameters, *own],
            key=lambda p: (p.kind is p.KEYWORD_ONLY, p.default is not p.empty),
        )
        command.__signature__ = signature.replace(parameters=ordered)
        return command

    return decorate


def given(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass that the user has set, after a check of the choices."""
    known = described(kind)
    found = {n: v for n, v in values.items() if n in known and v is not None}
    for name, value in found.items():
        info = info_of(known[name])
        if info.choices and not info.open:
            check_choice(name, value, info.choices)
        if info.flag:
            found[name] = ",".join(value)
    return found


def default_of_run(name: str) -> str:
    """The default of a field in `run`, for the help."""
    if name == "image_size":
        of_size = {
            size: ", ".join(name for name in SIZES if SIZES[name] == size)
            for size in dict.fromkeys(SIZES.values())
        }
        return "; ".join(f"{size} for {names}" for size, names in of_size.items())
    default = described(RunSpec)[name].default
    return "" if default is MISSING else _as_text([_value(name, default)])


def default_of_presets(name: str) -> str:
    """The value of a field in each study, for the help."""
    presets: dict[str, list[str]] = {}
    for preset in PRESETS.values():
        runs = preset.runs()
        values = _as_text(_value(name, getattr(r, name), r.dataset) for r in runs)
        presets.setdefault(values, []).append(preset.name)
    if len(presets) == 1:
        return next(iter(presets))
    return "; ".join(f"{values} in {', '.join(of)}" for values, of in presets.items())


def _value(name: str, value: Any, dataset: str = "") -> Any:
    """A value of a field, or what `None` stands for."""
    if value is None:
        by_dataset = SIZES.get(dataset) if name == "image_size" else None
        return by_dataset or info_of(described(RunSpec)[name]).none
    return value


def _as_text(values: Iterable[Any]) -> str:
    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    texts = [f"{v:g}" if isinstance(v, float) else str(v) for v in ordered]
    if len(texts) > _MAX_VALUES:
        return f"{texts[0]} to {texts[-1]}"
    *others, last = texts
    return f"{', '.join(others)} and {last}" if others else last
