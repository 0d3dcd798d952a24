"""Optimizers by name with settings as text, and the arms made of them."""

import pickle

import keras
import pytest

from keras_wgd import WGD, RAdam
from keras_wgd.tasks import optimizers

pytestmark = pytest.mark.any_backend


def test_arms_are_plain_and_wrapped():
    arms = optimizers.arms(["adam", "radam"], means=["fan_in", "filters"])
    assert list(arms) == [
        *("adam", "adam-fan_in", "adam-filters"),
        *("radam", "radam-fan_in", "radam-filters"),
    ]
    made = {name: pickle.loads(pickle.dumps(arm))() for name, arm in arms.items()}
    assert type(made["adam"]) is type(keras.optimizers.get("adam"))
    assert type(made["radam"]) is RAdam
    assert type(made["adam-fan_in"]) is WGD
    assert made["adam-fan_in"].mean_over == "fan_in"
    assert type(made["radam-filters"].inner_optimizer) is RAdam
    assert arms["adam"]() is not arms["adam"]()
    _, updated = optimizers.arms(["sgd"], means=["fan_in"], placement="update").values()
    assert updated().placement == "update"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("adam", "weight_decay=0.01", 0.01),
        ("adam", "learning_rate = 1e-2", 0.01),
        ("adam", "amsgrad=true", True),
        ("adam", "gradient_accumulation_steps=4", 4),
        ("adam", "clipnorm=1", 1),
        ("adamw", "weight_decay=0", 0.0),
        ("sgd", "nesterov=False", False),
        ("sgd", "momentum=0.5", 0.5),
        ("sgd", "clipvalue=none", None),
        ("radam", "early_steps=skip", "skip"),
    ],
)
def test_settings(name, text, value):
    (arm,) = optimizers.arms([name], [text]).values()
    setting = text.partition("=")[0].strip()
    found = arm().get_config()[setting]
    assert found == pytest.approx(value) if type(value) is float else found == value
    assert type(arm.args[1][setting]) is type(value)


def test_setting_of_one_optimizer():
    arms = optimizers.arms(
        ["adam", "sgd"], ["sgd.momentum=0.9", "clipnorm=1"], means=["fan_in"]
    )
    assert (
        arms["sgd"]().momentum == arms["sgd-fan_in"]().inner_optimizer.momentum == 0.9
    )
    assert arms["adam"]().clipnorm == arms["sgd"]().clipnorm == 1


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (["adam"], "weight_decay", "NAME=VALUE or OPTIMIZER.NAME=VALUE. Received"),
        (["adam"], "=3", "NAME=VALUE"),
        (["adam"], "weigth_decay=1", r"beta_1.*'weigth_decay'. Did you mean 'weight_d"),
        (["adam"], "name=mine", "setting of adam: .* Received: 'name'"),
        (["adam"], "beta_1=high", "beta_1 must be a number. Received: 'high'"),
        (["adam"], "amsgrad=1", "amsgrad must be true or false. Received: '1'"),
        (["adam"], "weight_decay=big", "weight_decay must be a number. Rec.*'big'"),
        (["adam"], "gradient_accumulation_steps=-1", "values that adam accepts"),
        (["adam"], "sgd.momentum=0.9", "optimizer of set must be one of adam. "),
        (["adam", "sgd"], "momentum=0.9", r"write OPTIMIZER.momentum=... for one"),
        (["adm"], "clipnorm=1", "optimizer must be .* 'adm'. Did you mean 'adam'"),
    ],
)
def test_settings_that_are_refused(names, text, message):
    with pytest.raises(ValueError, match=message) as error:
        optimizers.arms(names, [text])
    assert "Received: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "lion", "nadam", "radam"])
def test_every_setting_can_be_written_as_its_default(name):
    config = {"weight_decay": "0.01", "use_ema": "true", "ema_momentum": "0.9"}
    texts = [f"{setting}={value}" for setting, value in config.items()]
    (arm,) = optimizers.arms([name], texts).values()
    made = arm().get_config()
    assert (made["weight_decay"], made["use_ema"], made["ema_momentum"]) == (
        *(0.01, True),
        0.9,
    )
