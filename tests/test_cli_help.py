"""Help, examples, completion and dry runs of the command line."""

import json
import os
import re
import subprocess
import sys

import pytest
from support.results import result_of

import keras_wgd
from keras_wgd import cli, presets
from keras_wgd.cli.help import EXAMPLES
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results

pytestmark = pytest.mark.any_backend

QUICK = ["study", "--preset", "quick", "--seed", "0"]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "keras_wgd", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm", **environment},
    )


def test_every_command_has_examples():
    assert {command.name or command.callback.__name__ for command in commands()} == set(
        EXAMPLES
    )


def commands():
    return cli.cli.registered_commands


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_in_the_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.app([command, "--help"]) == 0
    shown = capsys.readouterr().out.partition("Examples")[2]
    lines, examples = (
        [line.strip() for line in text.strip().split("\n")]
        for text in (shown, EXAMPLES[command])
    )
    assert lines == examples
    # The tests of the docs check that these are commands with existing options.
    commands = EXAMPLES[command].replace("\\\n", "").splitlines()
    assert {line.split()[0] for line in commands if line} == {"#", "keras-wgd"}
    assert {line.split()[1] for line in commands if line[:1] == "k"} == {command}


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("keras-wgd st", ["study"]),
        ("keras-wgd run --optimizer ", ["sgdm", "adam", "nadam", "radam"]),
        ("keras-wgd study --preset cpu", ["cpu", "cpu-sweep"]),
        ("keras-wgd kernels --mean-over f", ["filters", "fan_in"]),
        ("keras-wgd run --backend j", ["jax"]),
    ],
)
def test_shell_completion(words, completed, capsys, monkeypatch):
    monkeypatch.setenv("_KERAS_WGD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert cli.app([]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.split() == completed


def test_version(capsys):
    assert cli.app(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-wgd {keras_wgd.__version__}\n"


COLOR = re.compile(r"\x1b\[(\d+;)*[39]\d(;\d+)*m")


@pytest.mark.parametrize("arguments", [["--help"], [*QUICK, "--list"]])
def test_colors(arguments):
    assert "\x1b" not in run(*arguments, FORCE_COLOR="").stdout
    shown = run(*arguments, FORCE_COLOR="1", NO_COLOR="1")
    assert shown.returncode == 0
    assert not COLOR.search(shown.stdout)
    if arguments == ["--help"]:
        assert COLOR.search(run(*arguments, FORCE_COLOR="1", NO_COLOR="").stdout)


def test_dry_run(tmp_path, capsys):
    out = tmp_path / "out"
    dry = [*QUICK, "--out", str(out), "--dry-run"]
    assert cli.app(dry) == 0
    assert "12 runs: 12 waiting" in capsys.readouterr().out
    assert not out.exists()
    backend = os.environ["KERAS_BACKEND"]
    specs = presets.preset("quick").replace((0,)).runs()
    out.mkdir()
    results.write(out, result_of(specs[0], environment={"backend": backend}))
    results.draft_of(out, specs[2]).mkdir()
    before = sorted(path.name for path in out.rglob("*"))
    assert cli.app(dry) == 0
    printed = capsys.readouterr().out
    assert "12 runs: 1 finished, 10 waiting, 1 begun" in printed
    assert cli.app([*dry, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    states = [run.pop("state") for run in told]
    assert states == ["finished", "waiting", "begun", *["waiting"] * 9]
    assert list(map(RunSpec.from_dict, told)) == specs
    assert sorted(path.name for path in out.rglob("*")) == before


def test_dry_run_with_errors(tmp_path, capsys):
    paper = ["study", "--preset", "paper", "--data-dir", str(tmp_path), "--dry-run"]
    assert cli.app([*paper, "--out", str(tmp_path / "out")]) == 2
    assert "Received: " in capsys.readouterr().err
    plan = {"backend": os.environ["KERAS_BACKEND"], "runs": []}
    plan["runs"] = [spec.to_dict() for spec in presets.preset("quick").runs()]
    (tmp_path / "study.json").write_text(json.dumps(plan))
    quick = [*QUICK, "--out", str(tmp_path), "--dry-run"]
    assert cli.app([*quick, "--epochs", "3"]) == 2
    assert "begun with epochs 10, now 3" in capsys.readouterr().err
    assert cli.app([*quick, "--seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert "new to the study: 12 runs of seed 7\n" in printed
    assert "in the study, not asked for: 24 runs of seed 1, 2\n" in printed
    assert json.loads((tmp_path / "study.json").read_text()) == plan
    out = tmp_path / "linked"
    out.mkdir()
    spec = presets.preset("quick").replace((0,)).runs()[0]
    results.draft_of(out, spec).symlink_to(tmp_path)
    assert cli.app([*QUICK, "--out", str(out), "--dry-run"]) == 2
    assert "the folders of its runs itself" in capsys.readouterr().err
