"""A process that makes runs: how it starts, and the events that it sends."""

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_wgd.experiments.launch.events import Event, Failed, format_error
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.trial import Trial

if TYPE_CHECKING:  # it imports Keras, which a worker first prepares
    from keras_wgd.experiments.training.task import Task


def init_worker(processes: int) -> None:
    """Prepare a worker, before it imports Keras.

    It ends with its parent process, and ignores Ctrl-C, which the parent handles.

    Args:
        processes: The number of processes that share the cores.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_libraries(max(1, (os.cpu_count() or 1) // processes))


def _end_with_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def prepare_libraries(threads: int) -> None:
    """Set what the backend reads when it is imported, unless the user has set it.

    Args:
        threads: The number of threads of an operation.
    """
    # Several workers may share a GPU: none takes all of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for library in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        os.environ.setdefault(f"{library}_THREADS", str(threads))
    if threads == 1:  # JAX has one thread, or one for each core
        flags = os.environ.get("XLA_FLAGS", "")
        if "multi_thread_eigen" not in flags:
            flags = f"{flags} --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = flags.strip()
    import keras

    if keras.backend.backend() == "jax":
        import jax

        # Runs of one shape share their programs. The cache is not in the folder of the
        # study: that may be a stranger's, and JAX runs what it finds in the cache.
        if not jax.config.jax_compilation_cache_dir:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            jax.config.update(
                "jax_compilation_cache_dir", str(Path(cache, "keras-wgd", "jax"))
            )
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@functools.cache
def _load(path: str) -> "Task":
    import cloudpickle

    return cloudpickle.loads(Path(path).read_bytes())


def make_and_send(
    send: Callable[[Event], Any],
    out: Path,
    spec: RunSpec | Trial,
    options: Options,
    task: "Task | None" = None,
) -> Result:
    """Make one run in a prepared process, and send its start and its epochs.

    Raises:
        OSError: If the run raises one.
        Failed: If the run raises another error.
    """
    from keras_wgd.experiments.training.train import make

    def on_epoch(epoch, curves, restored):
        send(Event("restore" if restored else "epoch", spec, curves))

    send(Event("start", spec, os.getpid()))
    try:
        if options.task is not None:
            task = _load(options.task)
        return make(out, spec, options, on_epoch, task=task)
    except OSError:
        raise
    except Exception as error:
        raise Failed(format_error(error)) from None
