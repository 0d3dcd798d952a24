"""Fields that describe a run: each is declared once, with all that is known of it.

Checks, command-line options and reference pages are made from the declaration.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Collection
from types import NoneType, UnionType
from typing import Any

from keras_wgd.choices import check_choice, did_you_mean

Check = Callable[[str, Any], None]

# Whole numbers fit an int32; the squares of numbers fit a float64.
_MAX_WHOLE = 2**31 - 1
_MAX_NUMBER = 1e30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """What is known of a field besides its name, type and default.

    Attributes:
        help: One sentence for the command line and the reference pages.
        choices: The values to offer; the only ones, where there is no `check`.
        open: Whether the command line takes other values than `choices`, too.
        flag: The option, where its name is not that of the field. It may be repeated,
            and the value of the field has a comma between its values.
        check: Takes the name and a value; raises a ValueError that names both.
        none: What `None` stands for.
        metavar: What stands for the value in the help; by default by type.
        envvar: The environment variable that is read where there is no option.
        added: Whether the field was added after results were published. Older files
            may lack it, and its default leaves the ids of runs as they are.
    """

    help: str
    choices: Collection[str] = ()
    open: bool = False
    flag: str | None = None
    check: Check | None = None
    none: str = ""
    metavar: str | None = None
    envvar: str | None = None
    added: bool = False


def field(default: Any = dataclasses.MISSING, **info: Any) -> Any:
    """A field of a dataclass, with the attributes of its `Info`."""
    return dataclasses.field(default=default, metadata={Info: Info(**info)})


def described(kind: type) -> dict[str, dataclasses.Field]:
    """The fields of a dataclass that have an `Info`, by name."""
    return {f.name: f for f in dataclasses.fields(kind) if Info in f.metadata}


def info_of(field: dataclasses.Field) -> Info:
    """The `Info` of a field."""
    return field.metadata[Info]


def type_of(field: dataclasses.Field) -> type:
    """The type of a field's values, without `None`."""
    kind = typing.cast(type, field.type)
    if isinstance(kind, UnionType) or typing.get_origin(kind) is typing.Union:
        kind = next(part for part in typing.get_args(kind) if part is not NoneType)
    return str if typing.get_origin(kind) is typing.Literal else kind


def check_fields(instance: Any) -> None:
    """Check each field of a frozen dataclass, and make floats of its numbers.

    Raises:
        ValueError: If a value is not allowed. The message names field and value.
    """
    for name, field in described(type(instance)).items():
        value, info = getattr(instance, name), info_of(field)
        if value is None and field.default is None:
            continue
        if info.check is not None:
            try:
                info.check(name, value)
            except ValueError as error:
                raise ValueError(
                    f"{error}{did_you_mean(value, info.choices)}"
                ) from None
        elif info.choices:
            check_choice(name, value, info.choices)
        if type_of(field) is float:
            # 1 and 1.0 are the same run, and have one id.
            object.__setattr__(instance, name, float(value))


def whole(minimum: int = 1, maximum: int = _MAX_WHOLE) -> Check:
    """A check for whole numbers in `[minimum, maximum]`."""

    def check(name, value):
        if type(value) is not int or not minimum <= value <= maximum:
            raise ValueError(
                f"{name} must be a whole number of at least {minimum} and at most "
                f"{maximum}. Received: {value!r}"
            )

    return check


def number(above: float | None = None, below: float = _MAX_NUMBER) -> Check:
    """A check for numbers in `(above, below)`, or in `[0, below)`."""

    def check(name, value):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_low = is_number and value < below
        if not (is_low and (value >= 0 if above is None else value > above)):
            bound = "at least 0" if above is None else f"above {above}"
            raise ValueError(
                f"{name} must be a number {bound} and below {below:g}. "
                f"Received: {value!r}"
            )

    return check


def file_name(name: str, value: Any) -> None:
    """Check for a name that becomes part of a folder's; files may be a stranger's."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_]+", value):
        raise ValueError(
            f"{name} must be lower-case letters, digits and _. Received: {value!r}"
        )
