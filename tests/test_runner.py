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
from support.runs import RUNS, SPEC

from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.launch.events import Event, failure
from keras_wgd.experiments.store import results


def kinds(events):
    return [event.kind for event in events]


def test_runs_are_made_once_and_failures_stop_nobody(tmp_path):
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


# Without Keras in the parent process, as the command line has it.
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


@pytest.mark.any_backend
def test_a_study_that_is_killed_leaves_whole_results_and_goes_on(tmp_path):
    process, out = started_study(tmp_path, RUNS)
    with process:
        for line in process.stdout:
            if line.strip() == "finish":
                break
        process.send_signal(signal.SIGKILL)
        # The worker has the same standard output: it ends when both are gone.
        process.communicate(timeout=60)
    found, problems = results.read_all(out)
    assert problems == []
    assert 1 <= len(found) < len(RUNS)
    finished, waiting = runner.split(out, RUNS)
    assert len(finished) == len(found)
    again = list(runner.run_all(out, waiting, jobs=1))
    assert {event.spec for event in again} == set(waiting)
    assert runner.split(out, RUNS) == (RUNS, [])


LONG = [dataclasses.replace(spec, epochs=40) for spec in RUNS[:2]]
KILLS = 20


@pytest.mark.slow
@pytest.mark.any_backend
def test_a_study_killed_many_times_ends_as_one_that_was_not(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    list(runner.run_all(undisturbed, LONG, jobs=1))
    moments = random.Random(0)
    epochs = 0
    for kill in range(KILLS):
        process, out = started_study(tmp_path, LONG)
        with process:
            # Some of them while a run is made ready, one while it trains.
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
def test_a_full_disk_ends_the_study_and_not_the_run_alone():
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        failure(RUNS[0], full)
    event = failure(RUNS[0], ValueError("mistaken"))
    assert event == Event("fail", RUNS[0], "ValueError: mistaken")


@pytest.mark.any_backend
def test_what_a_run_says_after_its_end_is_not_heard():
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


@pytest.mark.any_backend
def test_fewer_runs_than_jobs_get_no_more_threads(tmp_path, monkeypatch):
    """Sums in another order would end in other numbers."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    list(runner.run_all(tmp_path, RUNS[:1], jobs=os.cpu_count() or 1))
    result = results.read(results.path_of(tmp_path, RUNS[0]))
    assert result.environment["threads"] == "1"


def killing(events, times):
    """Kill the workers when they start a run of `times`, so many times."""
    for event in events:
        yield event
        if event.kind == "start" and times.get(event.spec, 0):
            times[event.spec] -= 1
            for worker in multiprocessing.active_children():
                worker.kill()


@pytest.mark.slow
@pytest.mark.any_backend
def test_a_run_that_kills_its_worker_fails_and_no_other_does(tmp_path):
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
def test_workers_that_cannot_start_are_no_failure_of_a_run(
    tmp_path, monkeypatch, count
):
    monkeypatch.setattr(runner, "_start_worker", int)  # not of these arguments
    with pytest.raises(ChildProcessError, match=r"can start.*\.workers\.log"):
        list(runner.run_all(tmp_path, RUNS[:count], jobs=2))


@pytest.mark.any_backend
def test_leaving_early_ends_the_workers(tmp_path):
    events = runner.run_all(tmp_path, RUNS, jobs=1)
    assert next(events).kind == "start"
    assert multiprocessing.active_children()
    events.close()
    assert not multiprocessing.active_children()
    assert results.read_all(tmp_path) == ([], [])
    assert not list(tmp_path.glob("*/result.json"))


def test_runs_do_not_depend_on_the_process_they_are_made_in(tmp_path):
    from keras_wgd.experiments.training.train import train
    from keras_wgd.tasks import datasets

    spec = RUNS[1]
    list(runner.run_all(tmp_path, [spec], jobs=1))
    elsewhere = results.read(results.path_of(tmp_path, spec))
    here = train(spec, datasets.load("digits", None, spec.train_size, spec.test_size))
    assert elsewhere.metrics == pytest.approx(here.metrics, abs=1e-6)
    assert elsewhere.spec.optimizer == SPEC.optimizer
