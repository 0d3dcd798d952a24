"""Where a run stands after an epoch: its variables and what it has measured."""

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
from keras_wgd.experiments.metrics import CURVES
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.validation import is_row
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


@dataclasses.dataclass
class Progress:
    """What a run has measured so far, an entry for each epoch.

    Attributes:
        curves: By the names in `CURVES`.
        seconds: Time of each epoch's training.
        norm_ratios: `||h|| / ||g||` of each epoch; none in a plain run.
    """

    curves: dict[str, list[float]] = dataclasses.field(
        default_factory=lambda: {name: [] for name in CURVES}
    )
    seconds: list[float] = dataclasses.field(default_factory=list)
    norm_ratios: list[float] = dataclasses.field(default_factory=list)

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.seconds)

    def is_whole(self, spec: RunSpec) -> bool:
        """Whether there is an entry of each kind for each epoch, in numbers."""
        ratios = 0 if spec.mean_over is None else self.epochs
        return (
            self.epochs <= spec.epochs
            and list(self.curves) == list(CURVES)
            and {len(curve) for curve in self.curves.values()} == {self.epochs}
            and len(self.norm_ratios) == ratios
        )

    def at(self, epoch: int) -> dict[str, float]:
        """The value of each curve after the epoch of that number, from 0."""
        return {name: curve[epoch] for name, curve in self.curves.items()}


def save(
    folder: Path, spec: RunSpec, progress: Progress, variables: Sequence[Any]
) -> None:
    """Write the state after an epoch, so that it can be read at any moment.

    The variables go into a file of their own, and count once `progress.json`
    names them; a run that is killed in between goes on from the epoch before.

    Args:
        folder: The folder of the run; it is made.
        spec: The run.
        progress: What it has measured.
        variables: Those of the model and of the optimizer.

    Raises:
        OSError: If the disk is full, say; the state before stays.
    """
    folder.mkdir(exist_ok=True)
    weights = folder / f"weights-{progress.epochs}.npz"
    arrays = [ops.convert_to_numpy(variable) for variable in variables]
    with atomic(weights) as draft, draft.open("wb") as file:
        np.savez(file, *arrays)
    fields = {
        "spec": spec.to_dict(),
        "backend": keras.backend.backend(),
        "settings": settings.deciding(keras.backend.backend()),
        "weights": weights.name,
        **nan_to_none(dataclasses.asdict(progress)),
    }
    write_text(folder / PROGRESS, json.dumps(fields, allow_nan=False))
    for old in folder.glob("weights-*.npz"):
        if old != weights:
            old.unlink(missing_ok=True)


def restore(folder: Path, spec: RunSpec, variables: Sequence[Any]) -> Progress:
    """Set the variables to where the run stood, if it has been under way.

    Args:
        folder: The folder of the run.
        spec: The run.
        variables: Those of the model and of the optimizer, as in `save`.

    Returns:
        What was measured; nothing where there is no state, or not of this run,
        or it is damaged: then the variables are as they were.
    """
    wanted = [
        (tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in variables
    ]
    try:
        fields = read_json(folder / PROGRESS)
        rows = {name: fields[name] for name in ("seconds", "norm_ratios")}
        rows |= fields["curves"]
        if not all(is_row(name, row, len(row)) for name, row in rows.items()):
            return Progress()
        progress = Progress(
            **{
                field.name: none_to_nan(fields[field.name])
                for field in dataclasses.fields(Progress)
            }
        )
        weights = folder / Path(fields["weights"]).name  # never outside the folder
        backend = keras.backend.backend()
        known = [spec.to_dict(), backend, settings.of_process(backend)]
        begun = [fields["spec"], fields["backend"], settings.of_record(fields)]
        if known != begun or not progress.is_whole(spec):
            return Progress()
        check_regular_file(weights)
        most = sum(8 * math.prod(shape) for shape, _ in wanted)  # of the widest numbers
        arrays = archive.read(weights, archive.names(weights), most)
    except (
        *(AttributeError, FileNotFoundError, KeyError),
        *(OverflowError, TypeError, ValueError),
    ):
        return Progress()
    if wanted != [(array.shape, array.dtype.name) for array in arrays]:
        return Progress()
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return progress


def remove(folder: Path) -> None:
    """Remove what `save` has written, and all drafts."""
    (folder / PROGRESS).unlink(missing_ok=True)
    for weights in folder.glob("weights-*.npz"):
        weights.unlink(missing_ok=True)
    remove_drafts(folder)
