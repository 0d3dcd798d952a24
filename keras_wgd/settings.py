"""What decides a run's numbers besides its spec: settings of Keras and of the backend.

A run sets Keras's own settings itself (`KERAS`). It leaves a backend's to the user,
records them, and is not compared with a run that had others.
"""

import hashlib
import json
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Keras's defaults, by their names in keras.config. Results from before settings were
# recorded count as made with these.
KERAS = {
    "image_data_format": "channels_last",
    "floatx": "float32",
    "epsilon": 1e-7,
    "dtype_policy": "float32",
    "max_epochs": None,
    "max_steps_per_epoch": None,
}

BACKENDS = ("tensorflow", "jax", "torch")
# The one that Keras takes where none is named.
DEFAULT_BACKEND = "tensorflow"

# What Keras writes to keras.json where there is none; no choice of the user.
_WRITTEN = {
    "floatx": KERAS["floatx"],
    "epsilon": KERAS["epsilon"],
    "backend": DEFAULT_BACKEND,
    "image_data_format": KERAS["image_data_format"],
}

# Environment variables that change the precision, the random numbers or the program of
# a run, and their defaults. Runs that differ in them are not compared.
_FLAGS = ("XLA_FLAGS", "TF_XLA_FLAGS")
_EVERYWHERE = {
    "NVIDIA_TF32_OVERRIDE": "",
    "ONEDNN_DEFAULT_FPMATH_MODE": "strict",
    "DNNL_DEFAULT_FPMATH_MODE": "strict",
}
_DECIDING = {
    "jax": {
        "JAX_DEFAULT_DTYPE_BITS": "64",
        "JAX_DEFAULT_MATMUL_PRECISION": "",
        "JAX_DEFAULT_PRNG_IMPL": "threefry2x32",
        "JAX_ENABLE_X64": "0",
        "JAX_RANDOM_SEED_OFFSET": "0",
        "JAX_THREEFRY_PARTITIONABLE": "1",
        "XLA_FLAGS": "",
    },
    "tensorflow": {
        "TF_CONV2D_USE_FP16_ACCUMULATE": "0",
        "TF_ENABLE_AUTO_MIXED_PRECISION": "0",
        "TF_ENABLE_AUTO_MIXED_PRECISION_GRAPH_REWRITE": "0",
        "TF_SET_ONEDNN_FPMATH_MODE": "strict",
        "TF_XLA_FLAGS": "",
        "XLA_FLAGS": "",
    },
    "torch": {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"},
}
# Flags that choose threads, devices and files, and leave the program as it is.
_HARMLESS = (
    "--xla_cpu_multi_thread_eigen",
    "--xla_dump_",
    "--xla_force_host_platform_device_count",
    "--xla_gpu_cuda_data_dir",
)

# Variables that change the order of sums, as another machine does: recorded alone.
_ROUNDING = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "DNNL_MAX_CPU_ISA",
    "JAX_DISABLE_JIT",
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
    "JAX_PLATFORMS",
    "KERAS_TORCH_DEVICE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)

_LONGEST = 200  # letters of a value

_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on"), "1"),
    **dict.fromkeys(("false", "f", "no", "n", "off"), "0"),
}


def names(backend: str) -> tuple[str, ...]:
    """The environment variables that are recorded in a run on a backend."""
    return (*_EVERYWHERE, *_DECIDING.get(backend, {}), *_ROUNDING)


def deciding(backend: str) -> dict[str, str]:
    """The variables of this process that decide a run's numbers on a backend.

    What a program sets in the backend itself, as with `jax.config`, is not seen.

    Args:
        backend: The backend.

    Returns:
        Those that are not at their default, in one spelling for each value.
    """
    defaults = _EVERYWHERE | _DECIDING.get(backend, {})
    found = {name: _spelled(name, os.environ.get(name, "")) for name in defaults}
    return {
        name: value
        for name, value in sorted(found.items())
        if value not in ("", defaults[name])
    }


def of_process(backend: str) -> dict[str, str]:
    """As `of_record`, of what a run in this process would record."""
    return of_record({"settings": deciding(backend)})


def rounding() -> dict[str, str]:
    """The variables of this process that change the order of sums, where set."""
    return {name: os.environ[name] for name in _ROUNDING if name in os.environ}


def _spelled(name, value):
    if name in _FLAGS:
        flags = value.split()
        return " ".join(sorted(f for f in flags if not f.startswith(_HARMLESS)))
    value = value.strip().lower()
    return _WORDS.get(value, value)


def of_record(environment: Mapping[str, Any]) -> dict[str, str]:
    """What a result's environment says of settings, where they are not the defaults.

    Args:
        environment: As `environment` gives it; it may come from a stranger's file.

    Returns:
        By their names: deciding variables, and Keras's settings; text that is safe
        to print anywhere.
    """
    found = {}
    for part, defaults in (("settings", {}), ("keras", KERAS)):
        record = environment.get(part, {})
        if not isinstance(record, dict):
            record = {part: record}
        for name, value in record.items():
            if name not in defaults or value != defaults[name]:
                text = value if isinstance(value, str) else json.dumps(value)
                found[_safe(name)] = _safe(text)
    return dict(sorted(found.items()))


def _safe(text):
    text = urllib.parse.quote(text, safe=" ,=+:/", errors="backslashreplace")
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: _LONGEST - 9]}~{digest}"


def in_words(settings: Mapping[str, str]) -> str:
    """Settings as "NAME=value, NAME=value"; empty where all are the defaults."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What differs between two records of settings, in words, or nothing.

    Args:
        old: As `of_record` gives it.
        new: Likewise.
    """
    return ", ".join(
        f"{name} {old.get(name, 'not set')}, now {new.get(name, 'not set')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def keras_json() -> Path:
    """Where Keras reads its settings when it is imported."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.path.join(home, "keras.json")))


def backend_of_keras_json() -> str | None:
    """The backend that the user has chosen in keras.json.

    The checks are those that Keras makes when it is imported, and one of its own:
    Keras takes a file that is no JSON for an empty one.

    Returns:
        Its name; `None` where there is none, or the file is as Keras writes it.

    Raises:
        ValueError: If Keras would refuse the file, or a variable of the environment.
            The message names it.
        OSError: If the file cannot be read.
    """
    _check_variables()
    path = keras_json()
    if not path.exists():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be JSON; mend it or remove it. Received: {error}"
        ) from error
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path} must hold a JSON object; mend it or remove it. Received: "
            f"{settings!r}"
        )
    for name, allowed in {
        "floatx": ("float16", "float32", "float64"),
        "image_data_format": ("channels_last", "channels_first"),
        "nnx_enabled": (False,),
    }.items():
        value = settings.get(name, allowed[0])
        if value not in allowed:
            raise ValueError(
                f"{name} in {path} must be one of {', '.join(map(str, allowed))}. "
                f"Received: {value!r}"
            )
    epsilon = settings.get("epsilon", KERAS["epsilon"])
    if not isinstance(epsilon, float):
        raise ValueError(
            f"epsilon in {path} must be a number with a decimal point. Received: "
            f"{epsilon!r}"
        )
    backend = settings.get("backend")
    return None if settings == _WRITTEN or backend is None else str(backend)


def _check_variables():
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        value = os.environ.get(name, "1")
        try:
            int(value)
        except ValueError:
            raise ValueError(
                f"{name} must be a whole number, or not be set. Received: {value!r}"
            ) from None
    nnx = os.environ.get("KERAS_NNX_ENABLED", "0")
    if nnx.lower() in ("1", "true"):
        raise ValueError(
            f"KERAS_NNX_ENABLED must not be set: WGD is not tested with Flax NNX. "
            f"Received: {nnx!r}"
        )
