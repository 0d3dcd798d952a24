"""Many runs in worker processes of this machine."""

import concurrent.futures as futures
import contextlib
import errno
import itertools
import multiprocessing
import os
import queue
import stat
import sys
import types
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_wgd import files
from keras_wgd.experiments.launch import gpus
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.launch.worker import init_worker, make_and_send
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.trial import Trial

# In the folder of the study: the output of the workers' libraries.
LOG = ".workers.log"


def split(out: Path, specs: list[RunSpec]) -> tuple[list[RunSpec], list[RunSpec]]:
    """The runs that are finished, and those that are not."""
    finished = [spec for spec in specs if results.is_finished(out, spec)]
    return finished, [spec for spec in specs if spec not in finished]


def run_all(
    out: Path,
    specs: Sequence[RunSpec] | Sequence[Trial],
    jobs: int,
    options: Options = Options(),
) -> Generator[Event, None, None]:
    """Make runs, several at a time, and yield what happens.

    Each worker imports Keras once and makes one run after another. A run that fails
    does not stop the others. If a worker is killed (for example, because memory ran
    out), each run in progress is made again, alone, and fails if its worker is killed
    again. Closing the generator (Ctrl-C) ends the workers; their runs resume from the
    last whole epoch when they are made again.

    Yields:
        An `Event` for each start, epoch and end. At the end of a run its result is on
        disk.

    Raises:
        OSError: If the disk is full, or no worker can start. All runs stop.
    """
    os.close(_open_log(out))
    waiting: list[RunSpec | Trial] = list(specs)
    suspects: list[RunSpec | Trial] = []
    while waiting:
        batch = suspects[:1] or list(waiting)
        in_progress: set[RunSpec | Trial] = set()
        silent = True
        for event in _run_pool(out, batch, jobs, options):
            silent = False
            if event.kind == "start":
                in_progress.add(event.spec)
            if event.kind in ("finish", "fail"):
                in_progress.discard(event.spec)
                waiting.remove(event.spec)
            yield event
        if silent:
            reason = "no worker process can start; their log may say why"
            raise ChildProcessError(errno.ECHILD, reason, str(out / LOG))
        if len(batch) == 1 and batch[0] in waiting:
            waiting.remove(batch[0])
            yield Event("fail", batch[0], "its process was killed")
        suspects = [run for run in waiting if run in in_progress or run in suspects]


def _run_pool(out, specs, jobs, options) -> Iterator[Event]:
    """`run_all` until all runs have ended, or a worker is killed."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    workers = min(jobs, len(specs))
    places = context.SimpleQueue()
    for place in itertools.islice(itertools.cycle(options.gpus), workers):
        places.put(place)
    # The cores are divided by `jobs` even where fewer runs are left: more threads would
    # change the order of sums, and so the numbers.
    pool = futures.ProcessPoolExecutor(
        workers,
        context,
        _start_worker,
        (events, jobs, str(out), options.gpus and places),
    )
    try:
        # The functions of a task are sent by value: no worker runs the user's script.
        with _without_main() if options.task else contextlib.nullcontext():
            tasks = {pool.submit(_run, out, spec, options): spec for spec in specs}
        yield from _follow(events, tasks)
    finally:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        pool.shutdown(cancel_futures=True)
        for spec in specs:
            files.remove_drafts(results.draft_of(out, spec))


def _follow(events, tasks) -> Iterator[Event]:
    """The events of the workers, and the end of each task, until a worker is killed."""
    pending = set(tasks)
    ended: set[RunSpec | Trial] = set()
    while pending:
        done, pending = futures.wait(pending, timeout=0.1)
        # Ends do not come through the queue, and may overtake earlier events.
        yield from (event for event in _drain(events) if event.spec not in ended)
        ended |= {tasks[task] for task in done}
        # Tasks that have ended well come first: a broken pool ends the loop.
        for task in sorted(done, key=lambda task: task.exception() is not None):
            spec, error = tasks[task], task.exception()
            if error is None:
                yield Event("finish", spec, task.result())
            elif isinstance(error, futures.process.BrokenProcessPool):
                return
            else:
                yield failure(spec, error)


def _drain(events) -> Iterator[Event]:
    while True:
        try:
            yield events.get_nowait()
        except queue.Empty:
            return


@contextlib.contextmanager
def _without_main():
    """Workers that start now do not import the main module of this program."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# The queue of a worker process.
_events: Any = None


def _start_worker(events, jobs, out, places):
    """Prepare a worker, before it imports Keras, on the next of the GPUs."""
    global _events
    _events = events
    if places:
        os.environ[gpus.VISIBLE] = places.get()
    # Output of libraries would break the progress bar.
    os.dup2(_open_log(out), sys.stderr.fileno())
    init_worker(jobs)


def _open_log(out):
    """Open the workers' log, unless something else is in its place."""
    path = os.path.join(out, LOG)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for guard in ("O_NOFOLLOW", "O_NONBLOCK"):  # no links, no waiting for a pipe
        flags |= getattr(os, guard, 0)
    rule = "the workers' log must be a plain file that can be written to, or absent"
    try:
        log = os.open(path, flags, 0o666)
    except OSError as error:
        raise OSError(error.errno, f"{rule} ({error.strerror})", path) from error
    if not stat.S_ISREG(os.fstat(log).st_mode):
        os.close(log)
        raise OSError(errno.EINVAL, rule, path)
    return log


def _run(out: Path, spec: RunSpec | Trial, options: Options) -> results.Result:
    return make_and_send(_events.put, out, spec, options)
