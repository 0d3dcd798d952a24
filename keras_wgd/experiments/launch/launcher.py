"""Where trials are made: this process, processes of this machine, or Ray."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_wgd.experiments.launch import cluster, gpus, inline, runner
from keras_wgd.experiments.launch.comparison import Launch
from keras_wgd.experiments.launch.events import Event
from keras_wgd.experiments.options import Options


@contextlib.contextmanager
def launcher(
    out: Path,
    task: Any,
    engine: Any,
    jobs: int,
    ray: str | None,
    on_event: Callable[[Event], None],
) -> Iterator[Launch]:
    """What makes the trials: this process, processes of this machine, or Ray."""
    import keras

    options = Options(devices=engine.count)
    if ray is not None:
        cluster.check(ray)
        yield lambda trials: cluster.run_all(out, trials, jobs, ray, options, task)
    elif jobs == 1:
        yield lambda trials: inline.run_all(
            out, trials, task, options, engine, on_event
        )
    else:
        import cloudpickle

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "task")
            file.write_bytes(cloudpickle.dumps(task))
            options = dataclasses.replace(
                options, task=str(file), gpus=gpus.visible(keras.backend.backend())
            )
            yield lambda trials: runner.run_all(out, trials, jobs, options)
