"""The GPUs for runs, found without importing a backend in this process."""

import ctypes
import os
import subprocess
import sys

# The GPUs that a process may use: numbers or identifiers, separated by commas.
VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = "libcuda.so.1"
_TIMEOUT = 120  # seconds

_COUNT = {
    "jax": "import jax; print(sum(d.platform == 'gpu' for d in jax.local_devices()))",
    "tensorflow": "import tensorflow as tf; "
    "print(len(tf.config.list_physical_devices('GPU')))",
    "torch": "import torch; print(torch.cuda.device_count())",
}


def visible(backend: str) -> tuple[str, ...]:
    """The NVIDIA GPUs that a backend can use here.

    Returns:
        For each GPU, the value of CUDA_VISIBLE_DEVICES for a process that uses it
        alone; empty without a driver, with a backend built for the CPU, or if
        KERAS_TORCH_DEVICE has chosen a device.
    """
    if backend == "torch" and os.environ.get("KERAS_TORCH_DEVICE"):
        return ()
    variable = os.environ.get(VISIBLE)
    names = None if variable is None else [n.strip() for n in variable.split(",")]
    if names in ([""], ["-1"]) or not _has_driver():
        return ()
    count = _count(backend)
    return tuple(map(str, range(count)) if names is None else names[:count])


def _has_driver():
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def _count(backend):
    """Count the GPUs in another process, whose memory on them ends with it."""
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _COUNT[backend]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
        )
        return int(done.stdout.split()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return 0  # the first run shows the error of the backend
