"""One run from its start to its result, for any task."""

import time
from pathlib import Path
from typing import Any

from keras_wgd.environment import environment
from keras_wgd.experiments.options import OnEpoch, Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.training import checkpoint, inputs, tensorboard
from keras_wgd.experiments.training.build import clear_session
from keras_wgd.experiments.training.checkpoint import Progress
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.experiments.training.task import Task
from keras_wgd.experiments.trial import Trial
from keras_wgd.files import atomic

MODEL = "model.keras"


def make(
    out: Path,
    run: RunSpec | Trial,
    options: Options = Options(),
    on_epoch: OnEpoch = lambda epoch, curves, restored: None,
    devices: OneDevice | None = None,
    task: Task | None = None,
) -> Result:
    """Make one run in the folder `out`, and keep its result there.

    The arguments are those of `train`; without a task the run is one of a study. Of
    several processes, the first keeps the result.
    """
    devices = devices or OneDevice()
    folder = results.draft_of(out, run)
    if task is None:
        assert isinstance(run, RunSpec)
        task = StudyTask(inputs.load(run, options))
    result = train(run, task, on_epoch, folder, options, devices)
    if devices.rank == 0:
        checkpoint.remove(results.write(out, result))
    return result


def train(
    run: RunSpec | Trial,
    task: Task,
    on_epoch: OnEpoch = lambda epoch, curves, restored: None,
    folder: Path | None = None,
    options: Options = Options(),
    devices: OneDevice | None = None,
) -> Result:
    """Train and evaluate one run.

    Runs of the same seed start from the same weights and see the same batches,
    whatever their optimizer. A run that was stopped resumes from its last whole epoch
    if the task allows it, and ends with the same result.

    Args:
        run: The run.
        task: What it trains.
        on_epoch: Called after each epoch with its number, from 1, the last value of
            each curve, and whether the epoch was trained before this call. For such
            epochs it is called at once.
        folder: Where to keep the state after each epoch; nowhere if `None`.
        options: What else to keep there.
        devices: What to train on; one device if `None`.

    Returns:
        The result.

    Raises:
        ValueError: If the task cannot be built.
        RuntimeError: If WGD would center nothing.
    """
    clear_session()
    with task.scope():
        return _train(run, task, on_epoch, folder, options, devices or OneDevice())


def _train(run, task, on_epoch, folder, options, devices):
    begin = time.perf_counter()
    training = task.start(run, devices)
    kept = folder if devices.rank == 0 else None  # only the first process writes
    progress = Progress()
    if folder is not None and training.resumable:
        progress = checkpoint.restore(folder, run, training.variables)
        devices.wait()  # before one of them moves what the others read
    for epoch in range(progress.epochs):
        on_epoch(epoch + 1, progress.at(epoch), True)
    if kept is not None and options.tensorboard and progress.epochs:
        tensorboard.write(kept, progress, since=1)
    before = progress.wall_seconds

    def record(values: dict[str, float], seconds: float, ratio: float | None) -> None:
        progress.append(values, seconds, ratio)
        progress.wall_seconds = before + time.perf_counter() - begin
        if kept is not None and training.resumable:
            checkpoint.save(kept, run, progress, training.variables)
        if kept is not None and options.tensorboard:
            kept.mkdir(exist_ok=True)
            tensorboard.write(kept, progress, since=progress.epochs)
        on_epoch(progress.epochs, progress.at(progress.epochs - 1), False)

    if progress.epochs < run.epochs:
        training.fit(progress.epochs, record)
    if kept is not None and options.save_model:
        kept.mkdir(exist_ok=True)
        with atomic(kept / MODEL) as draft:
            training.save(draft)
    measured: dict[str, Any] = training.measurements()
    if isinstance(run, Trial):
        measured["details"]["wall_seconds"] = before + time.perf_counter() - begin
    return Result(
        spec=run,
        curves=progress.curves,
        seconds=progress.seconds,
        norm_ratios=progress.norm_ratios,
        centered=training.centered,
        environment=environment() | {"devices": devices.count},
        **measured,
    )
