"""`keras-wgd study` on the command line."""

import errno
import json
import os
import shlex
import shutil
import signal
import time

import keras
import pytest
from support import small_study
from support.results import result_of

from keras_wgd import cli, presets
from keras_wgd.cli import studies
from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.spec import Grid, RunSpec, StudySpec
from keras_wgd.experiments.store import claim, results

pytestmark = pytest.mark.any_backend

SMALL = ["--epochs", "1", "--train-size", "64", "--test-size", "40"]
RUN = ["run", "--dataset", "digits", *SMALL]


@pytest.fixture
def tiny_study(monkeypatch):
    study = StudySpec(
        name="tiny",
        grids=(
            Grid(
                base=RunSpec(
                    dataset="digits",
                    model="resnet8",
                    optimizer="adam",
                    epochs=1,
                    train_size=64,
                    test_size=40,
                ),
                learning_rates={"adam": (1e-3,)},
                arms=("plain", "filters"),
                seeds=(0,),
            ),
        ),
    )
    monkeypatch.setitem(presets.PRESETS, "tiny", study)
    return study


@pytest.fixture
def made_up(monkeypatch):
    """Write made-up results in place of making the runs."""

    def run_all(out, specs, jobs, options):
        for spec in specs:
            yield Event("start", spec)
            result = result_of(spec, environment={"backend": keras.backend.backend()})
            results.write(out, result)
            yield Event("finish", spec, result)

    monkeypatch.setattr(runner, "run_all", run_all)


def test_study_twice(capsys, tmp_path, tiny_study):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]
    assert cli.app(arguments) == 0
    first = capsys.readouterr().out
    assert first.count("done ") == 2
    assert "WGD filters" in first
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}
    (tmp_path / "stranger").mkdir()
    assert cli.app(arguments) == 0
    again = capsys.readouterr().out
    assert "2 of 2 runs are finished already" in again
    assert "not used" in again
    assert "stranger" in again
    assert "done " not in again
    assert first.split("\nresnet8 on")[1] == again.split("\nresnet8 on")[1]
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/result.json")}
    assert cli.app([*arguments, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_study_with_a_result_of_another_backend(capsys, tmp_path, tiny_study):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path)]
    (spec, _) = tiny_study.runs()
    results.write(tmp_path, result_of(spec, environment={"backend": "another"}))
    assert cli.app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    backend = keras.backend.backend()
    assert f"out must hold runs on {backend} alone; choose" in captured.err
    assert "made on unknown" in captured.err
    assert [path.name for path in tmp_path.iterdir()] == [spec.id]


def test_damaged_run_is_made_again(capsys, tmp_path, tiny_study, made_up):
    spec = tiny_study.runs()[0]
    (results.write(tmp_path, result_of(spec)) / "result.json").write_text("{")
    study = ["study", "--preset", "tiny", "--arm", "plain", "--out", str(tmp_path)]
    run = [*RUN, "--out", str(tmp_path), "--optimizer", "adam"]
    for arguments in (study, [*run, "--learning-rate", "0.001"]):
        assert cli.app(arguments) == 0
        printed = capsys.readouterr().out
        told, made = printed.split(f"is kept as {spec.id}.damaged-1\n")
        assert told.startswith("not used: ")
        assert "result.json is damaged" in told
        assert "not used" not in made
        aside = tmp_path / f"{spec.id}.damaged-1"
        assert (aside / "result.json").read_text() == "{"
        shutil.rmtree(tmp_path / spec.id)
        aside.rename(tmp_path / spec.id)


def test_list_of_the_48_runs(capsys):
    arguments = ["study", "--preset", "paper", "--list"]
    assert cli.app(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        sum(line.strip().startswith(str(i)) for i, line in enumerate(lines, -1)) == 48
    )
    assert not any("…" in line for line in lines)
    assert cli.app([*arguments, "--json", "--shard", "2/3"]) == 0
    specs = json.loads(capsys.readouterr().out)
    assert len(specs) == 16
    assert RunSpec.from_dict(specs[0]) == presets.preset("paper").runs()[2]


def test_another_study_in_the_folder(capsys, tmp_path, tiny_study, made_up):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]
    assert cli.app([*arguments, "--arm", "plain"]) == 0
    capsys.readouterr()
    assert cli.app([*arguments, "--arm", "plain", "--epochs", "2"]) == 2
    err = capsys.readouterr().err
    assert "begun with epochs 1, now 2" in err
    assert err.count("\n") == 1
    with claim.alone(tmp_path):
        assert cli.app([*arguments, "--arm", "plain"]) == 2
    assert "no other study is using" in capsys.readouterr().err


def test_seeds_added_to_a_finished_study(capsys, tmp_path, tiny_study, made_up):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]

    def told(*seeds):
        options = [part for seed in seeds for part in ("--seed", seed)]
        assert cli.app([*arguments, *options]) == 0
        times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/result.json")}
        plan = json.loads((tmp_path / "study.json").read_text())
        return capsys.readouterr().out, times, [run["seed"] for run in plan["runs"]]

    first, kept, _ = told("0")
    assert first.count("done ") == 2
    printed, times, seeds = told("0", "1", "2")
    assert "new to the study: 4 runs of seed 1, 2\n" in printed
    assert "2 of 6 runs are finished already" in printed
    assert printed.count("done ") == 4
    assert "over 3 seeds" in printed
    assert times.items() > kept.items()  # what was finished is as it was
    assert seeds == [0, 0, 1, 1, 2, 2]
    # A part of the seeds drops none: the table is of the whole study.
    printed, again, seeds = told("1")
    assert "in the study, not asked for: 4 runs of seed 0, 2\n" in printed
    assert "2 of 2 runs are finished already" in printed
    assert "over 3 seeds" in printed
    assert (again, seeds) == (times, [0, 0, 1, 1, 2, 2])
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + 6


def test_study_ends_with_the_report_command(capsys, tmp_path, tiny_study, made_up):
    out = tmp_path / "my [runs]"
    arguments = ["study", "--preset", "tiny", "--out", str(out), "--jobs", "1"]
    assert cli.app(arguments) == 0
    *_, where, command = capsys.readouterr().out.splitlines()
    page = out / "report" / "report.html"
    assert where == f"next, for figures and tables in {page}:"
    name, *words = shlex.split(command)
    assert name == "keras-wgd"
    assert not page.exists()
    assert cli.app(words) == 0  # as it is pasted
    assert page.exists()
    capsys.readouterr()
    # Nothing but JSON is on standard output.
    assert cli.app([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 2
    assert captured.err.endswith(f"{command}\n")


def test_part_without_runs(capsys, tmp_path, tiny_study):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--json"]
    assert cli.app([*arguments, "--shard", "9/9"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert "no run is in this part of the study" in captured.err


def test_list_without_runs(capsys, tiny_study):
    arguments = ["study", "--preset", "tiny", "--list", "--shard", "2/2"]
    assert cli.app(arguments) == 0
    assert capsys.readouterr().out == "no run is in this part of the study\n"
    assert cli.app([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert captured.err == "no run is in this part of the study\n"


def test_study_in_shards(capsys, tmp_path, tiny_study, made_up):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]
    arguments += ["--seed", "0", "--seed", "1"]
    assert cli.app([*arguments, "--shard", "1/2"]) == 0
    assert capsys.readouterr().out.count("done ") == 2
    assert cli.app([*arguments, "--shard", "2/2"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("done ") == 2
    assert "WGD filters" in printed
    assert cli.app(arguments) == 0
    assert "4 of 4 runs are finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    "plant",
    [
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("elsewhere"),
        lambda path: os.mkfifo(path),
        lambda path: (os.mkfifo(path), os.open(path, os.O_RDONLY | os.O_NONBLOCK)),
    ],
    ids=["folder", "link", "pipe", "pipe that is read"],
)
def test_log_that_cannot_be_written(capsys, tmp_path, tiny_study, plant):
    plant(tmp_path / runner.LOG)
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path)]
    assert cli.app(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("keras-wgd: error: the workers' log must be a plain file")
    assert err.endswith(f"{tmp_path / runner.LOG}\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "elsewhere").exists()


def test_full_disk(capsys, tmp_path, tiny_study, monkeypatch):
    def full(*arguments):
        yield failure(None, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(runner, "run_all", full)
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path)]
    assert cli.app(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("keras-wgd: error: the disk is full; make room, and the same")
    assert err.count("\n") == 1


def test_table_that_cannot_be_written(capsys, tmp_path, tiny_study, made_up):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]
    (tmp_path / "runs.csv").mkdir()
    assert cli.app(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {"runs.csv", *(spec.id for spec in tiny_study.runs())}
    assert not any(name.startswith(".draft") for name in left)


def test_interrupted_study(tmp_path):
    out = tmp_path / "out"
    arguments = ["study", "--preset", "quick", "--out", str(out), "--jobs", "1"]
    with small_study.command(tmp_path, *arguments) as process:
        deadline = time.monotonic() + 60
        while not list(out.glob(".digits-*")):  # a run has ended an epoch
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "0 of 36 runs are finished; the same command resumes the others" in printed
    assert err == "keras-wgd: interrupted\n"
    assert results.read_all(out) == ([], [])


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        (["study", "--ray"], ["study", "--ray", "local"]),
        (["--ray", "--jobs", "2"], ["--ray", "local", "--jobs", "2"]),
        (["--ray", "ray://host:1", "-h"], ["--ray", "ray://host:1", "-h"]),
        (["--array", "x"], ["--array", "x"]),
        ([], []),
    ],
)
def test_ray_without_an_address(given, complete):
    assert studies.with_ray_address(given) == complete
