"""The messages that "Compare on your own task" explains are those of `compare`."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_wgd import WGD, compare

pytestmark = pytest.mark.any_backend

PAGE = Path(__file__).parents[1] / "docs/how-to/compare.md"
X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1] * 3)


def network(seed=None):
    initializer = keras.initializers.GlorotUniform(seed)
    dense = keras.layers.Dense(2, kernel_initializer=initializer)
    return keras.Sequential([keras.Input((2,)), dense])


def compiled():
    model = network()
    model.compile("adam", "mse")
    return model


def other_weights():
    return network(seed=int(np.random.default_rng().integers(2**31)))


def gap(y_true, y_pred):
    return keras.ops.mean(y_pred)


def generator():
    yield X, Y


def optimizers(adam):
    return {"plain": "adam", "adam": adam}


one_model = network()
one_optimizer = keras.optimizers.Adam()
one_optimizer.build(one_model.trainable_variables)

MISTAKES = {
    "not compiled": {"build_model": compiled},
    "a new model in each call": {"build_model": lambda: one_model},
    "the same weights again": {"build_model": other_weights},
    "returns a new optimizer": {"optimizers": optimizers(keras.optimizers.Adam())},
    "a new optimizer in each call": {"optimizers": optimizers(lambda: one_optimizer)},
    "monitor must": {"monitor": "val_acc"},
    "validation must": {"validation": None},
    "mode must": {"monitor": "val_gap", "metrics": [gap]},
    "generator": {"train": generator()},
    "budget must": {"budget": 1e-3},
    "no convolution kernel": {"optimizers": {"sgd": "sgd", "wgd": lambda: WGD("sgd")}},
    "out must": {"batch_size": 3},
}


def messages():
    table = PAGE.read_text("utf-8").partition("\n## Common errors\n")[2]
    return re.findall(r"(?m)^\| `(.+?)` \|", table)


def test_each_message_has_its_mistake():
    for message in messages():
        assert sum(what in message for what in MISTAKES) == 1, message
    assert len(messages()) == len(MISTAKES)


@pytest.mark.filterwarnings("ignore")  # of WGD that has nothing to center
@pytest.mark.parametrize("message", messages())
def test_message(message, tmp_path):
    arguments = {
        "build_model": network,
        "optimizers": optimizers("sgd"),
        "train": (X, Y),
        "validation": (X, Y),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
        "seeds": 2,
        "out": tmp_path / "out",
        "progress": False,
    }
    (mistake,) = (found for what, found in MISTAKES.items() if what in message)
    if message.startswith("out"):
        compare(**arguments)
    with pytest.raises(ValueError, match=re.escape(message)):
        compare(**arguments | mistake)
