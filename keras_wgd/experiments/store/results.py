"""Where results are kept: a folder for each run, written whole or not at all."""

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_wgd import settings
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.validation import is_whole
from keras_wgd.files import nan_to_none, none_to_nan, printable, read_json, write_json

# Where `keras-wgd report` writes, beside the runs.
REPORT = "report"
REPORT_PAGE = "report.html"


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
        environment: Versions, backend, machine, git commit and settings.
    """

    spec: RunSpec
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    seconds: list[float]
    norm_ratios: list[float]
    confusion: list[list[int]]
    centred: int
    environment: dict[str, Any]

    @property
    def backend(self) -> str:
        """Keras's backend; "unknown" where the environment does not say."""
        backend = self.environment.get("backend")
        return backend if backend in settings.BACKENDS else "unknown"

    @property
    def settings(self) -> dict[str, str]:
        """What decides the numbers besides spec and backend: `settings.of_record`."""
        return settings.of_record(self.environment)


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
    check_places(out, specs)


def check_places(out: Path, specs: Sequence[RunSpec]) -> None:
    """See that runs can be kept in a folder; where it is not there yet, nothing.

    Args:
        out: The folder.
        specs: The runs.

    Raises:
        ValueError: If it is none, cannot be written to, or has something else in
            the place of a run.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir() or not os.access(out, os.W_OK):
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
        if draft_of(out, spec).is_symlink():
            raise ValueError(
                "out must hold the folders of its runs itself. Received: "
                f"{draft_of(out, spec)}, a link"
            )


def check(out: Path, specs: Sequence[RunSpec], backend: str) -> list[str]:
    """See that what lies in the places of runs may be used, before any is made.

    Args:
        out: The folder of the study; it need not be there.
        specs: The runs.
        backend: The backend that makes them.

    Returns:
        A printable line for each place with something in it that is no result.

    Raises:
        ValueError: If a run was made on another backend or with other settings, or
            as by `check_places`.
        OSError: If one cannot be read at this moment.
    """
    check_places(out, specs)
    problems = []
    for spec in specs:
        folder = path_of(out, spec)
        if not folder.is_dir():
            continue
        try:
            result = read(folder)
        except ValueError as error:
            problems.append(
                f"{error}; the run is made again, and what is there is kept as "
                f"{_aside(folder).name}"
            )
            continue
        if result.backend != backend:
            raise ValueError(
                f"out must hold runs on {backend} alone; choose another folder, or the "
                f"backend of those. Received: {folder}, made on {result.backend}"
            )
        difference = settings.difference(result.settings, settings.of_process(backend))
        if difference:
            raise ValueError(
                "out must hold runs with the same settings; choose another folder, or "
                f"the settings of those. Received: {folder}, made with {difference}"
            )
    return problems


def path_of(out: Path, spec: RunSpec) -> Path:
    """The folder of a run."""
    return out / spec.id


def is_finished(out: Path, spec: RunSpec) -> bool:
    """Whether the run has left its result, whole.

    Raises:
        OSError: If that cannot be read at this moment.
    """
    try:
        return read(path_of(out, spec)).spec == spec
    except ValueError:
        return False


def state_of(out: Path, spec: RunSpec) -> str:
    """What there is of a run: it is "finished", "begun" or "waiting".

    Raises:
        OSError: If that cannot be read at this moment.
    """
    if is_finished(out, spec):
        return "finished"
    return "begun" if draft_of(out, spec).is_dir() else "waiting"


def draft_of(out: Path, spec: RunSpec) -> Path:
    """The folder of a run that is under way."""
    return out / f".{spec.id}"


def write(out: Path, result: Result) -> Path:
    """Complete the folder of a run and move it to its place in one step.

    What is there already is no result, or it would have been used; it is kept under
    another name, for whoever can mend it.

    Args:
        out: The folder of the study.
        result: The result.

    Returns:
        The folder of the run.
    """
    draft, folder = draft_of(out, result.spec), path_of(out, result.spec)
    draft.mkdir(exist_ok=True)
    write_json(draft / "spec.json", result.spec.to_dict())
    write_json(draft / "result.json", to_dict(result))
    if os.path.lexists(folder):
        folder.rename(_aside(folder))
    draft.rename(folder)
    return folder


# No run's name has a point in it.
_ASIDE = ".damaged-"


def _aside(folder):
    """The next name that is free for what is no result, in the place of one."""
    names = (f"{folder.name}{_ASIDE}{number}" for number in itertools.count(1))
    paths = map(folder.with_name, names)
    return next(path for path in paths if not os.path.lexists(path))


def to_dict(result: Result) -> dict[str, Any]:
    """The fields but for the spec, ready for JSON."""
    names = (field.name for field in dataclasses.fields(result))
    fields = {name: getattr(result, name) for name in names if name != "spec"}
    return {
        name: nan_to_none(value) if name in _MEASURED else value
        for name, value in fields.items()
    }


def read(folder: Path) -> Result:
    """Read the result of one run.

    Args:
        folder: The folder of the run.

    Returns:
        The result.

    Raises:
        ValueError: If something is missing, cut off, or of another kind, or is a
            link, or the folder has not the name of its run. The message names the
            file, in one printable line.
        OSError: If it cannot be read at this moment.
    """
    try:
        return _read(folder)
    except ValueError as error:
        raise ValueError(printable(error)) from error


def _read(folder):
    if folder.is_symlink():
        raise ValueError(f"{folder} is a link, not a folder")
    spec = _spec(folder / "spec.json")
    if folder.name != spec.id:  # or a copy would count as another seed
        raise ValueError(f"{folder} is not named for its run, {spec.id}")
    fields = read_json(folder / "result.json")
    names = {field.name for field in dataclasses.fields(Result)} - {"spec"}
    whole = isinstance(fields, dict) and set(fields) == names
    if not whole or not is_whole(fields, spec.epochs):
        raise ValueError(f"{folder / 'result.json'} is not the result of its spec")
    for name in _MEASURED:
        fields[name] = none_to_nan(fields[name])
    confusion = np.asarray(fields["confusion"], dtype="float64")
    accuracy = np.trace(confusion) / confusion.sum()
    if abs(fields["metrics"]["accuracy"] - accuracy) > 1e-9:
        raise ValueError(
            f"{folder / 'result.json'} says an accuracy that is not that of its "
            "confusion matrix"
        )
    return Result(spec=spec, **fields)


def read_all(out: Path) -> tuple[list[Result], list[str]]:
    """Read every run of a study.

    Args:
        out: The folder of the study.

    Returns:
        The results, in the order of their names, and a printable line for each
        entry that could not be read. Hidden files, plain files, reports and what
        was damaged and has been made again are no entries.
    """
    found, problems = [], []
    for folder in sorted(out.iterdir()):
        hidden = folder.name.startswith(".") or not folder.is_dir()
        if hidden or _ASIDE in folder.name or _is_report(folder):
            continue
        try:
            found.append(read(folder))
        except ValueError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(printable(f"{folder} cannot be read: {error.strerror}"))
    return found, problems


def _is_report(folder):
    return folder.name == REPORT or (
        (folder / REPORT_PAGE).is_file() and not (folder / "spec.json").exists()
    )


def _spec(path):
    fields = read_json(path)
    try:
        return RunSpec.from_dict(fields)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error


# What may hold a number that is not finite, which JSON has no word for.
_MEASURED = ("metrics", "curves", "norm_ratios")
