import json
import os
import subprocess
import sys

import pytest
from support.runs import LONG_RUNS as RUNS

from keras_wgd.experiments.launch import cluster, runner
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import results

# In another process, as on the command line: Ray forks, and a process that has imported
# JAX must not fork.
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
def test_cluster_with_a_killed_worker(tmp_path):
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
def test_machine_with_other_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    message = "has other settings: NVIDIA_TF32_OVERRIDE not set, now 0"
    with pytest.raises(ValueError, match=message):
        cluster._run(None, tmp_path / "out", RUNS[0], Options(), {})
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'keras-wgd\[ray\]'"):
        cluster.check(cluster.LOCAL)


@pytest.mark.any_backend
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "here", ""])
def test_address_without_a_cluster(address):
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=r"must be the address of a cluster.*Received"):
        cluster.check(address)
