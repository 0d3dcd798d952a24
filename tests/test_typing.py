"""The library's types in a user's code, checked by mypy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_wgd

PACKAGE = Path(keras_wgd.__file__).parent
# Read only this package, no configuration, and neither Keras nor a backend.
OPTIONS = [
    "--strict",
    "--config-file=",
    "--no-site-packages",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--no-pretty",
    "--no-color-output",
]
RIGHT = """
from typing import Any, Literal, assert_type

import keras

from keras_wgd import (
    WGD,
    ConvKernel,
    RAdam,
    WGDWrapper,
    WhiteningMonitor,
    conv_kernels,
    whiten,
)


def train(model: keras.Model, x: Any, y: Any) -> list[float]:
    inner = RAdam(1e-3, beta_2=0.99, early_steps="skip", clipnorm=1.0, use_ema=True)
    kernels = conv_kernels(model)
    assert_type(kernels, list[ConvKernel])
    assert_type(kernels[0].axes("fan_in"), tuple[int, ...])
    assert_type(ConvKernel.from_config(kernels[0].get_config()), ConvKernel)
    optimizer = WGD(inner, mean_over="fan_in", placement="update", kernels=kernels[1:])
    assert_type(optimizer, WGDWrapper)
    assert_type(optimizer.mean_over, Literal["filters", "fan_in", "kernels"])
    assert_type(optimizer.placement, Literal["gradient", "update"])
    assert_type(WGD.from_config(optimizer.get_config()), WGDWrapper)
    monitor = WhiteningMonitor(per_kernel=True)
    model.compile(optimizer=optimizer, loss="mse")
    model.fit(x, y, callbacks=[monitor])
    optimizer.summary(print_fn=print)
    optimizer.learning_rate = 1e-4
    assert_type(monitor.history, dict[str, list[float]])
    return monitor.history["whitening_ratio"]


def alternatives(model: keras.Model, gradient: Any) -> list[Any]:
    optimizers = [WGD("adam"), WGD({"class_name": "radam", "config": {}})]
    optimizers.append(WGD(keras.optimizers.SGD(0.1), kernels=model, name="wgd"))
    RAdam(keras.optimizers.schedules.CosineDecay(0.1, 10), weight_decay=None)
    RAdam(lambda: 0.1, ema_overwrite_frequency=None, gradient_accumulation_steps=2)
    return [*optimizers, whiten(gradient), whiten(gradient, axes=(0, 1), groups=2)]
"""
WRONG = [
    'WGD("adam", mean_over=3)',
    'WGD("adam", mean_over="channels")',
    'WGD("adam", placement="weights")',
    'RAdam(early_steps="none")',
    'WGD("adam", means_over="filters")',
    "WGD()",
    'RAdam(beta_1="0.9")',
    'whiten([1.0], axes="last")',
    "conv_kernels()",
    'ConvKernel("conv2d/kernel", shape=3, layer="Conv2D")',
    'WhiteningMonitor(per_kernel="yes")',
    'WhiteningMonitor().history["whitening_ratio"] + 1',
    "from keras_wgd import Radam",
]


def complaints(folder, script):
    """The errors that mypy reports for a user's script, by line."""
    (folder / "script.py").write_text(script, "utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, "script.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    errors = [line for line in result.stdout.splitlines() if ": error: " in line]
    assert not result.stderr
    assert result.returncode == (1 if errors else 0), result.stdout
    return {int(error.split(":")[1]): error for error in errors}


@pytest.mark.any_backend
def test_type_errors_of_users(tmp_path):
    assert (PACKAGE / "py.typed").is_file()
    assert complaints(tmp_path, RIGHT) == {}
    found = complaints(tmp_path, RIGHT + "\n".join(WRONG) + "\n")
    first = RIGHT.count("\n") + 1
    assert list(found) == list(range(first, first + len(WRONG)))
    assert 'Argument "mean_over" to "WGDWrapper"' in found[first]
