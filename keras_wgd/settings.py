"""Settings of Keras and of the backend, which change the numbers of a run.

A run sets those of Keras itself (`KERAS`). It leaves those of the backend to the user
and records them. Runs with different settings are not compared.
"""

import hashlib
import json
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_wgd.choices import check_choice

# Keras's defaults, by their names in keras.config. Results that record no settings were
# made with these.
KERAS = {
    "image_data_format": "channels_last",
    "floatx": "float32",
    "epsilon": 1e-7,
    "dtype_policy": "float32",
    "max_epochs": None,
    "max_steps_per_epoch": None,
}

BACKENDS = ("tensorflow", "jax", "torch")
# Keras's own choice.
DEFAULT_BACKEND = "tensorflow"

# What Keras writes to a new keras.json: not a choice of the user.
_WRITTEN: dict[str, Any] = {"backend": DEFAULT_BACKEND}
_WRITTEN |= {name: KERAS[name] for name in ("floatx", "epsilon", "image_data_format")}

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

# Variables that change the order of sums, as another machine does: only recorded.
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

_MAX_LETTERS = 200  # of a value

_NNX = "{name} must be false: WGD is not tested with Flax NNX. Received: {value!r}"

_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on"), "1"),
    **dict.fromkeys(("false", "f", "no", "n", "off"), "0"),
}


def names(backend: str) -> tuple[str, ...]:
    """The environment variables that a run on a backend records."""
    return (*_EVERYWHERE, *_DECIDING.get(backend, {}), *_ROUNDING)


def deciding(backend: str) -> dict[str, str]:
    """The variables of this process that decide a run's numbers on a backend.

    Only those that differ from their default, in one spelling for each value. What a
    program sets in the backend itself, as with `jax.config`, is not included.
    """
    defaults = _EVERYWHERE | _DECIDING.get(backend, {})
    found = {name: _spelled(name, os.environ.get(name, "")) for name in defaults}
    return {
        name: value
        for name, value in sorted(found.items())
        if value not in ("", defaults[name])
    }


def of_process(backend: str) -> dict[str, str]:
    """What `of_record` would give for a run in this process."""
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
    """The settings in a result's environment that differ from the defaults.

    The environment may come from a stranger's file. The result is safe to print
    anywhere.
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
    if len(text) <= _MAX_LETTERS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: _MAX_LETTERS - 9]}~{digest}"


def as_text(settings: Mapping[str, str]) -> str:
    """Settings as "NAME=value, NAME=value"; empty if all are the defaults."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """The differences between two results of `of_record` as text; empty if none."""
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
    """The backend that the user has chosen in keras.json, or `None`.

    A file as Keras writes it is no choice. A ValueError says that Keras would refuse
    the file or an environment variable, or that the file is not JSON, which Keras would
    take for an empty file.
    """
    _check_variables()
    path = keras_json()
    if not path.exists():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be JSON; correct or remove it. Received: {error}"
        ) from error
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path} must hold a JSON object; correct or remove it. Received: "
            f"{settings!r}"
        )
    for name, allowed in {
        "floatx": ("float16", "float32", "float64"),
        "image_data_format": ("channels_last", "channels_first"),
    }.items():
        check_choice(f"{name} in {path}", settings.get(name, allowed[0]), allowed)
    nnx = settings.get("nnx_enabled", False)
    if nnx is not False:
        raise ValueError(_NNX.format(name=f"nnx_enabled in {path}", value=nnx))
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
        raise ValueError(_NNX.format(name="KERAS_NNX_ENABLED", value=nnx))
