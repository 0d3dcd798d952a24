"""`kernels=`: models, lists of kernels, and frozen layers."""

import keras
import pytest
from keras import layers
from support.networks import sequential

from keras_wgd import WGD, ConvKernel, conv_kernels


def plan_of(variables, kernels):
    optimizer = WGD("sgd", kernels=kernels)
    optimizer.build(variables)
    return optimizer._plan


def test_loaded_kernels_in_another_order():
    def make():
        return sequential(
            layers.Conv2D(4, 3, name="a"), layers.Conv2DTranspose(4, 3, name="b")
        )

    loaded = [ConvKernel.from_config(k.get_config()) for k in conv_kernels(make())]
    other = make()  # the same layers, with new paths
    for variables in (other.trainable_variables, other.trainable_variables):
        plan = plan_of(variables, loaded)
        assert [k.kind for k in plan.kernels.values()] == ["standard", "transposed"]
    frozen = make()
    renamed = [ConvKernel.from_config(k.get_config()) for k in conv_kernels(frozen)]
    plan = plan_of(
        frozen.trainable_variables[::-1], renamed
    )  # paths are right, positions not
    assert [k.kind for k in plan.kernels.values()] == ["transposed", "standard"]


def test_kernels_of_another_model():
    mine, other = (sequential(layers.Conv2D(4, 3)) for _ in range(2))
    with pytest.raises(
        ValueError, match=r"kernels must belong to the model.*Received: \["
    ):
        plan_of(mine.trainable_variables, other)
    loaded = [
        ConvKernel.from_config(k.get_config())
        for k in conv_kernels(sequential(layers.Conv2D(5, 3)))
    ]
    with pytest.raises(ValueError, match="kernels must belong to the model"):
        plan_of(mine.trainable_variables, loaded)


def test_frozen_layers():
    model = sequential(layers.Conv2D(4, 3), layers.Conv2D(4, 3))
    kernels = conv_kernels(model)
    model.layers[0].trainable = False
    plan = plan_of(model.trainable_variables, kernels)
    assert [k.variable for k in plan.kernels.values()] == [model.layers[1].kernel]
    model.layers[1].trainable = False
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.warns(UserWarning, match="found nothing to center among 2"):
        plan_of(dense.trainable_variables, model)


def test_part_of_a_model_or_of_a_list():
    model, other = (sequential(layers.Conv2D(4, 3), layers.Conv2D(3, 1)) for _ in "ab")
    part = model.layers[1].trainable_variables
    assert [k.variable for k in plan_of(part, model).kernels.values()] == [part[0]]
    mixed = conv_kernels(model)[:1] + conv_kernels(other)[1:]
    with pytest.raises(ValueError, match="some are not among its trainable variables"):
        plan_of(model.trainable_variables, mixed)


def test_kernel_left_out():
    model = sequential(layers.Conv2D(4, 3), layers.Conv2D(3, 1))
    plan = plan_of(model.trainable_variables, conv_kernels(model)[:1])
    rows = plan.summary("").to_dict()["variables"]
    assert [row["axes"] for row in rows] == [[-1], None, None, None]
    assert [row["mean_size"] for row in rows] == [4, 0, 0, 0]


def through_a_file(optimizer):
    return WGD.from_config(optimizer.get_config())


def test_saved_frozen_and_unfrozen():
    model = sequential(layers.Conv2D(4, 3), layers.Conv2D(4, 3))
    first, second = model.layers
    first.trainable = False
    before_building = WGD("sgd", kernels=model)
    built = WGD("sgd", kernels=model)
    built.build(model.trainable_variables)
    for saved in (before_building, built):
        loaded = through_a_file(saved)
        loaded.build(model.trainable_variables)
        assert loaded.whitened_variables == [second.kernel]
        first.trainable = True
        freed = through_a_file(loaded)
        freed.build(model.trainable_variables)
        assert freed.whitened_variables == [first.kernel, second.kernel]
        first.trainable = False


def test_load_with_every_convolution_frozen(tmp_path):
    model = sequential(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2))
    model.layers[0].trainable = False
    model.compile(WGD("sgd", kernels=model), loss="mse")
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="found nothing to center"):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, WGD)


def test_kernel_config_round_trip():
    model = sequential(layers.Conv2D(6, 3, groups=2), shape=(9, 9, 4))
    (kernel,) = conv_kernels(model)
    again = ConvKernel.from_config(kernel.get_config())
    assert again == kernel
    assert again.variable is None


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [4]},
        {"shape": [3, 3, 2, -6]},
        {"shape": "3362"},
        {"groups": 4},
        {"groups": 0},
        {"kind": "dense"},
        {"index": -1},
        {"path": None},
        {"decoy": 1},
    ],
    ids=str,
)
def test_invalid_kernel_config(change):
    config = ConvKernel("conv/kernel", (3, 3, 2, 6), "Conv2D", groups=2).get_config()
    assert ConvKernel.from_config(config).get_config() == config
    with pytest.raises(ValueError, match=r"as get_config\(\) has written it. Received"):
        ConvKernel.from_config({**config, **change})


def test_kernel_config_of_an_earlier_version():
    config = ConvKernel("conv/kernel", (3, 3, 2, 6), "Conv2D").get_config()
    del config["guessed"]
    for layer, guessed in (("Conv2D", False), ("Conv2D?", True)):
        old = {**config, "kind": "ordinary", "layer": layer}
        kernel = ConvKernel.from_config(old)
        assert (kernel.kind, kernel.layer) == ("standard", "Conv2D")
        assert kernel.guessed == guessed
