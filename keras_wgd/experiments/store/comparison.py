"""The record of a comparison in its folder: its task, and what it asks."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from keras_wgd.files import printable, read_json, write_json

NAME = "comparison.json"

# Characters of each value in a message about two that differ.
_LONGEST = 160


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What must be the same when a comparison goes on.

    Attributes:
        task: What decides the results of the trials, as text by name.
        question: Arms, monitor, tail, margin and whether it is sequential, which are
            named before the trials; `mode`, and the grids of learning rates.
        seeds: The seeds. Further ones may be added.
    """

    task: dict[str, str]
    question: dict[str, Any]
    seeds: list[int]


def check(out: Path, record: Record) -> bool:
    """Check that a folder, which need not exist, has no other comparison.

    Returns:
        Whether it has this one, with fewer seeds.

    Raises:
        ValueError: If it has another one. The message names the difference.
    """
    if not (out / NAME).exists():
        return False
    begun = read(out)
    fewer, more = sorted((begun.seeds, record.seeds), key=len)
    if fewer != more[: len(fewer)]:
        raise ValueError(
            printable(
                f"out must have the same first seeds. Received: {out}, begun with "
                f"{begun.seeds}, now {record.seeds}"
            )
        )
    for old, new in ((begun.question, record.question), (begun.task, record.task)):
        for name in [*old, *(name for name in new if name not in old)]:
            before, now = old.get(name, "none"), new.get(name, "none")
            if before != now:
                texts = [printable(value, _LONGEST) for value in (before, now)]
                raise ValueError(
                    printable(
                        "out must be a new folder, or one of the same comparison. "
                        f"Received: {out}, begun with {name} {texts[0]}, now "
                        f"{texts[1]}"
                    )
                )
    return len(record.seeds) > len(begun.seeds)


def read(out: Path) -> Record:
    """Read the record of a folder.

    Raises:
        ValueError: If it is missing, damaged or of another program.
    """
    path = out / NAME
    fields = read_json(path)
    names = {field.name for field in dataclasses.fields(Record)}
    if not (
        isinstance(fields, dict)
        and set(fields) == names
        and isinstance(fields["task"], dict)
        and isinstance(fields["question"], dict)
        and isinstance(fields["seeds"], list)
        and len(fields["seeds"]) > 1
        and all(type(seed) is int for seed in fields["seeds"])
        and _is_question(fields["question"])
    ):
        raise ValueError(
            printable(f"{path} is not of this program: choose another folder")
        )
    return Record(**fields)


def _is_question(fields: dict[str, Any]) -> bool:
    arms, margin = fields.get("arms"), fields.get("margin")
    return (
        isinstance(arms, list)
        and all(isinstance(arm, str) and arm.isprintable() for arm in arms)
        and 1 < len(set(arms)) == len(arms)
        and isinstance(fields.get("monitor"), str)
        and isinstance(fields.get("sequential"), bool)
        and _is_number(fields.get("tail"), 1)
        and (margin is None or _is_number(margin, math.inf))
    )


def _is_number(value: Any, maximum: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= maximum


def write(out: Path, record: Record) -> None:
    """Write the record."""
    write_json(out / NAME, dataclasses.asdict(record))
