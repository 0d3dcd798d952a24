"""Many runs on many machines, with Ray."""

import contextlib
import dataclasses
import logging
import os
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_wgd import settings
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.launch.worker import make_and_send, prepare_libraries
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.trial import Trial

LOCAL = "local"
# The number of times that a run is made again after its worker has died.
RETRIES = 3
_TIMEOUT = 10  # seconds
_PASSED_ON = ("KERAS_BACKEND", "KERAS_WGD_DATA", "TF_CPP_MIN_LOG_LEVEL")
# They name devices of this machine; Ray sets them for each worker.
_OF_THIS_MACHINE = {"CUDA_VISIBLE_DEVICES", "KERAS_TORCH_DEVICE"}


def check(address: str) -> None:
    """Check that Ray is installed and that a cluster answers; Ray tries for minutes.

    Raises:
        ValueError: If not. The message says what to do.
    """
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"--ray needs ray: pip install 'keras-wgd[ray]'. Received: {error}"
        ) from error
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT):
            pass
    except (OSError, ValueError) as error:
        raise ValueError(
            "--ray must be the address of a cluster that answers, such as host:6379 or "
            "ray://host:10001, or nothing for a cluster on this machine. "
            f"Received: {address!r}: {error}"
        ) from error


def run_all(
    out: Path,
    specs: Sequence[RunSpec] | Sequence[Trial],
    jobs: int,
    address: str = LOCAL,
    options: Options = Options(),
    task: Any = None,
) -> Generator[Event, None, None]:
    """Make each run as a task of a Ray cluster, and yield what happens.

    A task whose worker dies is made again, on any machine; if the machines share `out`
    it resumes from its last whole epoch. This process keeps the results that are not
    in `out` yet. The machines of the cluster have keras_wgd and the data set in the
    same places as this one.

    The address is that of `ray.init`; `"local"` starts a cluster here, for `jobs` runs
    at a time. A run asks for one core, and for one GPU if there are any.

    Yields:
        An `Event` for each start, epoch and end.

    Raises:
        ConnectionError: If there is no cluster at the address.
        OSError: If the disk is full.
    """
    import ray
    from ray.util.queue import Queue

    local = address == LOCAL
    backend = os.environ.get("KERAS_BACKEND", "")
    names = {*_PASSED_ON, *settings.names(backend)} - _OF_THIS_MACHINE
    environment = {name: os.environ[name] for name in names if name in os.environ}
    # Ray reports dead workers on standard output, which may be for a program.
    with contextlib.redirect_stdout(sys.stderr):
        ray.init(
            address=address,
            num_cpus=jobs if local else None,
            include_dashboard=False if local else None,
            runtime_env={"env_vars": environment},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        try:
            events = Queue(actor_options={"num_cpus": 0})
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            run = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=gpus)(_run)
            carried = ray.put(task)
            if options.data_dir is not None:
                folder = os.path.abspath(options.data_dir)
                options = dataclasses.replace(options, data_dir=folder)
            wanted = settings.of_process(backend)
            tasks = {
                run.remote(events, out.absolute(), spec, options, wanted, carried): spec
                for spec in specs
            }
            yield from _follow(ray, events, tasks, out)
        finally:
            ray.shutdown()


def _follow(ray, events, tasks, out) -> Iterator[Event]:
    pending = list(tasks)
    ended: set[RunSpec | Trial] = set()
    while pending:
        done, pending = ray.wait(pending, num_returns=1, timeout=0.2)
        received = events.get_nowait_batch(events.qsize())
        yield from (event for event in received if event.spec not in ended)
        ended |= {tasks[task] for task in done}
        for task in done:
            spec = tasks[task]
            try:
                result = ray.get(task)
            except ray.exceptions.RayTaskError as error:
                yield failure(spec, error.cause)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                yield Event("fail", spec, f"{type(error).__name__}: {reason}")
            else:
                if not results.is_finished(out, spec):
                    results.write(out, result)
                yield Event("finish", spec, result)


def _run(
    events,
    out: Path,
    spec: RunSpec | Trial,
    options: Options,
    wanted: dict[str, str],
    task: Any = None,
) -> results.Result:
    here = settings.of_process(os.environ.get("KERAS_BACKEND", ""))
    difference = settings.difference(wanted, here)
    if difference:  # the machine has settings of its own
        raise ValueError(f"{socket.gethostname()} has other settings: {difference}")
    out.mkdir(parents=True, exist_ok=True)
    prepare_libraries(threads=1)
    return make_and_send(events.put, out, spec, options, task)
