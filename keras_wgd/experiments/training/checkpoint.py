"""The state of a run after an epoch: its variables and what it has measured."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wgd import archive, settings
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.validation import has_epochs
from keras_wgd.experiments.trial import Trial
from keras_wgd.files import (
    atomic,
    check_regular_file,
    nan_to_none,
    none_to_nan,
    read_json,
    remove_drafts,
    write_text,
)

PROGRESS = "progress.json"

# What reading a state raises if it is not there, damaged, or of another run.
_DAMAGED = (
    AttributeError,
    FileNotFoundError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)


@dataclasses.dataclass
class Progress:
    """What a run has measured so far, an entry for each epoch.

    Attributes:
        curves: The measured values, by name.
        seconds: The time of each epoch's training.
        norm_ratios: `||h|| / ||g||` of each epoch; empty if it is not recorded.
        wall_seconds: The time of all, building and evaluation included.
    """

    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    seconds: list[float] = dataclasses.field(default_factory=list)
    norm_ratios: list[float] = dataclasses.field(default_factory=list)
    wall_seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """The number of whole epochs."""
        return len(self.seconds)

    def at(self, epoch: int) -> dict[str, float]:
        """The value of each curve after an epoch; the first epoch is 0."""
        return {name: curve[epoch] for name, curve in self.curves.items()}

    def append(
        self, values: dict[str, float], seconds: float, ratio: float | None
    ) -> None:
        """Add an epoch. A value that is not measured in every epoch is else NaN."""
        for name in dict.fromkeys([*self.curves, *values]):
            curve = self.curves.setdefault(name, [math.nan] * self.epochs)
            curve.append(values.get(name, math.nan))
        self.seconds.append(seconds)
        if ratio is not None:
            self.norm_ratios.append(ratio)


def save(
    folder: Path, run: RunSpec | Trial, progress: Progress, variables: Sequence[Any]
) -> None:
    """Write the state after an epoch, so that it can be read at any moment.

    The variables go into a file of their own, which counts when `progress.json` names
    it. A run that is killed in between resumes from the epoch before.

    Raises:
        OSError: If the disk is full, for example; the state before is kept.
    """
    folder.mkdir(exist_ok=True)
    weights = folder / f"weights-{progress.epochs}.npz"
    arrays = [ops.convert_to_numpy(variable) for variable in variables]
    with atomic(weights) as draft, draft.open("wb") as file:
        np.savez(file, *arrays)
    backend = keras.backend.backend()
    fields = {
        "spec": run.to_dict(),
        "backend": backend,
        "settings": settings.deciding(backend),
        "weights": weights.name,
        **nan_to_none(dataclasses.asdict(progress)),
    }
    write_text(folder / PROGRESS, json.dumps(fields, allow_nan=False))
    for old in folder.glob("weights-*.npz"):
        if old != weights:
            old.unlink(missing_ok=True)


def restore(folder: Path, run: RunSpec | Trial, variables: Sequence[Any]) -> Progress:
    """Set the variables to the state of a run in its folder, if there is one.

    Returns:
        What the run has measured. Without a state, or with one that is damaged or of
        another run, this is empty and the variables stay as they are.
    """
    kinds = [
        (tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in variables
    ]
    try:
        progress, arrays = _read(folder, run, kinds)
    except _DAMAGED:
        return Progress()
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return progress


def _read(
    folder: Path, run: RunSpec | Trial, kinds: list[tuple[tuple[int, ...], str]]
) -> tuple[Progress, list[np.ndarray]]:
    fields = read_json(folder / PROGRESS)
    backend = keras.backend.backend()
    expected = [run, backend, settings.of_process(backend)]
    begun = type(run).from_dict(fields["spec"])
    if expected != [begun, fields["backend"], settings.of_record(fields)]:
        raise ValueError("the state is of another run")
    names = (field.name for field in dataclasses.fields(Progress))
    measured = {name: fields[name] for name in names}
    epochs = len(measured["seconds"])
    if epochs > run.epochs or bool(measured["norm_ratios"]) is not run.has_norm_ratios:
        raise ValueError("the state is not that of an epoch")
    if not has_epochs(measured, run, epochs) or not measured["wall_seconds"] >= 0:
        raise ValueError("the state is damaged")
    weights = folder / Path(fields["weights"]).name  # never outside the folder
    check_regular_file(weights)
    size = sum(8 * math.prod(shape) for shape, _ in kinds)  # of the widest numbers
    arrays = archive.read(weights, archive.names(weights), size)
    if kinds != [(array.shape, array.dtype.name) for array in arrays]:
        raise ValueError("the arrays are not those of the variables")
    return Progress(**none_to_nan(measured)), arrays


def remove(folder: Path) -> None:
    """Remove what `save` has written, and all drafts."""
    (folder / PROGRESS).unlink(missing_ok=True)
    for weights in folder.glob("weights-*.npz"):
        weights.unlink(missing_ok=True)
    remove_drafts(folder)
