"""A model saved under one backend is trained on under the other two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import optimizers
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD, RAdam

pytestmark = pytest.mark.slow

BACKENDS = ("tensorflow", "jax", "torch")
CASES = {
    "momentum": lambda model: WGD(optimizers.SGD(0.05, momentum=0.9), kernels=model),
    "adam": lambda model: WGD(optimizers.Adam(0.01), "fan_in"),
    "radam": lambda model: WGD(RAdam(0.01), "kernels", "update", kernels=model),
}


def train_on(folder):
    """Load every case and continue training: the states as loaded, and the losses."""
    report = {}
    for name in CASES:
        model = keras.saving.load_model(folder / f"{name}.keras")
        x, y = images(model)
        state = [value.tolist() for value in values(model.optimizer.variables)]
        losses = [float(model.train_on_batch(x, y)) for _ in range(3)]
        report[name] = {
            "state": state,
            "losses": losses,
            "centered": [
                v.path.split("/")[-2] for v in model.optimizer.whitened_variables
            ],
            "inner": model.optimizer.get_config()["inner_optimizer"]["module"],
        }
    return report


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for name, make in CASES.items():
        keras.utils.set_random_seed(0)
        model = convnet()
        compiled(model, make(model), jit_compile=False)
        x, y = images(model)
        for _ in range(3):
            model.train_on_batch(x, y)
        model.save(folder / f"{name}.keras")
    return folder, train_on(folder)


@pytest.mark.parametrize("other", [b for b in BACKENDS if b != keras.backend.backend()])
def test_training_continues_under_another_backend(saved, other):
    folder, here = saved
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": other},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    there = json.loads(done.stdout.splitlines()[-1])
    for name, mine in here.items():
        theirs = there[name]
        for a, b in zip(theirs.pop("state"), mine["state"], strict=True):
            np.testing.assert_array_equal(np.array(a), np.array(b))
        np.testing.assert_allclose(theirs.pop("losses"), mine["losses"], atol=1e-5)
        assert theirs == {"centered": ["first", "second"], "inner": mine["inner"]}


if __name__ == "__main__":
    print(json.dumps(train_on(Path(sys.argv[1]))))
