"""Many runs: what is finished is skipped, the rest goes to worker processes."""

import concurrent.futures as futures
import errno
import itertools
import multiprocessing
import os
import queue
import stat
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from keras_wgd import files
from keras_wgd.experiments.launch import gpus
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.launch.worker import begin_process, make_and_tell
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results

# In the folder of the study: what the workers' libraries had to say.
LOG = ".workers.log"


def split(out: Path, specs: list[RunSpec]) -> tuple[list[RunSpec], list[RunSpec]]:
    """The runs that are finished, and those that are not."""
    finished = [spec for spec in specs if results.is_finished(out, spec)]
    return finished, [spec for spec in specs if spec not in finished]


def run_all(
    out: Path, specs: list[RunSpec], jobs: int, options: Options = Options()
) -> Generator[Event, None, None]:
    """Run what is given, a number at a time, and say what happens as it does.

    Each worker is a process that imports Keras once and trains one run after
    another; its result is on disk before the run counts as finished. A run that
    fails is reported, and the others go on. Where a worker is killed (for lack
    of memory, say), each run that was under way is made again, alone, and fails
    if that ends in the same way. Leaving the iteration early (Ctrl-C) ends the
    workers; what they had not finished goes on from its last whole epoch when it
    is run again.

    Args:
        out: The folder of the study.
        specs: The runs.
        jobs: How many run at a time.
        options: How to make them.

    Yields:
        An `Event` for each start, epoch and end.

    Raises:
        OSError: If the disk is full, or no worker can start. All runs stop; none
            of the others would end well.
    """
    os.close(_open_log(out))
    waiting, suspects = list(specs), list[RunSpec]()
    while waiting:
        batch = suspects[:1] or list(waiting)
        under_way: set[RunSpec] = set()
        silent = True
        for event in _run_pool(out, batch, jobs, options):
            silent = False
            if event.kind == "start":
                under_way.add(event.spec)
            if event.kind in ("finish", "fail"):
                under_way.discard(event.spec)
                waiting.remove(event.spec)
            yield event
        if silent:
            reason = "no worker process can start; their log may say why"
            raise ChildProcessError(errno.ECHILD, reason, str(out / LOG))
        if len(batch) == 1 and batch[0] in waiting:
            waiting.remove(batch[0])
            yield Event("fail", batch[0], "its process was killed")
        suspects = [spec for spec in waiting if spec in under_way or spec in suspects]


def _run_pool(out, specs, jobs, options) -> Iterator[Event]:
    """`run_all` until all runs have ended, or a worker is killed."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    workers = min(jobs, len(specs))
    places = context.SimpleQueue()
    for place in itertools.islice(itertools.cycle(options.gpus), workers):
        places.put(place)
    # As many threads where fewer runs are left: sums in another order would end
    # in other numbers.
    pool = futures.ProcessPoolExecutor(
        workers,
        context,
        _start_worker,
        (events, jobs, str(out), places if options.gpus else None),
    )
    try:
        yield from _follow(
            events, {pool.submit(_run, out, spec, options): spec for spec in specs}
        )
    finally:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        pool.shutdown(cancel_futures=True)
        for spec in specs:  # what a worker was writing when it was ended
            files.remove_drafts(results.draft_of(out, spec))


def _follow(events, tasks) -> Iterator[Event]:
    """What the workers say, and how each task ends; all ends if one is killed."""
    pending = set(tasks)
    ended: set[RunSpec] = set()
    while pending:
        done, pending = futures.wait(pending, timeout=0.1)
        # Ends come another way, and may overtake what a run has said before.
        yield from (event for event in _drain(events) if event.spec not in ended)
        ended |= {tasks[task] for task in done}
        # What has ended well first: where the pool is broken nothing follows.
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


# What a worker keeps from one run to the next.
_events: Any = None


def _start_worker(events, jobs, out, places=None):
    """Prepare a worker, before it imports Keras; each takes the next of the places."""
    global _events
    _events = events
    if places is not None:
        os.environ[gpus.VISIBLE] = places.get()
    # What libraries write there would tear the progress bar apart.
    os.dup2(_open_log(out), sys.stderr.fileno())
    begin_process(jobs)


def _open_log(out):
    """Open the workers' log, unless a stranger has put something in its place."""
    path = os.path.join(out, LOG)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for guard in ("O_NOFOLLOW", "O_NONBLOCK"):  # no link, and no waiting for a reader
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


def _run(out: Path, spec: RunSpec, options: Options) -> results.Result:
    return make_and_tell(_events.put, out, spec, options)
