"""`keras-wgd run`, `report` and `kernels`, and the command line as a whole."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.results import result_of
from support.runs import SPEC, cifar_arrays

from keras_wgd import cli
from keras_wgd.__main__ import main
from keras_wgd.cli import options
from keras_wgd.experiments.store import claim, results

SMALL = ["--epochs", "1", "--train-size", "64", "--test-size", "40"]
RUN = ["run", "--dataset", "digits", *SMALL]
LIST = ["--preset", "quick", "--list"]


@pytest.mark.any_backend
def test_run_on_cifar100(capsys, tmp_path):
    np.savez(tmp_path / "cifar100.npz", **cifar_arrays())
    out = tmp_path / "out"
    arguments = ["run", "--dataset", "cifar100", "--data-dir", str(tmp_path)]
    arguments += ["--mean-over", "filters", "--epochs", "1", "--out", str(out)]
    assert cli.app([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert "epoch 1/1" in captured.err
    (result,), problems = results.read_all(out)
    assert problems == []
    assert printed["spec"] == result.spec.to_dict()
    assert printed["metrics"] == result.metrics
    assert (result.centered, len(result.confusion)) == (9, 100)


def test_run_twice(capsys, tmp_path):
    out = tmp_path / "out [x]"  # which rich would take for markup
    arguments = [*RUN, "--out", str(out), "--save-model", "--json"]
    assert cli.app(arguments) == 0
    first = capsys.readouterr()
    assert f"kept in: {out}" in first.err
    (model,) = out.glob("*/model.keras")
    assert cli.app(arguments[:-2]) == 0
    assert "epoch 1/1" not in capsys.readouterr().out
    assert cli.app(arguments) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert model.exists()
    with claim.alone(out):
        assert cli.app(arguments) == 2
    assert "no other study is using" in capsys.readouterr().err
    path = model.parent / "result.json"
    backend = keras.backend.backend()
    path.write_text(path.read_text().replace(f'"{backend}"', '"another"'))
    assert cli.app(arguments) == 2
    assert "made on unknown" in capsys.readouterr().err


@pytest.mark.any_backend
def test_narrow_terminal(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.app(RUN) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert len([line for line in printed.splitlines() if "RAdam" in line]) == 1


@pytest.mark.any_backend
def test_report_of_several_folders(capsys, tmp_path):
    for seed in (0, 1):
        for arm in ({}, {"mean_over": "filters"}):
            spec = dataclasses.replace(SPEC, seed=seed, **arm)
            (tmp_path / str(seed)).mkdir(exist_ok=True)
            confusion = [[2, 2], [2, 2]] if seed == 0 else [[3, 1], [1, 3]]
            results.write(tmp_path / str(seed), result_of(spec, confusion=confusion))
    (tmp_path / "1" / "holiday").mkdir()
    folders = [str(tmp_path / "0"), str(tmp_path / "1")]
    out = tmp_path / "report"
    assert cli.app(["report", *folders, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "holiday" in printed
    assert "62.50" in printed
    assert (out / "report.html").stat().st_size > 100_000
    figures = list((out / "figures").iterdir())
    names = ("tables.md", "runs.csv", "epochs.csv", "summary.csv")
    assert printed.splitlines()[-6:] == [
        *(f"written: {out / name}" for name in names),
        f"written: {len(figures)} figures, PNG and SVG: {out / 'figures'}",
        f"report: {out / 'report.html'}",
    ]
    assert cli.app(["report", *folders, "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    assert [row["arm"] for row in json.loads(captured.out)] == ["plain", "filters"]
    assert captured.err.splitlines()[-1] == f"report: {out / 'report.html'}"
    (tmp_path / "empty").mkdir()
    assert cli.app(["report", str(tmp_path / "empty")]) == 2
    assert "must hold results of runs" in capsys.readouterr().err


def test_kernels_of_a_file(capsys, tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(6, 3, groups=2, name="grouped"),
            layers.Conv2D(1, 1, name="mask"),
        ]
    )
    model.save(tmp_path / "model.keras")
    assert cli.app(["kernels", str(tmp_path / "model.keras")]) == 0
    printed = capsys.readouterr().out
    assert "grouped " in printed
    assert "3 filters, 2 groups" in printed
    assert "none" in printed
    assert "1 of 4 trainable variables centered" in printed
    assert cli.app(["kernels", str(tmp_path / "model.keras"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == model.name
    assert [v["centered"] for v in told["variables"]] == [True, False, False, False]


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("started", "told"),
    [
        ("/usr/lib/keras_wgd/__main__.py", f"{sys.executable} -m keras_wgd"),
        (".venv/bin/keras-wgd", ".venv/bin/keras-wgd"),
        ("/opt/my tools/keras-wgd", "'/opt/my tools/keras-wgd'"),
        ("/on/path/keras-wgd", "keras-wgd"),
        ("/usr/bin/pytest", "keras-wgd"),
    ],
)
def test_program_of_the_report_command(started, told, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(shutil, "which", {"keras-wgd": "/on/path/keras-wgd"}.get)
    assert options.program() == told


@pytest.mark.any_backend
def test_no_command(capsys):
    assert cli.app([]) == 2
    captured = capsys.readouterr()
    assert "Usage" in captured.out + captured.err
    assert "error" not in captured.err


@pytest.mark.any_backend
def test_closed_standard_output(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "argv", ["keras-wgd", "study", *LIST])
    assert main() == 0
    sys.stdout.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.any_backend
def test_help_and_list_without_keras():
    """In other processes, in which importing Keras would fail."""
    for arguments, text in ((["--help"], "study"), (["study", *LIST], "36")):
        done = subprocess.run(
            [sys.executable, "-m", "keras_wgd", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "KERAS_BACKEND": "none", "PYTHONIOENCODING": "ascii"},
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert text in done.stdout


@pytest.mark.any_backend
def test_unknown_backend_in_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "none")
    assert cli.app(RUN) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    error = "keras-wgd: error: backend must be one of tensorflow, jax, torch. "
    assert captured.err == f"{error}Received: 'none'\n"
