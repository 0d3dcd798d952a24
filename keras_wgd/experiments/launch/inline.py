"""Trials in this process, one after the other."""

from collections.abc import Callable, Generator
from pathlib import Path

from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.experiments.training.task import Task
from keras_wgd.experiments.training.train import make
from keras_wgd.experiments.trial import Trial


def run_all(
    out: Path,
    trials: list[Trial],
    task: Task,
    options: Options,
    devices: OneDevice,
    on_event: Callable[[Event], None],
) -> Generator[Event, None, None]:
    """Make trials, and yield their ends.

    Starts and epochs go to `on_event` while a trial is made.

    Raises:
        OSError: If the disk is full.
    """
    for trial in trials:

        def on_epoch(epoch, curves, restored, trial=trial):
            on_event(Event("restore" if restored else "epoch", trial, curves))

        on_event(Event("start", trial))
        try:
            result = make(out, trial, options, on_epoch, devices, task)
        except Exception as error:
            yield failure(trial, error)._replace(error=error)
        else:
            yield Event("finish", trial, result)
