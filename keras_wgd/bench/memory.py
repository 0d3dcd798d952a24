"""How much memory a step needs while it is under way."""

import contextlib
import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import keras


def peak(step: Callable[[], None]) -> int | None:
    """The memory that a step takes for a while, beyond what is held before it.

    Args:
        step: Makes a step; it has been made before.

    Returns:
        Bytes: on a GPU as the backend counts them; on the CPU, by how much the
        memory of this process grew at its peak. `None` where neither is told.
    """
    return _gpu_peak(step) if _on_gpu() else _resident_peak(step)


def _on_gpu():
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _gpu_peak(step):
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - held
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
        held = tf.config.experimental.get_memory_info("GPU:0")["current"]
        step()
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] - held
    return None  # JAX's peak cannot begin anew


def _resident_peak(step):
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        _give_back_what_is_free()
        clear.write_text("5")  # the peak begins anew
        before = _kilobytes(status, "VmRSS")
        step()
        return max(0, _kilobytes(status, "VmHWM") - before) * 1024
    except OSError:  # not Linux
        return None


def _give_back_what_is_free():
    """Else a step would take memory that the process holds, unseen."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _kilobytes(status, name):
    found = re.search(rf"{name}:\s+(\d+) kB", status.read_text())
    if found is None:
        raise OSError(f"no {name}")
    return int(found[1])
