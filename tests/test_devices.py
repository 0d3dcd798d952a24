"""Training on several devices against training on one, on each backend."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.many_devices import CASES, STEPS

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
SCRIPT = Path(__file__).parent / "support" / "many_devices.py"
# On JAX one process has all devices, on TensorFlow too; on PyTorch each has one.
ENGINES = {"jax": ["data", "model"], "tensorflow": ["mirrored"], "torch": ["ddp"]}


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [str(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def run_script(arguments, environments):
    """Run the script in parallel processes, and check that all succeed."""
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for environment in environments
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def read(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def assert_same(found, wanted):
    weights = [name for name in wanted if name.startswith("arr_")]
    assert weights
    for name in weights:
        assert found[name].dtype == "float64"
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of the weights that several devices, and one device, have trained."""
    folder = tmp_path_factory.mktemp("trained")
    environments = [{"JAX_ENABLE_X64": "1", "JAX_NUM_CPU_DEVICES": "4"}]
    if BACKEND == "torch":
        (port,) = free_ports(1)
        there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
        environments = [{**there, "RANK": str(rank)} for rank in range(2)]
    run_script([str(folder), *ENGINES[BACKEND], "one"], environments)
    return folder


def test_many_devices_train_as_one(trained):
    ranks = range(2 if BACKEND == "torch" else 1)
    ones = {case: read(trained, f"one-{case}-0") for case in CASES}
    for engine in ENGINES[BACKEND]:
        for case, one in ones.items():
            for rank in ranks:
                many = read(trained, f"{engine}-{case}-{rank}")
                assert many["steps"] == one["steps"] == STEPS
                assert_same(many, one)
        resumed = read(trained, f"{engine}-resumed-0")
        assert resumed["steps"] == 2 * STEPS
        assert_same(resumed, read(trained, "one-resumed-0"))
    # The means have different results, so that no case stands for another.
    for case in CASES.keys() - {"fan_in-gradient"}:
        assert abs(ones[case]["arr_0"] - ones["fan_in-gradient"]["arr_0"]).max() > 1e-4
    if BACKEND == "jax":
        whole = read(trained, "data-filters-gradient-0")
        parted = read(trained, "model-filters-gradient-0")
        assert whole["pieces"].tolist() == [1] * 8
        assert parted["pieces"].tolist() == [2, 2, 2, 1, 2, 1, 2, 1]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="an engine of TensorFlow")
def test_tensorflow_workers_train_as_one(trained, tmp_path):
    """There `fit` fails with any optimizer; the script prints its error."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    environments = [
        {
            "TF_CONFIG": json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": rank},
                }
            ),
            "RANK": str(rank),
        }
        for rank in range(2)
    ]
    said = run_script([str(tmp_path), "workers"], environments)
    assert all("fit failed" in text for text in said), said
    for case in CASES:
        one = read(trained, f"one-{case}-0")
        for rank in range(2):
            assert_same(read(tmp_path, f"workers-{case}-{rank}"), one)
