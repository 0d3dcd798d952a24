"""What the training loop asks of a task; the study and `compare` each have one."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from keras_wgd.experiments.training.devices import OneDevice

# Takes the values that an epoch has measured, the seconds of its training, and the
# `||h|| / ||g||` of its steps, if they are recorded.
Record = Callable[[dict[str, float], float, float | None], None]


class Training(Protocol):
    """A run that is built."""

    @property
    def variables(self) -> Sequence[Any]:
        """What changes in training and decides how it goes on."""

    @property
    def resumable(self) -> bool:
        """Whether these variables are all that decides it."""

    @property
    def centered(self) -> int:
        """The number of trainable variables that are centered."""

    def fit(self, first: int, record: Record) -> None:
        """Train from the epoch `first`, counted from 0, and record each epoch."""

    def measurements(self) -> dict[str, Any]:
        """The `metrics`, `confusion` and `details` of the `Result`, after training."""

    def save(self, path: Path) -> None:
        """Save the trained model."""


class Task(Protocol):
    """What the runs of a comparison have in common."""

    def scope(self) -> contextlib.AbstractContextManager:
        """The context of a run from its start to its result."""

    def start(self, run: Any, devices: OneDevice) -> Training:
        """Build a run. The weights depend on the task and the run's seed alone."""
