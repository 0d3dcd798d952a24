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
from keras_wgd.experiments.trial import Trial
from keras_wgd.files import nan_to_none, none_to_nan, printable, read_json, write_json

# Where `keras-wgd report` writes, beside the runs.
REPORT = "report"
REPORT_PAGE = "report.html"

# Kept results that could not be read; no run has a point in its name.
_ASIDE = ".damaged-"
# The fields of a result with numbers that may not be finite, which JSON lacks.
_MEASURED = ("metrics", "curves", "norm_ratios")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a run.

    Attributes:
        spec: The run.
        metrics: The metrics of `METRICS` on the test images after the last epoch;
            fractions, and nats for the loss.
        curves: After each epoch, by the names in `CURVES`: loss and accuracy in
            training (means over the epoch, without L2) and on the test images.
        seconds: The time of each epoch's training, in seconds.
        norm_ratios: `||h|| / ||g||` of the centered kernels in each epoch: the
            root of the ratio of the sums of squares over its steps (Eq. 17).
            Empty in a plain run.
        confusion: The number of test images of each class (rows) that were taken
            for each class (columns).
        centered: The number of trainable variables that were centered.
        environment: Versions, backend, machine, git commit and settings.
        details: What a trial has measured besides: `steps`, `wall_seconds` and
            `initial_weights`, a digest. Empty in a run of a study.
    """

    spec: RunSpec | Trial
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    seconds: list[float]
    norm_ratios: list[float]
    confusion: list[list[int]]
    centered: int
    environment: dict[str, Any]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def backend(self) -> str:
        """Keras's backend; "unknown" if the environment does not name it."""
        backend = self.environment.get("backend")
        return backend if backend in settings.BACKENDS else "unknown"

    @property
    def settings(self) -> dict[str, str]:
        """The settings that changed the numbers: `settings.of_record`."""
        return settings.of_record(self.environment)


def path_of(out: Path, spec: RunSpec | Trial) -> Path:
    """The folder of a run in the folder of a study."""
    return out / spec.id


def draft_of(out: Path, spec: RunSpec | Trial) -> Path:
    """The folder of a run that is not finished."""
    return out / f".{spec.id}"


def prepare(out: Path, specs: Sequence[RunSpec | Trial]) -> None:
    """Make the folder of a study, and check that its runs can be kept there.

    Raises:
        ValueError: If it cannot be made, or as by `check_places`.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"out must be a folder that can be made. Received: {out}: {error.strerror}"
        ) from error
    check_places(out, specs)


def check_places(out: Path, specs: Sequence[RunSpec | Trial]) -> None:
    """Check that runs can be kept in a folder, if it exists.

    Raises:
        ValueError: If it is no folder, cannot be written to, or has something else
            in the place of a run.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir() or not os.access(out, os.W_OK):
        raise ValueError(
            f"out must be a folder that can be written to. Received: {out}"
        )
    for spec in specs:
        folder, draft = path_of(out, spec), draft_of(out, spec)
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                "out must have room for the folder of each run. "
                f"Received: {folder}, a file"
            )
        if draft.is_symlink():
            raise ValueError(
                "out must hold the folders of its runs itself. "
                f"Received: {draft}, a link"
            )


def check(out: Path, specs: Sequence[RunSpec | Trial], backend: str) -> list[str]:
    """Check that results which exist may be used with new ones on a backend.

    Returns:
        A printable line for each folder of a run that holds no result.

    Raises:
        ValueError: If a run was made on another backend or with other settings, or
            as by `check_places`.
        OSError: If a result cannot be read at this moment.
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


def is_finished(out: Path, spec: RunSpec | Trial) -> bool:
    """Whether a run has a whole result.

    Raises:
        OSError: If that cannot be read at this moment.
    """
    try:
        return read(path_of(out, spec)).spec == spec
    except ValueError:
        return False


def state_of(out: Path, spec: RunSpec | Trial) -> str:
    """The state of a run: "finished", "begun" or "waiting".

    Raises:
        OSError: If that cannot be read at this moment.
    """
    if is_finished(out, spec):
        return "finished"
    return "begun" if draft_of(out, spec).is_dir() else "waiting"


def write(out: Path, result: Result) -> Path:
    """Complete the draft of a run, and move it to the run's place in one step.

    What is in that place is no result, or it would have been used. It is kept under
    another name, so that it can be repaired.

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


def _aside(folder):
    """The next free name for a folder that holds no result."""
    names = (f"{folder.name}{_ASIDE}{number}" for number in itertools.count(1))
    paths = map(folder.with_name, names)
    return next(path for path in paths if not os.path.lexists(path))


def to_dict(result: Result) -> dict[str, Any]:
    """The fields except the spec, ready for JSON."""
    names = (field.name for field in dataclasses.fields(result))
    fields = {name: getattr(result, name) for name in names if name != "spec"}
    if not fields["details"]:
        del fields["details"]
    return fields | {name: nan_to_none(fields[name]) for name in _MEASURED}


def read(folder: Path) -> Result:
    """Read the result of the run with this folder.

    Raises:
        ValueError: If a file is missing, damaged, a link, or not what a run leaves,
            or if the folder is not named for its run. The message is one printable
            line and names the file.
        OSError: If it cannot be read at this moment.
    """
    try:
        return _read(folder)
    except ValueError as error:
        raise ValueError(printable(error)) from error


def _read(folder):
    if folder.is_symlink():
        raise ValueError(f"{folder} is a link, not a folder")
    path = folder / "spec.json"
    fields = read_json(path)
    try:
        is_trial = isinstance(fields, dict) and "tuning" in fields
        spec = (Trial if is_trial else RunSpec).from_dict(fields)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    if folder.name != spec.id:  # a copy would count as another seed
        raise ValueError(f"{folder} is not named for its run, {spec.id}")
    path = folder / "result.json"
    fields = read_json(path)
    if isinstance(fields, dict) and "centred" in fields:  # an earlier spelling
        fields["centered"] = fields.pop("centred")
    names = {field.name for field in dataclasses.fields(Result)} - {"spec"}
    has_names = isinstance(fields, dict) and set(fields) | {"details"} == names
    if not has_names or not is_whole(fields, spec):
        raise ValueError(f"{path} is not the result of its spec")
    for name in _MEASURED:
        fields[name] = none_to_nan(fields[name])
    if isinstance(spec, RunSpec):
        confusion = np.asarray(fields["confusion"], dtype="float64")
        accuracy = np.trace(confusion) / confusion.sum()
        if abs(fields["metrics"]["accuracy"] - accuracy) > 1e-9:
            raise ValueError(
                f"{path} says an accuracy that is not that of its confusion matrix"
            )
    return Result(spec=spec, **fields)


def read_all(
    out: Path, kind: type[RunSpec] | type[Trial] = RunSpec
) -> tuple[list[Result], list[str]]:
    """Read every run of a study, or every trial of `compare`.

    Returns:
        The results, in the order of their names, and a printable line for each
        folder that could not be read. Hidden folders, files, reports and damaged
        results that were kept do not count.
    """
    found, problems = [], []
    for folder in sorted(out.iterdir()):
        hidden = folder.name.startswith(".") or not folder.is_dir()
        if hidden or _ASIDE in folder.name or _is_report(folder):
            continue
        try:
            result = read(folder)
            if not isinstance(result.spec, kind):
                other = "trial of compare" if kind is RunSpec else "run of a study"
                raise ValueError(printable(f"{folder} is a {other}"))
            found.append(result)
        except ValueError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(printable(f"{folder} cannot be read: {error.strerror}"))
    return found, problems


def _is_report(folder):
    return folder.name == REPORT or (
        (folder / REPORT_PAGE).is_file() and not (folder / "spec.json").exists()
    )
