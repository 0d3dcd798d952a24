"""What a result may depend on besides its spec."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import keras

from keras_wgd import settings


def environment() -> dict[str, Any]:
    """Versions, machine, commit and settings, ready for JSON."""
    backend = keras.backend.backend()
    packages = {"keras-wgd", "keras", "numpy"}
    packages |= (
        {"tensorflow-cpu", "tensorflow"} if backend == "tensorflow" else {backend}
    )
    versions = {}
    for package in sorted(packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "backend": backend,
        "versions": versions,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "accelerators": _accelerators(backend),
        "commit": _commit(),
        "keras": settings.keras_in_force(),
        "settings": settings.deciding(backend),
        "variables": settings.rounding(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, "").strip() or platform.processor()


def _accelerators(backend) -> list[str]:
    """The names of the devices, beside the processor, that the backend can use."""
    if backend == "jax":
        import jax

        return [d.device_kind for d in jax.local_devices() if d.platform != "cpu"]
    if backend == "torch":
        import torch

        count = torch.cuda.device_count()
        return [torch.cuda.get_device_name(i) for i in range(count)]
    import tensorflow as tf

    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices("GPU"),
    )
    return [str(detail.get("device_name", "GPU")) for detail in details]


def _commit() -> str | None:
    """The commit of the checkout that this file belongs to, if it is one."""
    file = Path(__file__)

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments],
            cwd=file.parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        # An installed copy may lie in the checkout of something else.
        git("ls-files", "--error-unmatch", file.name)
        return git("describe", "--always", "--dirty", "--exclude", "*")
    except (OSError, subprocess.SubprocessError):
        return None
