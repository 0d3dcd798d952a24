"""The memory that a step needs while it runs."""

import contextlib
import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import keras


def peak(step: Callable[[], None]) -> int | None:
    """The bytes that a step allocates at its peak, beyond what is allocated before.

    They are counted by the backend on a GPU, and are the growth of this process on the
    CPU. `None` if neither is known.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step()
            return torch.cuda.max_memory_allocated() - before
    elif backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            memory = tf.config.experimental
            memory.reset_memory_stats("GPU:0")
            before = memory.get_memory_info("GPU:0")["current"]
            step()
            return memory.get_memory_info("GPU:0")["peak"] - before
    else:
        import jax

        if jax.default_backend() != "cpu":
            return None  # JAX cannot reset its peak
    return _resident_peak(step)


def _resident_peak(step):
    try:
        # Otherwise a step could use memory that the process has freed but still holds.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = _status_bytes("VmRSS")
        step()
        return max(0, _status_bytes("VmHWM") - before)
    except OSError:  # not Linux
        return None


def _status_bytes(name):
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    if found is None:
        raise OSError(f"no {name}")
    return int(found[1]) * 1024
