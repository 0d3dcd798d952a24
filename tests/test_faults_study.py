"""Studies and runs that are stopped or run out of memory, and a clock that jumps."""

import contextlib
import dataclasses
import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from support.runs import ARMS
from support.small_study import build, command, options

from keras_wgd import cli, files
from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.launch.events import failure
from keras_wgd.experiments.store import claim, results
from keras_wgd.experiments.training import train
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.tasks import datasets, models

BACKEND = keras.backend.backend()
SAME = ("metrics", "curves", "confusion", "norm_ratios", "centered")
SIZES = {"epochs": 20, "train_size": 32, "test_size": 20, "batch_size": 16}
SPEC = dataclasses.replace(ARMS["filters"], **SIZES)


def assert_same(a, b):
    for name in SAME:
        assert getattr(a, name) == getattr(b, name), name


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "build", build)
        yield


@pytest.fixture(scope="module")
def whole(small):
    data = datasets.load("digits", None, SPEC.train_size, SPEC.test_size)
    return train.train(SPEC, StudyTask(data))


def wait_for_epochs(out, process, epochs):
    """Wait until the current run has kept this many epochs."""
    deadline = time.monotonic() + 60
    kept = 0
    while kept < epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
        names = [path.stem for path in out.glob(".digits-*/weights-*.npz")]
        kept = max((int(name.partition("-")[2]) for name in names), default=0)


def in_group(group):
    """The processes of a group that have not ended, from /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its, *_ = path.read_text().rpartition(")")[2].split()
            if int(its) == group and state not in "ZX":
                found.append((path.parent / "cmdline").read_text())
    return found


STUDY = ["study", "--preset", "quick", "--jobs", "1", "--optimizer", "adam"]
STUDY += ["--arm", "filters", "--sampler", "weighted"]
STUDY += options({"seed": 0, "learning_rate": 1e-3, **SIZES})


@pytest.mark.slow
@pytest.mark.any_backend
def test_resume_after_sigterm(tmp_path, whole):
    """SIGTERM to the process alone, and to its group, as by a supervisor."""
    out = tmp_path / "out"
    arguments = [*STUDY, "--out", str(out)]
    for epochs, send in ((1, os.kill), (4, os.killpg)):
        with command(tmp_path, *arguments) as process:
            wait_for_epochs(out, process, epochs)
            for folder in out.glob(".digits-*"):  # as if a file were being written
                (folder / f"{files.DRAFT}0-progress.json").touch()
            send(process.pid, signal.SIGTERM)
            told, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (143, "keras-wgd: stopped by SIGTERM\n")
        assert "0 of 1 runs are finished; the same command resumes the others" in told
        assert "failed" not in told
        deadline = time.monotonic() + 10
        while left := in_group(process.pid):  # Python's own tracker ends last
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert results.read_all(out) == ([], [])
        assert not list(out.rglob(f"{files.DRAFT}*"))
    told = []
    resumed = train.make(out, SPEC, on_epoch=lambda epoch, *_: told.append(epoch))
    assert told == list(range(1, SPEC.epochs + 1))
    assert_same(resumed, whole)


@pytest.mark.slow
def test_resume_of_a_run_after_sigterm(tmp_path, capsys, whole):
    """SIGTERM arrives while the backend trains."""
    out = tmp_path / "out"
    arguments = ["run", "--out", str(out), *options(SPEC.to_dict())]
    with command(tmp_path, *arguments) as process:
        wait_for_epochs(out, process, 2)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.endswith("keras-wgd: stopped by SIGTERM\n")
    assert "Traceback" not in err
    assert results.read_all(out) == ([], [])
    assert cli.app([*arguments, "--json"]) == 0
    resumed = json.loads(capsys.readouterr().out)
    for name in ("metrics", "curves", "norm_ratios"):
        assert resumed[name] == getattr(whole, name)


RUN = ["run", "--dataset", "digits", "--epochs", "1", "--train-size", "64"]


@pytest.mark.any_backend
@pytest.mark.parametrize("status", [None, 15])
def test_sigterm_in_a_run(monkeypatch, tmp_path, capsys, status):
    """The signal itself, or the exit that Ray makes of it."""

    def make(*arguments):
        if status is None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        sys.exit(status)

    monkeypatch.setattr(train, "make", make)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.app(RUN) == 143
    assert capsys.readouterr().err == "keras-wgd: stopped by SIGTERM\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.any_backend
def test_second_sigterm(monkeypatch, tmp_path):
    done = []

    def make(*arguments):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            done.append(True)

    monkeypatch.setattr(train, "make", make)
    assert cli.app(RUN) == 143
    assert done == [True]


class Closing:
    """Its destructor, in which Python ignores errors, sends SIGTERM."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


@pytest.mark.any_backend
def test_sigterm_in_a_destructor(monkeypatch, capsys):
    def make(*arguments):
        Closing()
        time.sleep(10)
        return "not ended"

    monkeypatch.setattr(train, "make", make)
    hook = sys.unraisablehook
    assert cli.app(RUN) == 143
    assert capsys.readouterr().err == "keras-wgd: stopped by SIGTERM\n"
    assert sys.unraisablehook is hook


@pytest.mark.any_backend
def test_sigterm_in_a_destructor_at_the_end():
    late = []
    before = signal.signal(signal.SIGTERM, lambda *_: late.append(True))
    try:
        with contextlib.suppress(SystemExit), cli._sigterm_as_exit():
            Closing()
        time.sleep(0.05)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert late == []


class Failing:
    def __del__(self):
        raise ValueError("ignored")


@pytest.mark.any_backend
def test_other_errors_in_a_destructor(monkeypatch):
    told = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda ignored: told.append(ignored.exc_type)
    )
    with cli._sigterm_as_exit():
        Failing()
    assert told == [ValueError]


class Unsendable(Exception):
    """An error that cannot be unpickled, as in some libraries."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def hungry(out, spec, options):
    """Make a run in a worker whose memory is limited to what it has."""
    models.build = build
    if spec.seed == 1:
        return _real_run(out, spec, options)
    real = train.make
    if spec.seed == 0:

        def make(*arguments, **options):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            limit = pages * resource.getpagesize() + 2**26
            resource.setrlimit(resource.RLIMIT_AS, (limit, most))
            try:
                return np.ones(2**24)  # twice as much
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (most, most))
    else:

        def make(*arguments, **options):
            raise Unsendable("first", "second")

    train.make = make
    try:
        return _real_run(out, spec, options)
    finally:
        train.make = real


_real_run = runner._run


@pytest.mark.any_backend
def test_run_out_of_memory_among_others(tmp_path, monkeypatch):
    """Also a run whose error cannot be sent to another process."""
    monkeypatch.setattr(runner, "_run", hungry)
    runs = [dataclasses.replace(SPEC, seed=seed, epochs=1) for seed in (0, 2, 1)]
    events = list(runner.run_all(tmp_path, runs, jobs=1))
    failed = {event.spec.seed: event.detail for event in events if event.kind == "fail"}
    assert sorted(failed) == [0, 2]
    assert failed[0].startswith("memory ran out (")
    assert "Unable to allocate 128. MiB" in failed[0]
    assert failed[2] == "Unsendable: first and second"
    (found,), problems = results.read_all(tmp_path)
    assert (found.spec, problems) == (runs[2], [])
    assert [event.kind for event in events].count("start") == 3
    # With enough memory the study can be resumed.
    monkeypatch.undo()
    (_, waiting) = runner.split(tmp_path, runs)
    assert waiting == runs[:2]


def torch_error():
    import torch

    torch.empty(2**60, dtype=torch.uint8)


def jax_error():
    import jax

    jax.numpy.zeros(2**45, "uint8").block_until_ready()


def tensorflow_error():
    import tensorflow as tf

    tf.zeros((2**30, 2**20))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: np.ones(2**60, "uint8"),
        lambda: bytearray(2**62),
        {"torch": torch_error, "jax": jax_error, "tensorflow": tensorflow_error}[
            BACKEND
        ],
    ],
    ids=["NumPy", "Python", BACKEND],
)
def test_out_of_memory(monkeypatch, capsys, tmp_path, ask):
    try:
        ask()
    except Exception as error:
        told = failure(SPEC, error).detail
    assert told.startswith("memory ran out (")
    monkeypatch.setattr(train, "make", lambda *arguments: ask())
    assert cli.app([*RUN, "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("keras-wgd: error: memory ran out; smaller batches")
    assert err.count("\n") == 1


@pytest.mark.any_backend
@pytest.mark.parametrize("error", [ValueError("mistaken"), OSError(5, "no memory")])
def test_errors_that_are_not_out_of_memory(error):
    detail = failure(SPEC, error).detail
    assert detail == f"{type(error).__name__}: {error}"


@pytest.mark.any_backend
def test_clock_that_jumps(monkeypatch, tmp_path, whole):
    """Durations and locks do not depend on the clock."""
    jumps = itertools.cycle([-3600.0, 1e8, -1e9, 0.0])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    start = time.monotonic()
    with claim.claim(tmp_path, [SPEC], BACKEND):
        result = train.make(tmp_path, SPEC)
        assert 0 < sum(result.seconds) < time.monotonic() - start
        assert min(result.seconds) > 0
        with (
            pytest.raises(ValueError, match="no other study is using"),
            claim.claim(tmp_path, [SPEC], BACKEND),
        ):
            pass
    assert_same(result, whole)
    assert results.is_finished(tmp_path, SPEC)
