import os
import signal

import pytest
from test_runner import RUNS, kinds

from keras_wgd.study import results, runner


def test_all_runs_finish_though_a_worker_of_the_cluster_is_killed(tmp_path):
    pytest.importorskip("ray")
    from keras_wgd.study import cluster

    victim = None
    events = []
    for event in cluster.run_all(tmp_path, RUNS, jobs=2):
        events.append(event)
        if event.kind == "epoch" and victim is None:
            victim = event.spec
            (start,) = (e for e in events if e.kind == "start" and e.spec == victim)
            os.kill(start.detail, signal.SIGKILL)
    assert kinds(events).count("finish") == len(RUNS)
    assert "fail" not in kinds(events)
    starts = [event for event in events if event.kind == "start"]
    assert {event.spec for event in starts} == set(RUNS)
    assert runner.split(tmp_path, RUNS) == (RUNS, [])
    found, problems = results.read_all(tmp_path)
    assert (len(found), problems) == (len(RUNS), [])
