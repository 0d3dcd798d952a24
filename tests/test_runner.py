import concurrent.futures as futures
import dataclasses
import errno
import json
import multiprocessing
import os
import queue
import random
import signal
import subprocess
import sys
import time

import pytest
from support.runs import RUNS

from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.store import results


@pytest.mark.any_backend
def kinds(events):
    return [event.kind for event in events]


def test_run_all_with_a_failing_run(tmp_path):
    bad = dataclasses.replace(RUNS[0], model="no_such_model")
    events = list(runner.run_all(tmp_path, [bad, *RUNS[:2]], jobs=2))
    assert sorted(kinds(events)) == sorted(
        ["start"] * 3 + ["epoch"] * 2 + ["finish"] * 2 + ["fail"]
    )
    (failure,) = (event for event in events if event.kind == "fail")
    assert failure.spec == bad
    assert "model must be one of" in failure.detail
    found, problems = results.read_all(tmp_path)
    assert {result.spec for result in found} == set(RUNS[:2])
    assert problems == []
    assert runner.split(tmp_path, RUNS) == (RUNS[:2], RUNS[2:])


# As on the command line, the parent process does not import Keras.
STUDY = """
import json
from pathlib import Path
from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.spec import RunSpec

if __name__ == "__main__":
    out = Path({out!r})
    specs = [RunSpec.from_dict(fields) for fields in json.loads({specs!r})]
    for event in runner.run_all(out, runner.split(out, specs)[1], jobs=1):
        print(event.kind, flush=True)
"""


def started_study(tmp_path, specs):
    script = tmp_path / "study.py"
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    fields = json.dumps([spec.to_dict() for spec in specs])
    script.write_text(STUDY.format(out=str(out), specs=fields))
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    )
    return process, out


LONG = [dataclasses.replace(spec, epochs=40) for spec in RUNS[:2]]
KILLS = 20


@pytest.mark.slow
@pytest.mark.any_backend
def test_resume_after_many_kills(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    list(runner.run_all(undisturbed, LONG, jobs=1))
    moments = random.Random(0)
    epochs = 0
    for kill in range(KILLS):
        process, out = started_study(tmp_path, LONG)
        with process:
            # Some kills come before the training, the others in it.
            wanted, most = (("start", 3), ("epoch", 1))[kill % 2]
            while (line := process.stdout.readline()) and line.strip() != wanted:
                pass
            time.sleep(moments.uniform(0, most) if line else 0)
            process.send_signal(signal.SIGKILL)
            epochs += process.communicate(timeout=60)[0].count("epoch")
    assert epochs > 0
    list(runner.run_all(out, runner.split(out, LONG)[1], jobs=1))
    for spec in LONG:
        a, b = (
            results.read(results.path_of(folder, spec)) for folder in (undisturbed, out)
        )
        for name in ("metrics", "curves", "confusion", "norm_ratios"):
            assert getattr(a, name) == getattr(b, name)
    left = {path.name for path in out.iterdir() if not path.name.startswith(".j")}
    assert left == {runner.LOG, *(spec.id for spec in LONG)}


@pytest.mark.any_backend
def test_full_disk_ends_the_study():
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        failure(RUNS[0], full)
    event = failure(RUNS[0], ValueError("mistaken"))
    assert event == Event("fail", RUNS[0], "ValueError: mistaken")


@pytest.mark.any_backend
def test_events_after_the_end_are_dropped():
    late, other = Event("epoch", RUNS[0]), Event("epoch", RUNS[1])
    events = queue.Queue()
    tasks = {futures.Future(): spec for spec in RUNS[:2]}
    first, second = tasks
    heard = runner._follow(events, tasks)
    first.set_result("result")
    assert next(heard) == Event("finish", RUNS[0], "result")
    events.put(late)
    events.put(other)
    second.set_result("result")
    assert list(heard) == [other, Event("finish", RUNS[1], "result")]


def killing(events, times):
    """Kill the workers at the start of a run, as often as `times` says."""
    for event in events:
        yield event
        if event.kind == "start" and times.get(event.spec, 0):
            times[event.spec] -= 1
            for worker in multiprocessing.active_children():
                worker.kill()


@pytest.mark.slow
@pytest.mark.any_backend
def test_run_that_kills_its_worker(tmp_path):
    culprit, unlucky, *_ = RUNS[:3]
    events = runner.run_all(tmp_path, RUNS[:3], jobs=2)
    events = list(killing(events, {culprit: 2, unlucky: 1}))
    failed = [event for event in events if event.kind == "fail"]
    assert [(event.spec, event.detail) for event in failed] == [
        (culprit, "its process was killed")
    ]
    assert kinds(events).count("finish") == 2
    assert runner.split(tmp_path, RUNS[:3]) == (RUNS[1:3], [culprit])


@pytest.mark.any_backend
@pytest.mark.parametrize("count", [1, 2])
def test_workers_that_cannot_start(tmp_path, monkeypatch, count):
    monkeypatch.setattr(runner, "_start_worker", int)  # not of these arguments
    with pytest.raises(ChildProcessError, match=r"can start.*\.workers\.log"):
        list(runner.run_all(tmp_path, RUNS[:count], jobs=2))


@pytest.mark.any_backend
def test_closing_the_generator_ends_the_workers(tmp_path):
    events = runner.run_all(tmp_path, RUNS, jobs=1)
    assert next(events).kind == "start"
    assert multiprocessing.active_children()
    events.close()
    assert not multiprocessing.active_children()
    assert results.read_all(tmp_path) == ([], [])
    assert not list(tmp_path.glob("*/result.json"))


def test_worker_makes_the_run_of_this_process(tmp_path, monkeypatch):
    """It has one thread: the cores are divided by jobs, not by runs that are left."""
    from keras_wgd.experiments.training.study import StudyTask
    from keras_wgd.experiments.training.train import train
    from keras_wgd.tasks import datasets

    spec = RUNS[1]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    list(runner.run_all(tmp_path, [spec], jobs=os.cpu_count() or 1))
    result = results.read(results.path_of(tmp_path, spec))
    data = datasets.load("digits", None, spec.train_size, spec.test_size)
    here = train(spec, StudyTask(data))
    assert result.environment["threads"] == "1"
    assert result.metrics == pytest.approx(here.metrics, abs=1e-6)
