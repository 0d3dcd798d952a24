"""Errors of the user on the command line: one line, exit code 2."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.results import result_of
from support.runs import SPEC, cifar_arrays

from keras_wgd import cli
from keras_wgd.experiments.store import results
from keras_wgd.optimizers.means import MEANS

pytestmark = pytest.mark.any_backend

SMALL = ["--epochs", "1", "--train-size", "64", "--test-size", "40"]
RUN = ["run", "--dataset", "digits", *SMALL]
QUICK = ["study", "--preset", "quick", "--out", "x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk"], "No such command 'walk'"),
        (["run"], "Missing option '--dataset'"),
        ([*RUN, "--epochs", "many"], "Invalid value for '--epochs'"),
        ([*RUN, "--epochs", "0"], "epochs must be a whole number of at least 1"),
        ([*RUN, "--optimizer", "sdg"], "radam, adadelta, adafactor"),
        ([*RUN, "--optimizer", "sdg"], "Did you mean 'sgd'?"),
        ([*RUN, "--set", "clipnrm=1"], "Did you mean 'clipnorm'?"),
        ([*RUN, "--set", "amsgrad"], "optimizer_settings must be NAME=VALUE"),
        ([*RUN, "--mean-over", "rows"], f"{', '.join(MEANS)}. Received: 'rows'"),
        ([*RUN, "--placement", "update"], "needs a mean_over"),
        ([*RUN, "--seed", "4294967296"], "at most 4294967295"),
        ([*RUN, "--placement", "x"], "gradient, update. Received: 'x'"),
        ([*RUN, "--model", "lenet"], "keras_cv_resnet18. Received: 'lenet'"),
        ([*RUN, "--stem", "small"], "stem must be None for resnet8"),
        ([*RUN, "--sampler", "x"], "shuffled, weighted. Received: 'x'"),
        ([*RUN, "--image-size", "4"], "at least 8, or None. Received: 4"),
        ([*RUN, "--image-size", "100000"], "at most 4096. Received: 100000"),
        ([*RUN, "--model", "resnet50"], "at least 32 by 32 for resnet50"),
        ([*RUN, "--save-model"], "--save-model and --tensorboard need --out"),
        ([*RUN, "--backend", "mxnet"], "tensorflow, jax, torch. Received: 'mxnet'"),
        ([*RUN, "--batch-size", "65"], "at most the 64 training images. Received: 65"),
        ([*RUN, "--train-size", "9999"], "between 1 and 1437. Received: 9999"),
        (["run", "--dataset", "emnist"], "fashion_mnist, mnist. Received: 'emnist'"),
        (["run", "--dataset", "animals10"], "Received: no folder"),
        (["run", "--dataset", "cifar100", "--data-dir", "absent"], "is no folder"),
        (["study", "--preset", "slow", "--out", "x"], "released. Received: 'slow'"),
        (["study", "--preset", "quick"], "--out must name a folder for the results"),
        ([*QUICK, "--shard", "3/2"], "shard must be i/n"),
        ([*QUICK, "--arm", "kernels"], "plain, filters, fan_in. Received: 'kernels'"),
        ([*QUICK, "--seed", "-1"], "whole number of at least 0"),
        ([*QUICK, "--epochs", "0"], "whole number of at least 1"),
        ([*QUICK, "--optimizer", "lion"], "sgdm. Received: 'lion'"),
        (
            [*QUICK, "--optimizer", "lio", "--learning-rate", "1"],
            "Did you mean 'lion'?",
        ),
        ([*QUICK, "--set", "amsgrad=true"], "a setting of sgd: "),
        ([*QUICK, "--model", "resnet18"], "resnet8. Received: 'resnet18'"),
        (["study", "--preset", "paper", "--out", "x"], "animals10"),
        ([*QUICK, "--jobs", "0"], "Received: 0"),
        (["report"], "Missing argument"),
        (["report", "absent"], "absent"),
        (["study", "--preset", "quick", "--out", ""], "must name a folder"),
        ([*RUN, "--out", ""], "must name a folder"),
        (["run", "--dataset", "cifar100", "--data-dir", ""], "must name a folder"),
        (
            ["study", "--preset", "quick", "--out", "x", "--backend", "mxnet"],
            "tensorflow, jax, torch. Received: 'mxnet'",
        ),
        (["kernels", "lenet"], "Received: 'lenet'"),
        (["kernels", "absent.keras"], "must be a file that exists"),
        (["kernels", "resnet50", "--mean-over", "rows"], "Received: 'rows'"),
    ],
)
def test_errors_in_the_command(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keras-wgd: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_out_is_a_file(capsys, tmp_path):
    (tmp_path / "out").write_text("mine")
    for arguments in (RUN, ["study", "--preset", "quick"]):
        assert cli.app([*arguments, "--out", str(tmp_path / "out")]) == 2
        assert "out must be a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_damaged_archive(capsys, tmp_path):
    path = tmp_path / "cifar100.npz"
    np.savez(path, **cifar_arrays())
    path.write_bytes(path.read_bytes()[:-200])
    arguments = ["run", "--dataset", "cifar100", "--data-dir", str(tmp_path)]
    assert cli.app(arguments) == 2
    assert "must be a whole NumPy archive" in capsys.readouterr().err


def test_report_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    results.write(tmp_path / "study", result_of(SPEC))
    (tmp_path / "runs.csv").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "figures").write_text("mine")
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "locked")
    for out, message in {
        "runs.csv": "out must be a folder that can be made. Received: ",
        "runs.csv/below": "out must be a folder that can be made. Received: ",
        "out": "out must be a folder that can be made. Received: ",
        "locked": "out must be a folder that can be written to. Received: ",
    }.items():
        folders = [str(tmp_path / name) for name in ("study", out)]
        assert cli.app(["report", folders[0], "--out", folders[1]]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"keras-wgd: error: {message}{tmp_path / out}")
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize("package", ["polars", "sklearn", "typer"])
def test_package_of_the_extra_not_installed(package, tmp_path):
    code = f"import sys; sys.modules[{package!r}] = None\n"
    code += "from keras_wgd.__main__ import main; sys.exit(main())"
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", code, "study", "--preset", "quick", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"keras-wgd: error: {package} is not installed")
    assert "pip install 'keras-wgd[study]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()
