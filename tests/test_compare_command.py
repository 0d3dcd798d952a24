"""`keras-wgd compare`: from a task file or options to the arguments of `compare`."""

import json
import sys
import types

import keras
import numpy as np
import polars as pl
import pytest
from support.images import write_classes

from keras_wgd import WGD, cli

TASK = """
import keras
from keras import metrics as _metrics, optimizers as keras_optimizers
from keras.layers import Dense

print("made")
x_train = [[0.0], [1.0]]

def build_model():
    return keras.Sequential([keras.Input((1,)), Dense(1)])

optimizers = {"adam": lambda: keras_optimizers.Adam(), "sgd": "sgd"}
train = (x_train, [0.0, 1.0])
loss = "mse"
monitor = "loss"
epochs = 3
seeds = [4, 5]
"""


class FakeComparison:
    def __init__(self, arguments):
        arms = list(arguments["optimizers"])
        self.verdicts = dict.fromkeys(arms[1:], "undecided")
        self.runs = pl.DataFrame(
            {"arm": arms, "value": [0.5, float("nan"), 1.0][: len(arms)]}
        )
        self.warnings, self.failures = ["one"], {}
        self.stopped, self.learning_rates = "seeds", {}

    def table(self):
        return self.runs

    def report(self, path):
        path.write_text("page")
        return path

    def __str__(self):
        return f"verdicts: {self.verdicts}"


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each call of a stand-in for `compare`."""
    made = []

    def compare(
        build_model,
        optimizers,
        *,
        train,
        validation=None,
        loss=None,
        metrics=None,
        monitor="val_accuracy",
        tail=0.3,
        epochs=1,
        batch_size=32,
        seeds=10,
        budget=None,
        margin=None,
        sequential=True,
        learning_rates=None,
        dtype_policy=None,
        out=None,
        jobs=1,
        ray=None,
        devices=1,
        progress=True,
    ):
        print("comparing")
        made.append(locals())
        return FakeComparison(made[-1])

    module = types.ModuleType("keras_wgd.comparison")
    module.compare = compare
    monkeypatch.setitem(sys.modules, "keras_wgd.comparison", module)
    return made


@pytest.fixture
def photos(tmp_path):
    return str(write_classes(tmp_path / "photos", {"cat": 5, "dog": 5}, (32, 32)))


def write(folder, text, name="task.py"):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_task_in_a_file(calls, tmp_path, capsys):
    task = write(tmp_path, TASK)
    out = tmp_path / "out"
    options = ["--seeds", "6", "--budget", "30m", "--jobs", "2", "--margin", "0.5"]
    assert cli.app(["compare", task, *options, "--all-seeds", "--out", str(out)]) == 0
    (call,) = calls
    assert (call["epochs"], call["monitor"], call["loss"]) == (3, "loss", "mse")
    assert (call["seeds"], call["budget"], call["jobs"]) == (6, "30m", 2)
    assert (call["margin"], call["sequential"], call["out"]) == (0.5, False, out)
    assert isinstance(call["build_model"](), keras.Model)
    assert type(call["optimizers"]["adam"]()) is type(keras.optimizers.get("adam"))
    printed = capsys.readouterr().out
    assert "made\ncomparing\nverdicts: {'sgd': 'undecided'}\n" in printed
    page = out / "report" / "report.html"
    assert f"report: {page}" in printed.replace("\n", "")
    assert page.read_text() == "page"


def test_json_alone_is_on_standard_output(calls, tmp_path, capsys):
    assert cli.app(["compare", write(tmp_path, TASK), "--json"]) == 0
    captured = capsys.readouterr()
    (told,) = json.loads(captured.out)
    assert told["verdicts"] == {"sgd": "undecided"}
    assert told["table"] == [
        {"arm": "adam", "value": 0.5},
        {"arm": "sgd", "value": None},
    ]
    assert (told["warnings"], told["failures"]) == (["one"], {})
    assert (told["name"], told["report"]) == (None, None)
    assert captured.err == "made\ncomparing\n"


def test_images_and_a_network(calls, photos, capsys):
    command = ["compare", "--images", photos, "--model", "mobilenetv2"]
    assert cli.app([*command, "--optimizer", "sgd", "--set", "momentum=0.5"]) == 0
    (call,) = calls
    assert list(call["optimizers"]) == ["sgd", "sgd-fan_in"]
    assert call["optimizers"]["sgd"]().momentum == 0.5
    wrapped = call["optimizers"]["sgd-fan_in"]()
    assert type(wrapped) is WGD
    assert (wrapped.mean_over, wrapped.momentum) == ("fan_in", 0.5)
    assert (call["epochs"], call["out"]) == (10, None)
    (x, y), (x_val, y_val) = call["train"], call["validation"]
    assert x.shape == (8, 32, 32, 3)
    assert x_val.shape == (2, 32, 32, 3)
    assert (y.tolist(), y_val.tolist()) == ([0] * 4 + [1] * 4, [0, 1])
    model = call["build_model"]()
    assert model.output_shape == (None, 2)
    model.compile(wrapped, loss=call["loss"], metrics=call["metrics"])
    kept = model.fit(x, y, validation_data=(x_val, y_val), verbose=0).history
    assert np.isfinite(kept["val_accuracy"]).all()


def test_a_comparison_for_each_optimizer(calls, photos, tmp_path, capsys):
    command = ["compare", "--images", photos, "--model", "resnet8", "--json"]
    command += ["--optimizer", "adam", "--optimizer", "sgd", "--mean-over", "filters"]
    command += ["--set", "sgd.momentum=0.5", "--out", str(tmp_path / "out")]
    command += ["--learning-rate", "0.1", "--learning-rate", "0.01"]
    assert cli.app([*command, "--mean-over", "fan_in"]) == 0
    assert [list(call["optimizers"]) for call in calls] == [
        ["adam", "adam-filters", "adam-fan_in"],
        ["sgd", "sgd-filters", "sgd-fan_in"],
    ]
    assert [call["out"] for call in calls] == [
        tmp_path / "out" / "adam",
        tmp_path / "out" / "sgd",
    ]
    assert calls[0]["learning_rates"] == {
        name: [0.1, 0.01] for name in ("adam", "adam-filters", "adam-fan_in")
    }
    assert calls[1]["optimizers"]["sgd"]().momentum == 0.5
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told] == ["adam", "sgd"]


@pytest.mark.any_backend
def test_optimizers_with_each_other(calls):
    command = ["compare", "--dataset", "digits", "--model", "resnet8"]
    command += ["--train-size", "40", "--test-size", "20", "--image-size", "16"]
    assert cli.app([*command, "--optimizer", "adam", "--optimizer", "lion"]) == 0
    (call,) = calls
    assert list(call["optimizers"]) == ["adam", "lion"]
    assert call["train"][0].shape == (40, 16, 16, 1)
    assert len(call["validation"][1]) == 20


@pytest.mark.any_backend
def test_files_that_are_left_out_are_named(calls, photos, tmp_path, capsys):
    (tmp_path / "photos" / "cat" / "bad.png").write_bytes(b"text")
    assert cli.app(["compare", "--images", photos, "--model", "resnet8"]) == 0
    assert "not used: photos/cat/bad.png is skipped" in capsys.readouterr().out


@pytest.mark.any_backend
def test_failed_runs(calls, tmp_path, monkeypatch):
    monkeypatch.setattr(
        FakeComparison, "table", lambda self: self.failures.update(sgd="x") or self.runs
    )
    assert cli.app(["compare", write(tmp_path, TASK)]) == 1


@pytest.mark.any_backend
def test_interrupted(calls, photos, monkeypatch, capsys):
    monkeypatch.setattr(
        FakeComparison,
        "__str__",
        lambda self: setattr(self, "stopped", "interrupted") or "so far",
    )
    command = ["compare", "--images", photos, "--model", "resnet8"]
    command += ["--optimizer", "adam", "--optimizer", "sgd", "--mean-over", "filters"]
    assert cli.app(command) == 130
    captured = capsys.readouterr()
    assert "so far" in captured.out
    assert captured.err == "keras-wgd: interrupted\n"
    assert len(calls) == 1


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{TASK}\nepoch = 3\ndel epochs", "'epoch'. Did you mean 'epochs'?"),
        (f"{TASK}\nMargin = 3", "'Margin'. Did you mean 'margin'?"),
        (TASK.replace("optimizers =", "optimizer ="), "'optimizer'. Did you mean"),
        (
            f"{TASK}\ndel train, optimizers\nfrom keras import optimizers",
            "must define optimizers, train. Received: build_model, ",
        ),
        ("x = 3", "define build_model, optimizers, train. Received: no argument"),
        ("x =", "task.py, line 1: SyntaxError"),
        ("def f():\n  raise KeyError('a\\nb')\n\nf()", "task.py, line 2: KeyError"),
        ("import keras_wgd.nothing", "ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "line 1: SystemExit: 3"),
    ],
)
def test_task_files_that_are_refused(text, message, calls, tmp_path, capsys):
    assert cli.app(["compare", write(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") - error.count("made\n") == 1
    assert "Received: " in error
    assert calls == []


@pytest.mark.any_backend
def test_names_that_are_no_arguments_are_ignored(calls, tmp_path):
    more = "\nepoch = 1\nx_val = y = metric_names = lr = model = None\n_seed = 3"
    assert cli.app(["compare", write(tmp_path, TASK + more)]) == 0
    assert len(calls) == 1


@pytest.mark.any_backend
def test_task_file_uses_its_folder_and_dataclasses(calls, tmp_path):
    write(tmp_path, "rate = 0.25", "neighbour_of_the_task.py")
    task = TASK + (
        "\nimport dataclasses, sys\nfrom neighbour_of_the_task import rate as tail\n"
        "@dataclasses.dataclass\nclass Mine:\n    x: 'int' = 3\n"
        "assert __file__.endswith('mine.py')\n"
    )
    before = set(sys.modules)
    assert cli.app(["compare", write(tmp_path, task, "mine.py")]) == 0
    assert calls[0]["tail"] == 0.25
    assert "mine" not in set(sys.modules) - before


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--images FOLDER or --dataset NAME. Received: none"),
        (["--images", "x", "--dataset", "digits"], "Received: both options"),
        (["absent.py"], "must be a Python file. Received: absent.py (No such file"),
        (["x.py", "--model", "resnet8", "--set", "a=1"], "x.py and --model, --set"),
        (["--images", "absent", "--model", "resnet8"], "absent, which does not exist"),
        (["--images", "", "--model", "resnet8"], "must name a folder"),
        (["--dataset", "digit", "--model", "resnet8"], "Did you mean 'digits'?"),
        (["--dataset", "digits"], "--model must name a network, or --weights"),
        (["--dataset", "digits", "--model", "resnet"], "Received: 'resnet'. Did you"),
        (["--dataset", "digits", "--weights", "x.keras"], "a file that exists"),
        (["--dataset", "digits", "--model", "mobilenetv2"], "--image-size"),
        (["--dataset", "digits", "--mean-over", "rows"], "Received: 'rows'"),
        (["--dataset", "digits", "--placement", "x"], "Received: 'x'"),
        (
            ["--dataset", "digits", "--model", "resnet8", "--optimizer", "adm"],
            "Did you mean 'adam'?",
        ),
        (
            ["--dataset", "digits", "--model", "resnet8", "--set", "weight_decy=1"],
            "Did you mean 'weight_decay'?",
        ),
    ],
)
def test_options_that_are_refused(
    arguments, message, calls, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.app(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("keras-wgd: error: ")
    assert captured.err.count("\n") == 1
    assert calls == []
