"""`keras-wgd run --devices`: the run of one device, made by two."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from support.small_study import build, die_or_wait, options

from keras_wgd import cli
from keras_wgd.experiments.launch import processes
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.training import devices, inputs, train
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.tasks import models
from keras_wgd.tasks.datasets import load
from keras_wgd.tasks.datasets.dataset import Dataset

BACKEND = keras.backend.backend()
# 41 test images are no whole number for two devices; resnet8 has batch normalization.
SPEC = RunSpec(
    dataset="digits",
    model="resnet8",
    optimizer="sgdm",
    mean_over="filters",
    epochs=2,
    batch_size=16,
    train_size=32,
    test_size=41,
)
RUN = ["run", *options(SPEC.to_dict())]


def start(out, *rest):
    command = [sys.executable, "-m", "keras_wgd", *RUN, "--out", str(out), "--json"]
    return subprocess.Popen(
        [*command, *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    try:
        said, problems = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, problems
    return json.loads(said)


def assert_same_run(found, wanted):
    assert len(found["seconds"]) == 2
    assert found["norm_ratios"] == pytest.approx(wanted.norm_ratios, abs=1e-5)
    for name, curve in wanted.curves.items():
        assert found["curves"][name] == pytest.approx(curve, abs=1e-4)
    assert np.sum(found["confusion"]) == 41


class Stopped(Exception):
    pass


def stop(epoch, curves, restored):
    raise Stopped


def devices_in_use():
    if BACKEND == "jax":
        return keras.distribution.distribution().device_mesh.devices.size
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    return 2  # each in a process of its own


def train_on_two():
    """Train on two devices, and print the number of devices of JAX's arrays."""
    import jax

    counts = []

    def on_epoch(*_):
        counts.append(max(len(a.sharding.device_set) for a in jax.live_arrays()))

    models.build = build
    engine = devices.start(2)
    train.train(SPEC, StudyTask(inputs.load(SPEC, Options())), on_epoch, devices=engine)
    print(json.dumps(counts))


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX's arrays")
def test_arrays_are_on_both_devices():
    code = "import test_run_on_devices as t; t.train_on_two()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert json.loads(done.stdout) == [2, 2]


def begin_on_two(out):
    """Stop a run on two devices after its first epoch."""
    out, how = Path(out), Options(devices=2)
    engine = devices.start(how.devices)
    with engine.scope():
        assert devices_in_use() == 2
    results.prepare(out, [SPEC])
    with contextlib.suppress(Stopped):
        if BACKEND == "torch":
            processes.make(out, SPEC, how, stop)
        train.make(out, SPEC, how, stop, engine)


@pytest.mark.slow
def test_two_devices_make_the_run_of_one(tmp_path):
    one = train.train(SPEC, StudyTask(inputs.load(SPEC, Options())))

    out = tmp_path / "one-to-two"
    results.prepare(out, [SPEC])
    with pytest.raises(Stopped):
        train.make(out, SPEC, on_epoch=stop)
    two = finish(start(out, "--devices", "2"))
    assert two["environment"]["devices"] == 2
    assert_same_run(two, one)

    out = tmp_path / "two-to-one"
    begin = "import sys, test_run_on_devices as t; t.begin_on_two(*sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", begin, out],
        cwd=Path(__file__).parent,
        check=True,
        timeout=300,
    )
    assert list(out.glob("*/progress.json"))
    assert_same_run(results.to_dict(train.make(out, SPEC)), one)


@pytest.mark.any_backend
@pytest.mark.parametrize("count", ["3", "0", "-2"])
def test_devices_that_do_not_divide_the_batch(capsys, tmp_path, count):
    out = tmp_path / "out"
    assert cli.app([*RUN, "--devices", count, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"divides the batch size of 16. Received: {count}")
    assert not out.exists()


@pytest.mark.any_backend
def test_more_devices_than_there_are(capsys, monkeypatch):
    monkeypatch.setattr(devices.os, "cpu_count", lambda: 3)
    monkeypatch.setattr(devices, "_use_jax", lambda jax, count: None)
    assert cli.app([*RUN, "--devices", "4"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "at most this machine's 3 cores, as there is no GPU. Received: 4"
    )


def test_parts_of_an_epoch():
    data = load("digits", None, 64, 41)
    whole = data.epoch(0, 1, 16)
    parts = [data.epoch(0, 1, 16, part=part, parts=2) for part in range(2)]
    for name in ("x", "y"):
        batches = [part[name].reshape(4, 8, *part[name].shape[1:]) for part in parts]
        together = np.concatenate(batches, axis=1).reshape(whole[name].shape)
        np.testing.assert_array_equal(together, whole[name])
    assert [part["batch_size"] for part in parts] == [8, 8]


@pytest.mark.any_backend
@pytest.mark.parametrize("parts", [1, 2, 3, 50])
def test_shared_test_set(parts):
    data = load("digits", None, 64, 41)
    shared = data.evaluation(10, parts)
    assert shared["batch_size"] % parts == len(shared["x"]) % parts == 0
    np.testing.assert_array_equal(shared["x"][:41], data.evaluation(10)["x"])


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends have one process")
def test_second_process_writes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "build", build)
    seen, epoch = [], Dataset.epoch

    def see(data, *arguments):
        seen.append(arguments[-2:])
        return epoch(data, *arguments)

    monkeypatch.setattr(Dataset, "epoch", see)
    second = devices.OneDevice(2)
    second.rank, second.ranks = 1, 2
    train.make(tmp_path, SPEC, Options(save_model=True), devices=second)
    assert seen == [(1, 2)] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.any_backend
def test_process_that_dies_at_the_start(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_run", die_or_wait)
    begun = time.monotonic()
    with pytest.raises(ChildProcessError, match=r"process 2 of the 2 that .* died"):
        processes.make(tmp_path, SPEC, Options(devices=2), stop)
    assert time.monotonic() - begun < 50
    assert multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="the other backends have one process")
def test_process_that_is_killed(tmp_path):
    process = start(tmp_path, "--epochs", "500", "--devices", "2")
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        give_up = time.monotonic() + 200
        while not list(tmp_path.glob("*/progress.json")):
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.2)
        ranks = [
            int(pid)
            for pid in children.read_text().split()
            if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert len(ranks) == 2
        os.kill(ranks[1], signal.SIGKILL)
        problems = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 2
    *_, line = problems.splitlines()
    assert line.startswith("keras-wgd: error: process 2 of the 2 that share the run")
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    assert not list(tmp_path.glob("*/result.json"))
