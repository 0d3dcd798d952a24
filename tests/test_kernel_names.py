"""Kernels that are guessed from names and shapes, against those that layers give."""

import keras
import pytest
from keras import layers
from support.networks import sequential

from keras_wgd import ConvKernel, conv_kernels
from keras_wgd.optimizers.kernels import guess_kernel
from keras_wgd.optimizers.means import MEANS

pytestmark = pytest.mark.any_backend


def told(model, mean_over):
    guesses = [guess_kernel(v, i) for i, v in enumerate(model.trainable_variables)]
    return axes([g for g in guesses if isinstance(g, ConvKernel)], mean_over)


def walked(model, mean_over):
    return axes(conv_kernels(model), mean_over)


def axes(kernels, mean_over):
    return {k.path: k.axes(mean_over) for k in kernels if k.mean_size(mean_over) > 1}


@pytest.fixture(scope="module")
def mobilenet():
    return keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), include_top=False
    )


@pytest.mark.parametrize("mean_over", MEANS)
def test_guesses_for_mobilenet(mobilenet, mean_over):
    assert told(mobilenet, mean_over) == walked(mobilenet, mean_over)


@pytest.mark.parametrize("mean_over", MEANS)
@pytest.mark.parametrize(
    "layer",
    [
        layers.DepthwiseConv2D(3, name="block1a_dwconv"),
        layers.DepthwiseConv2D(3, name="conv_dw_1"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="block_2_depthwise"),
        layers.Conv2D(4, 7, groups=4, name="stage_0_depthwise_conv"),
        layers.Conv2D(4, 3, name="dwindling"),
        layers.SeparableConv2D(4, 3, depth_multiplier=3, name="separable"),
    ],
    ids=lambda layer: layer.name,
)
def test_guesses_for_depthwise_names(layer, mean_over):
    model = sequential(layer, shape=(9, 9, 4))
    assert told(model, mean_over) == walked(model, mean_over)


def test_model_named_conv_lstm():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3)], name="conv_lstm_decoder"
    )
    outer = keras.Sequential([keras.Input((8, 8, 3)), model])
    assert told(outer, "filters") == walked(outer, "filters") != {}


# Four layers that are guessed wrongly, as the docs say.
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv2DTranspose(5, 3, name="up1"), (8, 8, 4)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, name="per_channel"), (8, 8, 4)),
        (layers.Conv1D(5, 3, name="stem"), (8, 4)),
        (layers.EinsumDense("abcd,cdef->abef", (None, 2, 3), name="mix"), (5, 4, 2)),
    ],
)
def test_documented_wrong_guesses(layer, shape):
    layer.build((None, *shape))
    guess = guess_kernel(layer.trainable_variables[0], 0)
    exact = {k.path: k.kind for k in conv_kernels(layer)}
    told = {guess.path: guess.kind} if isinstance(guess, ConvKernel) else {}
    assert told != exact


def test_mobilenet_has_17_kernels_with_one_filter(mobilenet):
    kernels = conv_kernels(mobilenet)
    assert len(kernels) == 52
    assert sum(k.shape[-1] == 1 for k in kernels) == 17
    assert sum(k.mean_size("filters") == 1 for k in kernels) == 17
