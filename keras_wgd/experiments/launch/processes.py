"""One run on PyTorch, made by several processes that each have a device."""

import errno
import multiprocessing
import multiprocessing.connection
import queue
import tempfile
from pathlib import Path

from keras_wgd.experiments.launch.events import in_words
from keras_wgd.experiments.launch.worker import begin_process
from keras_wgd.experiments.options import OnEpoch, Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.results import Result


def make(
    out: Path,
    spec: RunSpec,
    options: Options,
    on_epoch: OnEpoch,
) -> Result:
    """Make one run as `train.make` does, with `options.devices` processes.

    Args:
        out: The folder of the study.
        spec: The run.
        options: How to make it.
        on_epoch: As for `train.make`.

    Returns:
        The result; it is on disk, written by the first process.

    Raises:
        OSError: If a process dies or fails; the others are ended.
    """
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    with tempfile.TemporaryDirectory() as meeting:
        ranks = [
            context.Process(
                target=_run, args=(rank, meeting, events, out, spec, options)
            )
            for rank in range(options.devices)
        ]
        try:
            for process in ranks:
                process.start()
            return _follow(events, ranks, on_epoch)
        finally:
            for process in ranks:
                if process.pid is not None:
                    process.terminate()
                    process.join()


def _follow(events, ranks, on_epoch) -> Result:
    """What the ranks say, until there is a result or one of them is lost."""
    while True:
        died = [rank for rank, process in enumerate(ranks) if process.exitcode]
        silent = not any(process.is_alive() for process in ranks)
        try:
            kind, *detail = events.get(timeout=0.1)
        except queue.Empty:
            if died or silent:
                raise _lost(died, ranks) from None
            continue
        if kind == "epoch":
            on_epoch(*detail)
        elif kind == "result":
            return detail[0]
        else:
            # It may have failed for want of one that was killed.
            multiprocessing.connection.wait([p.sentinel for p in ranks], timeout=1)
            died = [rank for rank, process in enumerate(ranks) if process.exitcode]
            if died:
                raise _lost(died, ranks)
            rank, number, words = detail
            raise OSError(number or errno.ECHILD, f"{_name(rank, ranks)}: {words}")


def _lost(died, ranks):
    which = _name(died[0], ranks) if died else f"all {len(ranks)} processes"
    reason = "died, and the others were ended" if died else "ended without a result"
    return ChildProcessError(
        errno.ECHILD,
        f"{which} {reason}; with --out, the same command goes on from the last whole "
        "epoch",
    )


def _name(rank, ranks):
    return f"process {rank + 1} of the {len(ranks)} that share the run"


def _run(rank, meeting, events, out, spec, options) -> None:
    begin_process(options.devices)
    import torch
    import torch.distributed as dist

    from keras_wgd.experiments.training import devices, train

    def on_epoch(*epoch):
        if rank == 0:
            events.put(("epoch", *epoch))

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if gpu else "gloo",
        init_method=f"file://{meeting}/ranks",
        rank=rank,
        world_size=options.devices,
    )
    try:
        result = train.make(out, spec, options, on_epoch, devices.Ranks())
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        events.put(("error", rank, number, in_words(error)))
    else:
        if rank == 0:
            events.put(("result", result))
    # All is said before the others find that this one has left.
    events.close()
    events.join_thread()
    dist.destroy_process_group()
