"""Where results are kept: a folder for each run, written whole or not at all."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_wgd.metrics import METRICS
from keras_wgd.study.spec import RunSpec

# Where `keras-wgd report` writes, beside the runs.
REPORT = "report"
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a run leaves.

    Attributes:
        spec: The run.
        metrics: Accuracy, loss, mean recall, mean precision and kappa on the
            test images after the last epoch; fractions, and nats for the loss.
        curves: After each epoch, by the names in `CURVES`: loss and accuracy in
            training (means over the epoch, without L2) and on the test images.
        seconds: Time of each epoch's training, in seconds.
        norm_ratios: `||h|| / ||g||` of the centred kernels in each epoch: the
            root of the ratio of the sums of squares over its steps (Eq. 17).
            Empty in a plain run.
        confusion: How many test images of each class (rows) were taken for
            which (columns).
        centred: How many of the network's trainable variables were centred.
        environment: Versions, backend, machine and git commit.
    """

    spec: RunSpec
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    seconds: list[float]
    norm_ratios: list[float]
    confusion: list[list[int]]
    centred: int
    environment: dict[str, Any]


def prepare(out: Path, specs: Sequence[RunSpec]) -> None:
    """Make the folder of a study, and see that its runs can be kept there.

    Args:
        out: The folder.
        specs: The runs.

    Raises:
        ValueError: If it cannot be made, or not be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"out must be a folder that can be made. Received: {out}: {error.strerror}"
        ) from error
    if not os.access(out, os.W_OK):
        raise ValueError(
            f"out must be a folder that can be written to. Received: {out}"
        )
    for spec in specs:
        folder = path_of(out, spec)
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"out must have room for the folder of each run. Received: {folder}, "
                "a file"
            )


def path_of(out: Path, spec: RunSpec) -> Path:
    """The folder of a run."""
    return out / spec.id


def is_finished(out: Path, spec: RunSpec) -> bool:
    """Whether the run has left its result, and it can be read."""
    try:
        return read(path_of(out, spec)).spec == spec
    except ValueError:
        return False


def draft_of(out: Path, spec: RunSpec) -> Path:
    """The folder of a run that is under way."""
    return out / f".{spec.id}"


def write(out: Path, result: Result) -> Path:
    """Complete the folder of a run and move it to its place in one step.

    Args:
        out: The folder of the study.
        result: The result.

    Returns:
        The folder of the run.
    """
    draft, folder = draft_of(out, result.spec), path_of(out, result.spec)
    draft.mkdir(exist_ok=True)
    _write_json(draft / "spec.json", result.spec.to_dict())
    _write_json(draft / "result.json", to_dict(result))
    if folder.exists():  # damaged, or it would have been used
        shutil.rmtree(folder)
    draft.rename(folder)
    return folder


def to_dict(result: Result) -> dict[str, Any]:
    """The fields but for the spec, ready for JSON."""
    names = (field.name for field in dataclasses.fields(result))
    fields = {name: getattr(result, name) for name in names if name != "spec"}
    return {
        name: to_json(value) if name in _MEASURED else value
        for name, value in fields.items()
    }


def read(folder: Path) -> Result:
    """Read the result of one run.

    Args:
        folder: The folder of the run.

    Returns:
        The result.

    Raises:
        ValueError: If something is missing, cut off, or of another kind. The
            message names the file.
    """
    spec = _spec(folder / "spec.json")
    fields = read_json(folder / "result.json")
    if not isinstance(fields, dict) or not _is_result(fields, spec.epochs):
        raise ValueError(f"{folder / 'result.json'} is not the result of its spec")
    for name in _MEASURED:
        fields[name] = from_json(fields[name])
    return Result(spec=spec, **fields)


def read_all(out: Path) -> tuple[list[Result], list[str]]:
    """Read every run of a study.

    Args:
        out: The folder of the study.

    Returns:
        The results, in the order of their names, and a line for each entry
        that could not be read. Hidden files, plain files and the report are no
        entries.
    """
    found, problems = [], []
    for folder in sorted(out.iterdir()):
        hidden = folder.name.startswith(".") or folder.name == REPORT
        if hidden or not folder.is_dir():
            continue
        try:
            found.append(read(folder))
        except ValueError as error:
            problems.append(str(error))
    return found, problems


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file beside its place; it is moved there if nothing goes wrong.

    Args:
        path: The place.

    Yields:
        The path to write to.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place and move it there in one step."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _write_json(path, fields):
    # A line for each field: a confusion matrix of 100 classes has 10,000 numbers.
    lines = (
        f'"{name}": {json.dumps(value, allow_nan=False)}'
        for name, value in fields.items()
    )
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a ValueError names it where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} is missing") from error
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, or too deep
        raise ValueError(f"{path} is damaged: {error}") from error


def _spec(path):
    fields = read_json(path)
    try:
        return RunSpec.from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# What may hold a number that is not finite, which JSON has no word for.
_MEASURED = ("metrics", "curves", "norm_ratios")


def to_json(tree: Any) -> Any:
    """The same lists and dictionaries, with `None` for what is not finite."""
    if isinstance(tree, dict):
        return {name: to_json(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [to_json(value) for value in tree]
    return tree if math.isfinite(tree) else None


def from_json(tree: Any) -> Any:
    """The reverse of `to_json`."""
    if isinstance(tree, dict):
        return {name: from_json(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [from_json(value) for value in tree]
    return math.nan if tree is None else float(tree)


def _is_result(fields, epochs):
    """Whether the fields, types and lengths are those of a whole run."""
    names = {field.name for field in dataclasses.fields(Result)} - {"spec"}
    if set(fields) != names or not isinstance(fields["environment"], dict):
        return False
    metrics, curves, confusion = (fields[n] for n in ("metrics", "curves", "confusion"))
    return (
        _are_numbers(metrics, METRICS)
        and isinstance(curves, dict)
        and tuple(sorted(curves)) == tuple(sorted(CURVES))
        and all(_is_row(row, epochs) for row in (*curves.values(), fields["seconds"]))
        and _is_row(fields["norm_ratios"], epochs if fields["norm_ratios"] else 0)
        and isinstance(confusion, list)
        and all(_is_row(row, len(confusion)) for row in confusion)
        and type(fields["centred"]) is int
        and fields["centred"] >= 0
    )


def _are_numbers(numbers, names):
    return (
        isinstance(numbers, dict)
        and set(numbers) == set(names)
        and all(map(_is_number, numbers.values()))
    )


def _is_row(row, length):
    return isinstance(row, list) and len(row) == length and all(map(_is_number, row))


def _is_number(value):
    # null stands for a loss that is not finite.
    return (
        value is None or type(value) is float or (type(value) is int and value < 2**53)
    )
