"""Where trials are made: this process, processes of this machine, or Ray."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from keras_wgd.experiments.launch import cluster, gpus, inline, runner
from keras_wgd.experiments.launch.comparison import Launch
from keras_wgd.experiments.options import Options
from keras_wgd.files import printable


@contextlib.contextmanager
def launcher(
    out: Path,
    task: Any,
    engine: Any,
    jobs: int,
    ray: str | None,
) -> Iterator[Launch]:
    """What makes the trials: this process, processes of this machine, or Ray.

    Raises:
        ValueError: If no cluster answers, or the task cannot be sent.
    """
    import keras

    options = Options(devices=engine.count)
    if ray is not None:
        cluster.check(ray)
        _pickled(task)
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


def _pickled(task: Any) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps(task)
    except Exception as error:
        parts = {field.name: getattr(task, field.name) for field in fields(task)}
        name = next((name for name in parts if not _can_pickle(parts[name])), "task")
        raise ValueError(
            f"{name} cannot be sent to other processes: give a function that makes it, "
            "or use jobs=1 without ray. "
            f"Received: {type(parts.get(name)).__name__} ({printable(error)})"
        ) from None


def _can_pickle(part: Any) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(part)
    except Exception:
        return False
    return True
