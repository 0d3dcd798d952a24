import json
import os
import subprocess
import sys

import pytest
from support.runs import LONG_RUNS as RUNS

from keras_wgd.experiments.launch import cluster, runner
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import results

# A process of its own, as the command line's: Ray forks, which a process that has
# imported JAX must not.
STUDY = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.runs import LONG_RUNS as RUNS
from keras_wgd.experiments.launch import cluster

processes, victim, kinds = {{}}, None, []
for event in cluster.run_all(Path({out!r}), RUNS, jobs=2):
    kinds.append(event.kind)
    if event.kind == "start":
        processes[event.spec] = event.detail
    if event.kind == "epoch" and victim is None:
        victim = event.spec
        os.kill(processes[victim], signal.SIGKILL)
print(json.dumps([kinds, RUNS.index(victim)]))
"""


@pytest.mark.slow
@pytest.mark.any_backend
def test_all_runs_finish_though_a_worker_of_the_cluster_is_killed(tmp_path):
    pytest.importorskip("ray")
    out = tmp_path / "out"
    script = STUDY.format(tests=os.path.dirname(__file__), out=str(out))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    kinds, victim = json.loads(done.stdout)
    assert kinds.count("finish") == len(RUNS)
    assert "fail" not in kinds
    assert kinds.count("start") > len(RUNS)  # the victim's, again
    assert runner.split(out, RUNS) == (RUNS, [])
    found, problems = results.read_all(out)
    assert problems == []
    assert RUNS[victim] in {result.spec for result in found}


@pytest.mark.any_backend
def test_a_machine_with_other_settings_makes_no_run(tmp_path, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    message = "has other settings: NVIDIA_TF32_OVERRIDE not set, now 0"
    with pytest.raises(ValueError, match=message):
        cluster._run(None, tmp_path / "out", RUNS[0], Options(), {})
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_ray_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'keras-wgd\[ray\]'"):
        cluster.check(cluster.LOCAL)


@pytest.mark.any_backend
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "here", ""])
def test_an_address_without_a_cluster_is_named_at_once(address):
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=r"must be the address of a cluster.*Received"):
        cluster.check(address)
