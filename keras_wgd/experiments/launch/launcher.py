"""Where trials are made: this process, processes of this machine, or Ray."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import keras

from keras_wgd.experiments.launch import cluster, gpus, inline, runner
from keras_wgd.experiments.launch.scheduler import Launch
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.training.custom.task import CustomTask
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.files import printable


@contextlib.contextmanager
def launcher(
    out: Path,
    task: CustomTask,
    engine: OneDevice,
    jobs: int,
    ray: str | None,
) -> Iterator[Launch]:
    """A function that makes trials, for `jobs` and `ray` of `compare`.

    Raises:
        ValueError: If no cluster answers, or the task cannot be sent.
    """
    options = Options(devices=engine.count)
    if ray is not None:
        cluster.check(ray)
        _pickled(task)  # only checks: Ray sends the task itself
        yield lambda trials, on_event: cluster.run_all(
            out, trials, jobs, ray, options, task
        )
    elif jobs == 1:
        yield lambda trials, on_event: inline.run_all(
            out, trials, task, options, engine, on_event
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "task")
            file.write_bytes(_pickled(task))
            options = dataclasses.replace(
                options, task=str(file), gpus=gpus.visible(keras.backend.backend())
            )
            yield lambda trials, on_event: runner.run_all(out, trials, jobs, options)


def _pickled(task: CustomTask) -> bytes:
    try:
        return cloudpickle.dumps(task)
    except Exception as error:  # the user's objects may raise anything
        parts = {
            field.name: getattr(task, field.name) for field in dataclasses.fields(task)
        }
        name = next((name for name in parts if not _can_pickle(parts[name])), "task")
        raise ValueError(
            f"{name} cannot be sent to other processes: give a function that makes it, "
            "or use jobs=1 without ray. "
            f"Received: {type(parts.get(name)).__name__} ({printable(error)})"
        ) from None


def _can_pickle(part: Any) -> bool:
    try:
        cloudpickle.dumps(part)
    except Exception:  # the user's objects may raise anything
        return False
    return True
