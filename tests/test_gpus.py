"""GPUs for runs, with stand-ins for the libraries that count them."""

import os
import subprocess
import sys

import keras
import pytest
from support import places
from support.runs import RUNS

from keras_wgd import cli, presets
from keras_wgd.cli import launch
from keras_wgd.experiments.launch import gpus, runner
from keras_wgd.experiments.options import Options

BACKEND = keras.backend.backend()
# Stand-ins for the libraries: each counts three GPUs.
MODULES = {
    "torch": "class cuda:\n    device_count = staticmethod(lambda: 3)",
    "jax": "class Gpu:\n    platform = 'gpu'\nclass Cpu:\n    platform = 'cpu'\n"
    "local_devices = lambda: [Cpu, Gpu, Gpu, Gpu]",
    "tensorflow": "class config:\n    list_physical_devices = staticmethod(\n"
    "        {'GPU': [1, 2, 3], 'CPU': [1]}.get)",
}
any_backend = pytest.mark.any_backend


@pytest.fixture
def driver(monkeypatch):
    """A driver without GPUs."""
    monkeypatch.setattr(gpus, "_has_driver", lambda: True)
    for name in (gpus.VISIBLE, "KERAS_TORCH_DEVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def three(driver, tmp_path, monkeypatch):
    """Backends that count three GPUs."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_backend_for_the_cpu(driver):
    assert gpus.visible(BACKEND) == ()


@any_backend
def test_no_driver(monkeypatch):
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "_DRIVER", "libabsent.so.0")
    monkeypatch.setattr(subprocess, "run", None)
    assert gpus.visible(BACKEND) == ()


@any_backend
@pytest.mark.parametrize("backend", MODULES)
def test_gpus_are_counted_by_the_backend(three, backend):
    before = set(sys.modules)
    assert gpus.visible(backend) == ("0", "1", "2")
    assert set(sys.modules) - before == set()  # the backend is not in this process


@any_backend
@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("5,1,7", ("5", "1", "7")),
        ("GPU-8932f937, MIG-1,GPU-a", ("GPU-8932f937", "MIG-1", "GPU-a")),
        ("4,6,8,-1,9", ("4", "6", "8")),  # CUDA counts up to the first that is none
        ("", ()),
        ("-1", ()),
    ],
)
def test_gpus_of_the_environment(three, told, wanted, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, told)
    assert gpus.visible("torch") == wanted


@any_backend
def test_device_of_keras(three, monkeypatch):
    monkeypatch.setenv("KERAS_TORCH_DEVICE", "cuda:1")
    assert gpus.visible("torch") == ()
    assert gpus.visible("jax") == ("0", "1", "2")


@any_backend
@pytest.mark.parametrize("text", ["raise SystemExit(3)", "print('none')", "import no"])
def test_backend_that_cannot_count(three, tmp_path, text):
    (tmp_path / "torch.py").write_text(text)
    assert gpus.visible("torch") == ()


@any_backend
@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        (("7", "GPU-a", "2", "3"), ["2", "3", "7", "GPU-a"]),
        (("7", "9"), ["7", "7", "9", "9"]),
        ((), ["as it was"] * 4),
    ],
)
def test_gpus_of_the_processes(tmp_path, monkeypatch, named, wanted):
    monkeypatch.setenv(gpus.VISIBLE, "as it was")
    monkeypatch.setattr(runner, "_run", places.place_of)
    monkeypatch.setattr(runner, "_start_worker", places.start_worker)
    events = runner.run_all(tmp_path, RUNS, len(RUNS), Options(gpus=named))
    told = [event.detail for event in events if event.kind == "finish"]
    assert sorted(told) == wanted


@any_backend
@pytest.mark.parametrize(
    ("found", "options", "jobs"),
    [
        (("0", "1", "2"), [], 3),
        ((), [], 16),
        (("0", "1", "2"), ["--jobs", "5"], 5),
        ((), ["--jobs", "5"], 5),
    ],
)
def test_runs_at_a_time(found, options, jobs, tmp_path, monkeypatch, capsys):
    asked = []

    def make_runs(console, out, specs, jobs, options, ray):
        asked.append((jobs, options.gpus))
        return 0

    monkeypatch.setattr(launch, "make_runs", make_runs)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(gpus, "visible", {BACKEND: found}.get)
    study = ["study", "--preset", presets.preset("quick").name, "--out", str(tmp_path)]
    assert cli.app([*study, *options]) == 0
    assert asked == [(jobs, found)]
    line = f"runs at a time: {jobs}, divided among GPU {', '.join(found)}\n"
    assert (line in capsys.readouterr().out) is bool(found)
