"""A process that makes runs: how it begins, and what it tells of a run."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_wgd.experiments.launch.events import Event, Failed, in_words
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store.results import Result


def begin_process(processes: int) -> None:
    """Begin a process of a study, before it imports Keras.

    It ends with the one that has started it, and leaves Ctrl-C to it.

    Args:
        processes: How many share the cores.
    """
    threading.Thread(target=_follow_parent, daemon=True).start()
    # Ctrl-C goes to the whole process group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_libraries(max(1, (os.cpu_count() or 1) // processes))


def prepare_libraries(threads: int) -> None:
    """Settle what the backend reads when it starts, before it is imported.

    Where the environment says otherwise, that holds.

    Args:
        threads: How many threads an operation may use.
    """
    # Several workers may share a GPU: none takes all of its memory at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    for library in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        os.environ.setdefault(f"{library}_THREADS", str(threads))
    if threads == 1:  # JAX knows one thread or one for each core
        flags = os.environ.get("XLA_FLAGS", "")
        if "multi_thread_eigen" not in flags:
            flags = f"{flags} --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = flags.strip()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    if keras.backend.backend() == "jax":
        import jax

        # Runs of one shape share their compiled programs. Not in the folder of the
        # study: that may be a stranger's, and JAX runs what it finds.
        if not jax.config.jax_compilation_cache_dir:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            jax.config.update(
                "jax_compilation_cache_dir", str(Path(cache, "keras-wgd", "jax"))
            )
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _follow_parent():
    """End this process with the study's, even where that one is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def make_and_tell(
    tell: Callable[[Event], Any], out: Path, spec: RunSpec, options: Options
) -> Result:
    """Make one run, where the libraries are prepared.

    Args:
        tell: Takes an event for the start and for each epoch.
        out: The folder of the study.
        spec: The run.
        options: How to make it.

    Returns:
        The result; it is on disk.

    Raises:
        Exception: If it fails; `failure` knows what it is.
    """
    from keras_wgd.experiments.training.train import make

    def on_epoch(epoch, curves, restored):
        tell(Event("restore" if restored else "epoch", spec, curves))

    tell(Event("start", spec, os.getpid()))
    try:
        return make(out, spec, options, on_epoch)
    except OSError:
        raise
    except Exception as error:
        raise Failed(in_words(error)) from None
