"""One run on PyTorch, made by several processes with a device each."""

import errno
import multiprocessing
import multiprocessing.connection
import queue
import tempfile
from pathlib import Path

from keras_wgd.experiments.launch.events import format_error
from keras_wgd.experiments.launch.worker import init_worker
from keras_wgd.experiments.options import OnEpoch, Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.results import Result


def make(out: Path, spec: RunSpec, options: Options, on_epoch: OnEpoch) -> Result:
    """Make one run as `train.make` does, with `options.devices` processes.

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
    """Handle the messages of the ranks until there is a result or one has died."""
    while True:
        died = _died(ranks)
        all_ended = not any(process.is_alive() for process in ranks)
        try:
            kind, *detail = events.get(timeout=0.1)
        except queue.Empty:
            if died or all_ended:
                raise _lost(died, ranks) from None
            continue
        if kind == "epoch":
            on_epoch(*detail)
        elif kind == "result":
            return detail[0]
        else:
            # The cause may be another rank that was killed. Its files, among them its
            # sentinel, are closed before the system knows how it ended.
            sentinels = {process.sentinel: process for process in ranks}
            for sentinel in multiprocessing.connection.wait(list(sentinels), timeout=1):
                sentinels[sentinel].join(1)
            if died := _died(ranks):
                raise _lost(died, ranks)
            rank, number, text = detail
            raise OSError(number or errno.ECHILD, f"{_name(rank, ranks)}: {text}")


def _died(ranks):
    return [rank for rank, process in enumerate(ranks) if process.exitcode]


def _lost(died, ranks):
    which = _name(died[0], ranks) if died else f"all {len(ranks)} processes"
    reason = "died, and the others were ended" if died else "ended without a result"
    return ChildProcessError(
        errno.ECHILD,
        f"{which} {reason}; with --out, the same command resumes from the last whole "
        "epoch",
    )


def _name(rank, ranks):
    return f"process {rank + 1} of the {len(ranks)} that share the run"


def _run(rank, meeting, events, out, spec, options) -> None:
    init_worker(options.devices)
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
        events.put(("error", rank, number, format_error(error)))
    else:
        if rank == 0:
            events.put(("result", result))
    # All messages are sent before the other ranks see that this one has left.
    events.close()
    events.join_thread()
    dist.destroy_process_group()
