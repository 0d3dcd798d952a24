"""The environment of a run: all that its result depends on besides the spec."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
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
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    in_force = {
        name: getattr(keras.config, name, lambda: None)() for name in settings.KERAS
    }
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
        "keras": {**in_force, "dtype_policy": keras.config.dtype_policy().name},
        "settings": settings.deciding(backend),
        "variables": settings.rounding(),
    }


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """A context, or a decorator, in which Keras has its default settings.

    At its start there is no distribution, and no custom object has a name that Keras
    looks up, such as "glorot_uniform". Afterwards all is as it was before.
    """
    # The oldest supported Keras has no limits on epochs and steps.
    names = [name for name in settings.KERAS if hasattr(keras.config, f"set_{name}")]
    before = {name: getattr(keras.config, name)() for name in names}
    distribution = keras.distribution.distribution()
    custom_objects = keras.saving.get_custom_objects()
    # The names of registered classes are "package>name".
    hidden = {name: custom_objects[name] for name in custom_objects if ">" not in name}

    def put(values):
        for name in names:
            getattr(keras.config, f"set_{name}")(values[name])

    try:
        put(settings.KERAS)
        for name in hidden:
            del custom_objects[name]
        keras.distribution.set_distribution(None)
        yield
    finally:
        put(before)
        custom_objects.update(hidden)
        keras.distribution.set_distribution(distribution)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, "").strip() or platform.processor()


def _accelerators(backend) -> list[str]:
    """The names of the GPUs and TPUs that the backend can use."""
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
    """The commit of the checkout with this file, if there is one."""
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
        # An installed copy may lie in the checkout of another project.
        git("ls-files", "--error-unmatch", file.name)
        return git("describe", "--always", "--dirty", "--exclude", "*")
    except (OSError, subprocess.SubprocessError):
        return None
