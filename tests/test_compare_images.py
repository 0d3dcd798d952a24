"""`keras-wgd compare` from a folder of images, or a file, to the verdict."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support import small_study

from keras_wgd import cli

ROUNDS = ["--epochs", "2", "--seeds", "4", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("keras_wgd.tasks.models.build", small_study.build)


@pytest.fixture
def photos(tmp_path):
    """Dark and light images, which any network tells apart."""
    generator = np.random.default_rng(0)
    for name, mean in {"dark": 60, "light": 190}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.normal(mean, 20, (8, 8, 3)).clip(0, 255)
            path = tmp_path / "photos" / name / f"{number}.png"
            Image.fromarray(pixels.astype("uint8")).save(path)
    return str(tmp_path / "photos")


def test_images(photos, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["compare", "--images", photos, "--model", "resnet8", *ROUNDS]
    command += ["--optimizer", "adam", "--set", "learning_rate=0.01"]
    command += ["--out", str(out), "--all-seeds"]
    assert cli.app([*command, "--json"]) == 0
    captured = capsys.readouterr()
    (told,) = json.loads(captured.out)
    assert [row["arm"] for row in told["table"]] == ["adam", "adam-fan_in"]
    assert [row["n"] for row in told["table"]] == [4, 4]
    assert [row["mean"] for row in told["table"]] == pytest.approx([1, 1], abs=0.1)
    assert {(run["centered"] > 0, run["arm"]) for run in told["runs"]} == {
        (False, "adam"),
        (True, "adam-fan_in"),
    }
    assert {run["steps"] for run in told["runs"]} == {8}
    assert told["failures"] == {}
    page = out / "report" / "report.html"
    assert told["report"] == str(page)
    assert "adam-fan_in" in page.read_text()
    # The same command reads the runs.
    times = {path: path.stat().st_mtime_ns for path in out.glob("trial-*/*")}
    assert cli.app(command) == 0
    printed = capsys.readouterr().out
    assert "adam-fan_in" in printed
    assert {path: path.stat().st_mtime_ns for path in out.glob("trial-*/*")} == times
    assert len(times) == 16


@pytest.mark.any_backend
def test_other_settings_in_the_folder_are_refused(photos, tmp_path, capsys):
    command = ["compare", "--images", photos, "--model", "resnet8", *ROUNDS]
    command += ["--out", str(tmp_path / "out")]
    assert cli.app([*command, "--epochs", "1"]) == 0
    capsys.readouterr()
    assert cli.app([*command, "--set", "learning_rate=0.5", "--epochs", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "optimizers['adam']" in captured.err
    for other, message in {
        "--budget": "soon",
        "--monitor": "val_acuracy",
        "--margin": "-1",
    }.items():
        assert cli.app([*command[:-2], other, message]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("keras-wgd: error: ")
        assert captured.err.count("\n") == 1


@pytest.mark.any_backend
def test_learning_rates_are_tuned(photos, capsys):
    command = ["compare", "--images", photos, "--model", "resnet8", *ROUNDS, "--json"]
    command += ["--optimizer", "sgd", "--optimizer", "adam", "--epochs", "1"]
    rates = ["--learning-rate", "1e-6", "--learning-rate", "0.01"]
    assert cli.app([*command, *rates]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["learning_rates"] == {"sgd": 0.01, "adam": 0.01}


TASK = """
import dataclasses
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")

@dataclasses.dataclass
class Size:
    units: int = 3

def build_model():
    dense = keras.layers.Dense(Size().units, activation="relu")
    return keras.Sequential([keras.Input((4,)), dense, keras.layers.Dense(1)])

optimizers = {"sgd": "sgd", "fast": lambda: keras.optimizers.SGD(0.1)}
train = validation = (x, x.sum(axis=1))
loss, monitor, epochs, seeds = "mse", "val_loss", 2, 4
"""


@pytest.mark.any_backend
@pytest.mark.slow
def test_task_in_processes_is_that_in_one(tmp_path):
    """Functions and classes of the file travel to the processes."""
    (tmp_path / "task.py").write_text(TASK)
    told = {}
    for jobs in ("1", "2"):
        command = ["compare", "task.py", "--jobs", jobs, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "keras_wgd", *command],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        (told[jobs],) = json.loads(done.stdout)
    one, two = (
        [(run["arm"], run["seed"], run["value"]) for run in told[jobs]["runs"]]
        for jobs in ("1", "2")
    )
    assert one == two
    assert told["1"]["verdicts"] == {"fast": "better"}
