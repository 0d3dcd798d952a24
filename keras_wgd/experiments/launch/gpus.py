"""The GPUs that runs are placed on, found without a backend in this process."""

import ctypes
import os
import subprocess
import sys

# What a process is shown by it: numbers or identifiers, separated by commas.
VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = "libcuda.so.1"

_COUNT = {
    "jax": "import jax; print(sum(d.platform == 'gpu' for d in jax.local_devices()))",
    "tensorflow": "import tensorflow as tf; "
    "print(len(tf.config.list_physical_devices('GPU')))",
    "torch": "import torch; print(torch.cuda.device_count())",
}
# Seconds.
_PATIENCE = 120


def visible(backend: str) -> tuple[str, ...]:
    """The NVIDIA GPUs that a backend can use here.

    Args:
        backend: The backend of the runs.

    Returns:
        What CUDA_VISIBLE_DEVICES must be for a process to use one of them, for each;
        none without a driver, where the backend was built for the CPU alone, or
        where KERAS_TORCH_DEVICE has chosen a device.
    """
    if backend == "torch" and os.environ.get("KERAS_TORCH_DEVICE"):
        return ()
    told = os.environ.get(VISIBLE)
    named = None if told is None else [name.strip() for name in told.split(",")]
    if named in ([""], ["-1"]) or not _is_driver_there():
        return ()
    count = _count(backend)
    return tuple(map(str, range(count)) if named is None else named[:count])


def _is_driver_there():
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def _count(backend):
    """What the backend counts, in a process whose memory on the GPUs ends with it."""
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _COUNT[backend]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        return int(done.stdout.split()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return 0  # a run will say what is wrong with the backend
