"""The arguments, attributes and config of WGD."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from support.networks import convnet

from keras_wgd import WGD, RAdam, WGDWrapper
from keras_wgd.optimizers.means import MEANS


@pytest.mark.parametrize("name", ["mean_over", "placement"])
def test_mean_and_placement_are_read_only(name):
    with pytest.raises(AttributeError):
        setattr(WGD("sgd"), name, "kernels")


def test_attributes_are_those_of_the_inner_optimizer():
    inner = keras.optimizers.Adam(0.1, weight_decay=0.2, clipnorm=3.0, use_ema=True)
    optimizer = WGD(inner)
    assert (optimizer.beta_1, optimizer.weight_decay) == (0.9, 0.2)
    assert (optimizer.clipnorm, optimizer.use_ema) == (3.0, True)
    optimizer.beta_1, optimizer.clipnorm, optimizer.learning_rate = 0.5, 4.0, 0.25
    assert (inner.beta_1, inner.clipnorm) == (0.5, 4.0)
    assert float(ops.convert_to_numpy(inner.learning_rate)) == 0.25
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.25
    assert not hasattr(optimizer, "momentum")
    assert not hasattr(optimizer, "_model_variables_moving_average")
    assert not hasattr(optimizer, "optimizers")
    with pytest.raises(
        AttributeError, match="'WGDWrapper' has no attribute '_nothing'"
    ):
        _ = optimizer._nothing
    assert "inner_optimizer" not in dir(optimizer)


@pytest.mark.parametrize("name", ["adam", "SGD", "radam", "Lion"])
def test_inner_optimizer_by_name(name):
    assert type(WGD(name).inner_optimizer).__name__.lower() == name.lower()


def test_inner_optimizer_by_config():
    config = keras.optimizers.serialize(RAdam(0.25))
    assert isinstance(WGD(config).inner_optimizer, RAdam)
    short = {"class_name": "RAdam", "config": {"learning_rate": 0.25}}
    assert float(WGD(short).learning_rate) == 0.25
    assert type(WGD.from_config({"inner_optimizer": "adam"})) is WGDWrapper


def test_config_round_trip():
    model = convnet()
    optimizer = WGD(RAdam(0.25, beta_1=0.5), "fan_in", "update", kernels=model)
    optimizer.build(model.trainable_variables)
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert type(again) is WGDWrapper
    assert again.get_config() == optimizer.get_config()
    assert (again.mean_over, again.placement, again.name) == (
        "fan_in",
        "update",
        optimizer.name,
    )
    again.build(convnet().trainable_variables)
    assert list(again._plan.kernels) == [0, 2]


@pytest.mark.parametrize("name", ["Adam", "SGD", "Nadam", "RMSprop", "Lion"])
def test_config_names_no_backend(name):
    config = WGD(getattr(keras.optimizers, name)()).get_config()["inner_optimizer"]
    assert (config["module"], config["class_name"]) == ("keras.optimizers", name)
    if hasattr(keras.optimizers, "MultiOptimizer"):  # not in Keras 3.10
        several = keras.optimizers.MultiOptimizer(
            keras.optimizers.OptimizerMap(getattr(keras.optimizers, name)())
        )
        assert "keras.src.backend" not in json.dumps(WGD(several).get_config())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mean_over": "channels"},
            f"{', '.join(MEANS)}. Received: 'ch",
        ),
        ({"placement": "weights"}, "gradient, update. Received: 'weights'"),
        ({"kernels": "all"}, r"None, a model, or a list .* Received: 'all'"),
        ({"kernels": ""}, "None, a model, or a list .* Received: ''"),
        ({"kernels": ["conv2d/kernel"]}, r"conv_kernels\(model\).* a list of str$"),
        (
            {"kernels": [keras.Variable(np.zeros((3, 3, 2, 4)))]},
            r"\[k for k in conv_kernels\(model\) if \.\.\.\].* a list of Variable$",
        ),
        ({"kernels": dict.fromkeys(range(99))}, "Received: a dict$"),
        ({"inner_optimizer": "adan"}, r"adam, .*radam, .* 'adan'. Did you mean 'adam'"),
        ({"mean_over": "fanin"}, "Received: 'fanin'. Did you mean 'fan_in'"),
        ({"inner_optimizer": WGD("sgd")}, r"wrap once. Received: WGDWrapper\(SGD"),
        ({"inner_optimizer": None}, "Received: None"),
        ({"inner_optimizer": keras.optimizers.SGD}, "Received: <class"),
        ({"inner_optimizer": {"class_name": "Nothing"}}, "Received: {'class_name'"),
        (
            {"inner_optimizer": {"class_name": "Adam", "config": {"decoy": 1}}},
            "not recognized.*decoy",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        WGD(**{"inner_optimizer": "sgd", **arguments})
    assert "\n" not in str(error.value)


def test_arguments_of_the_inner_optimizer():
    with pytest.raises(TypeError, match=r"Adam\(learning_rate=\.\.\.\)") as error:
        WGD("adam", learning_rate=1e-3)
    assert "\n" not in str(error.value)


def test_wrapper_deep_inside():
    within = keras.optimizers.SGD()
    within.rest = {"more": [WGD("sgd")]}
    with pytest.raises(ValueError, match="must not have a WGDWrapper in it"):
        WGD(within)


def test_wrapper_set_as_inner_optimizer():
    optimizer = WGD("sgd")
    with pytest.raises(ValueError, match="must not have a WGDWrapper in it"):
        optimizer.inner_optimizer = WGD("sgd")


def test_repr():
    text = repr(WGD("adam", "fan_in", "update"))
    assert text == "WGDWrapper(Adam, mean_over='fan_in', placement='update')"


def test_loss_scaling_inside():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    with pytest.raises(ValueError, match=r"Write LossScaleOptimizer\(WGD\(inner\)\)"):
        WGD(scaled)


def test_warning_without_a_kernel():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.warns(UserWarning, match="found nothing to center among 2 trainable"):
        WGD("sgd").build(model.trainable_variables)
