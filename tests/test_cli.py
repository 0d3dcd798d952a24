import dataclasses
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from support.runs import SPEC, cifar_arrays, result_of

from keras_wgd import cli, presets
from keras_wgd.cli import options, studies
from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.spec import Grid, RunSpec, StudySpec
from keras_wgd.experiments.store import claim, results
from keras_wgd.optimizers.means import MEANS
from keras_wgd.tasks.datasets import cifar100

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
        ([*RUN, "--optimizer", "sgd"], "sgdm, adam, nadam, radam. Received: 'sgd'"),
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
        (["run", "--dataset", "mnist"], "cifar100, digits. Received: 'mnist'"),
        (["run", "--dataset", "animals10"], "Received: no folder"),
        (["run", "--dataset", "cifar100", "--data-dir", "absent"], "is no folder"),
        (["study", "--preset", "slow", "--out", "x"], "released. Received: 'slow'"),
        (["study", "--preset", "quick"], "--out must name a folder for the results"),
        ([*QUICK, "--shard", "3/2"], "shard must be i/n"),
        ([*QUICK, "--arm", "kernels"], "plain, filters, fan_in. Received: 'kernels'"),
        ([*QUICK, "--seed", "-1"], "whole number of at least 0"),
        ([*QUICK, "--epochs", "0"], "whole number of at least 1"),
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
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keras-wgd: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_an_out_folder_that_is_a_file_is_named(capsys, tmp_path):
    (tmp_path / "out").write_text("mine")
    for arguments in (RUN, ["study", "--preset", "quick"]):
        assert cli.app([*arguments, "--out", str(tmp_path / "out")]) == 2
        assert "out must be a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_damaged_archive_is_one_line(capsys, tmp_path):
    path = tmp_path / cifar100.FILE
    np.savez(path, **cifar_arrays())
    path.write_bytes(path.read_bytes()[:-200])
    arguments = ["run", "--dataset", "cifar100", "--data-dir", str(tmp_path)]
    assert cli.app(arguments) == 2
    assert "must be a whole NumPy archive" in capsys.readouterr().err


def test_a_run_on_cifar100_prints_and_keeps_its_result(capsys, tmp_path):
    np.savez(tmp_path / cifar100.FILE, **cifar_arrays())
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
    assert (result.centred, len(result.confusion)) == (9, 100)


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


@pytest.mark.any_backend
def test_a_study_makes_its_runs_once_and_prints_its_table(capsys, tmp_path, tiny_study):
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


@pytest.fixture
def made_up(monkeypatch):
    """Runs that leave a result at once, where what they are does not matter."""

    def run_all(out, specs, jobs, options):
        for spec in specs:
            yield Event("start", spec)
            result = result_of(spec, {"backend": keras.backend.backend()})
            results.write(out, result)
            yield Event("finish", spec, result)

    monkeypatch.setattr(runner, "run_all", run_all)


def test_a_study_adopts_nothing_of_another_backend(capsys, tmp_path, tiny_study):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path)]
    (spec, _) = tiny_study.runs()
    results.write(tmp_path, result_of(spec, {"backend": "another"}))
    assert cli.app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    backend = keras.backend.backend()
    assert f"out must hold runs on {backend} alone; choose" in captured.err
    assert "made on unknown" in captured.err
    assert [path.name for path in tmp_path.iterdir()] == [spec.id]


@pytest.mark.any_backend
def test_a_damaged_run_is_told_made_again_and_kept(
    capsys, tmp_path, tiny_study, made_up
):
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


@pytest.mark.any_backend
def test_the_48_runs_are_listed(capsys):
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


@pytest.mark.any_backend
def test_another_study_in_the_folder_is_refused_by_what_differs(
    capsys, tmp_path, tiny_study, made_up
):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]
    assert cli.app([*arguments, "--arm", "plain"]) == 0
    capsys.readouterr()
    assert cli.app([*arguments, "--arm", "plain", "--epochs", "2"]) == 2
    err = capsys.readouterr().err
    assert "begun with epochs 1, now 2" in err
    assert err.count("\n") == 1
    with claim.alone(tmp_path):
        assert cli.app([*arguments, "--arm", "plain"]) == 2
    assert "no other study is at work" in capsys.readouterr().err


@pytest.mark.any_backend
def test_seeds_are_added_to_a_finished_study(capsys, tmp_path, tiny_study, made_up):
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


@pytest.mark.any_backend
def test_a_study_ends_with_the_command_for_its_report(
    capsys, tmp_path, tiny_study, made_up
):
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
def test_commands_to_paste_start_as_this_one_was_started(started, told, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(shutil, "which", {"keras-wgd": "/on/path/keras-wgd"}.get)
    assert options.program() == told


def test_a_run_that_is_kept_is_not_made_again(capsys, tmp_path):
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
    assert "no other study is at work" in capsys.readouterr().err
    path = model.parent / "result.json"
    backend = keras.backend.backend()
    path.write_text(path.read_text().replace(f'"{backend}"', '"another"'))
    assert cli.app(arguments) == 2
    assert "made on unknown" in capsys.readouterr().err


def test_a_part_without_runs_says_so_and_prints_json(capsys, tmp_path, tiny_study):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--json"]
    assert cli.app([*arguments, "--shard", "9/9"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert "no run is in this part of the study" in captured.err


def test_a_list_without_runs_says_so(capsys, tiny_study):
    arguments = ["study", "--preset", "tiny", "--list", "--shard", "2/2"]
    assert cli.app(arguments) == 0
    assert capsys.readouterr().out == "no run is in this part of the study\n"
    assert cli.app([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert captured.err == "no run is in this part of the study\n"


@pytest.mark.any_backend
def test_standard_output_may_be_closed():
    code = "import sys; sys.stdout = None\n"
    code += "from keras_wgd.__main__ import main; sys.exit(main())"
    arguments = ["study", "--preset", "quick", "--list"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.any_backend
def test_shards_make_the_study_together(capsys, tmp_path, tiny_study, made_up):
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


@pytest.mark.any_backend
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
def test_a_log_that_cannot_be_written_is_one_line(capsys, tmp_path, tiny_study, plant):
    plant(tmp_path / runner.LOG)
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path)]
    assert cli.app(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("keras-wgd: error: the workers' log must be a plain file")
    assert err.endswith(f"{tmp_path / runner.LOG}\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.any_backend
def test_a_full_disk_is_one_line_and_says_how_to_go_on(
    capsys, tmp_path, tiny_study, monkeypatch
):
    def full(*arguments):
        yield failure(None, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(runner, "run_all", full)
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path)]
    assert cli.app(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("keras-wgd: error: the disk is full; make room, and the same")
    assert err.count("\n") == 1


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
def test_ray_without_an_address_is_a_local_cluster(given, complete):
    assert studies.with_ray_address(given) == complete


@pytest.mark.any_backend
def test_a_report_of_several_folders(capsys, tmp_path):
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


@pytest.mark.any_backend
def test_a_report_without_room_is_refused_before_its_tables(
    capsys, tmp_path, monkeypatch
):
    (tmp_path / "study").mkdir()
    results.write(tmp_path / "study", result_of())
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


def test_kernels_shows_a_model_of_ones_own(capsys, tmp_path):
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
    assert [v["centred"] for v in told["variables"]] == [True, False, False, False]


def command(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "keras_wgd", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.any_backend
def test_no_number_is_cut_in_a_narrow_terminal(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.app(RUN) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert len([line for line in printed.splitlines() if "RAdam" in line]) == 1


@pytest.mark.any_backend
def test_a_table_that_cannot_be_written_is_one_line(
    capsys, tmp_path, tiny_study, made_up
):
    arguments = ["study", "--preset", "tiny", "--out", str(tmp_path), "--jobs", "1"]
    (tmp_path / "runs.csv").mkdir()
    assert cli.app(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {"runs.csv", *(spec.id for spec in tiny_study.runs())}
    assert not any(name.startswith(".draft") for name in left)


@pytest.mark.any_backend
def test_no_command_at_all_shows_the_help(capsys):
    assert cli.app([]) == 2
    captured = capsys.readouterr()
    assert "Usage" in captured.out + captured.err
    assert "error" not in captured.err


@pytest.mark.any_backend
def test_help_does_not_wait_for_keras_and_a_wrong_backend_is_one_line():
    with command("--help", KERAS_BACKEND="nothing") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "study" in out
    listed = ["study", "--preset", "quick", "--list"]
    with command(*listed, PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "36" in out
    with command(*RUN, KERAS_BACKEND="nothing") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("keras-wgd: error: backend must be one of tensorflow, jax")
    assert err.count("\n") == 1


@pytest.mark.any_backend
@pytest.mark.parametrize("package", ["polars", "sklearn", "typer"])
def test_a_part_of_the_extra_that_is_absent_is_named(package, tmp_path):
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


@pytest.mark.any_backend
def test_an_interrupted_study_says_how_to_go_on(tmp_path):
    arguments = ["study", "--preset", "quick", "--out", str(tmp_path), "--jobs", "1"]
    with command(*arguments) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".digits-*")):  # a run has ended an epoch
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "0 of 36 runs are finished; the same command goes on from there" in out
    assert err == "keras-wgd: interrupted\n"
    assert results.read_all(tmp_path) == ([], [])
