"""The options in the help: kinds of values, and defaults of runs and presets."""

import dataclasses
import re
from typing import get_args

import pytest

from keras_wgd import cli, presets
from keras_wgd.cli.fields import COMMON
from keras_wgd.experiments.fields import info_of, type_of
from keras_wgd.experiments.spec import RunSpec

pytestmark = pytest.mark.any_backend

COMMANDS = ["kernels", "compare", "run", "study", "report", "bench"]


def shown(capsys, monkeypatch, *command, columns="200"):
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.app([*command, "--help"]) == 0
    return capsys.readouterr().out


def default_of(text, option):
    """The default of an option in the help."""
    (line,) = (line for line in text.splitlines() if f"│ {option} " in line)
    return re.search(r"\[default: \((.*)\)\]", line)[1]


@pytest.mark.parametrize("columns", ["80", "140"])
@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_no_python_types_in_the_help(command, columns, capsys, monkeypatch):
    text = shown(capsys, monkeypatch, *command, columns=columns)
    assert not re.search(r"<|list\[|\b(bool|str|int|float|Path)\b", text)
    assert max(map(len, text.splitlines())) <= int(columns)


def test_kinds_of_values(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, "study")
    for option in ("--epochs  N", "--learning-rate  X", "--arm  NAME", "--out  FOLDER"):
        assert re.search(option.replace("  ", " +"), text)
    assert re.search(r"--list {10,}Print", text)  # a flag has no value


# Copied by hand from the source of the presets.
BY_PRESET = {
    "--epochs": "10 in quick, cpu-sweep; 10 and 15 in cpu; 50 in paper, released",
    "--batch-size": "32",
    "--learning-rate": "0.001, 0.003 and 0.1 in quick; 0.003, 0.01 and 0.03 in cpu; "
    "0.0003 to 0.3 in cpu-sweep; 0.01 in paper, released",
    "--momentum": "0.9",
    "--set": "Keras's own",
    "--weight-decay": "0.001",
    "--epsilon": "1e-10",
    "--sampler": "shuffled in quick; weighted in cpu, cpu-sweep, paper, released",
    "--image-size": "8 in quick; 16 and 48 in cpu; 16 in cpu-sweep; "
    "224 in paper, released",
    "--stem": "the network's own",
    "--train-size": "all in quick, paper, released; 10000 and all in cpu; "
    "10000 in cpu-sweep",
    "--test-size": "all in quick, paper, released; 5000 and all in cpu; "
    "5000 in cpu-sweep",
    "--seed": "0, 1 and 2 in quick; 0 to 4 in cpu; 100 in cpu-sweep; "
    "0 in paper, released",
}


def test_defaults_of_each_preset(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, "study", columns="250")
    assert {option: default_of(text, option) for option in BY_PRESET} == BY_PRESET
    assert set(BY_PRESET) == {
        "--set" if n == "optimizer_settings" else f"--{n.replace('_', '-')}"
        for n in (*COMMON, "seed")
    }


def test_defaults_follow_the_presets(capsys, monkeypatch):
    other = presets.preset("quick").replace(epochs=7, stem="small")
    monkeypatch.setattr(presets, "PRESETS", {"other": other})
    monkeypatch.setattr(cli.fields, "PRESETS", {"other": other})
    told = {n: cli.fields.default_of_presets(n) for n in ("epochs", "stem", "seed")}
    assert (told["epochs"], told["stem"], told["seed"]) == ("7", "small", "0, 1 and 2")


def test_defaults_of_a_run(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, "run", columns="240")
    # Table 1 of the paper.
    table = {"--epochs": "50", "--batch-size": "32", "--learning-rate": "0.01"}
    table |= {"--momentum": "0.9", "--weight-decay": "0.001", "--epsilon": "1e-10"}
    table |= {"--sampler": "weighted", "--train-size": "all", "--test-size": "all"}
    table["--image-size"] = (
        "224 for animals10; 32 for cifar10, cifar100; 8 for digits; "
        "28 for fashion_mnist, mnist"
    )
    assert {option: default_of(text, option) for option in table} == table


def test_option_of_a_field():
    """Name, type and help of an option are those of the field."""
    parameters = {p.name: p for p in cli.fields.from_fields(RunSpec)}
    assert list(parameters) == [field.name for field in dataclasses.fields(RunSpec)]
    for field in dataclasses.fields(RunSpec):
        kind, option = get_args(parameters[field.name].annotation)
        values = list[str] if info_of(field).flag else type_of(field)
        assert kind == values | None
        assert option.help.startswith(info_of(field).help)
    assert cli.fields.given(RunSpec, {"epochs": 3, "seed": None, "out": "x"}) == {
        "epochs": 3
    }
