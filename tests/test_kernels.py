"""`conv_kernels`: which variables of a model are convolution kernels, and the axes."""

from typing import get_args

import keras
import pytest
from keras import layers

from keras_wgd import conv_kernels
from keras_wgd.optimizers import means
from keras_wgd.optimizers.kernels import guess_kernel
from keras_wgd.optimizers.means import MeanOver

pytestmark = pytest.mark.any_backend

MEANS = ("filters", "fan_in", "kernels")


def built(layer, shape):
    layer.build((None, *shape))
    return layer


# The table of docs/explanation.md: layer, input shape, then the axes and the number of
# elements of each mean, by variable.
TABLE = [
    (
        lambda: layers.Conv1D(6, 3),
        (9, 4),
        {"kernel": ((-1,), (-3, -2), (-2, -1), 6, 12, 24)},
    ),
    (
        lambda: layers.Conv2D(6, 3),
        (9, 9, 4),
        {"kernel": ((-1,), (-4, -3, -2), (-2, -1), 6, 36, 24)},
    ),
    (
        lambda: layers.Conv3D(6, 3),
        (9, 9, 9, 4),
        {"kernel": ((-1,), (-5, -4, -3, -2), (-2, -1), 6, 108, 24)},
    ),
    (
        lambda: layers.Conv2D(6, 3, groups=2),
        (9, 9, 4),
        {"kernel": ((-1,), (-4, -3, -2), (-2, -1), 3, 18, 12)},
    ),
    (
        lambda: layers.Conv1DTranspose(6, 3),
        (9, 4),
        {"kernel": ((-2,), (-3, -1), (-2, -1), 6, 12, 24)},
    ),
    (
        lambda: layers.Conv2DTranspose(6, 3),
        (9, 9, 4),
        {"kernel": ((-2,), (-4, -3, -1), (-2, -1), 6, 36, 24)},
    ),
    (
        lambda: layers.Conv3DTranspose(6, 3),
        (5, 5, 5, 4),
        {"kernel": ((-2,), (-5, -4, -3, -1), (-2, -1), 6, 108, 24)},
    ),
    (
        lambda: layers.DepthwiseConv1D(3, depth_multiplier=2),
        (9, 4),
        {"kernel": ((-1,), (-3,), (-2, -1), 2, 3, 8)},
    ),
    (
        lambda: layers.DepthwiseConv2D(3),
        (9, 9, 4),
        {"kernel": ((-1,), (-4, -3), (-2, -1), 1, 9, 4)},
    ),
    (
        lambda: layers.SeparableConv1D(6, 3),
        (9, 4),
        {
            "depthwise_kernel": ((-1,), (-3,), (-2, -1), 1, 3, 4),
            "pointwise_kernel": ((-1,), (-3, -2), (-2, -1), 6, 4, 24),
        },
    ),
    (
        lambda: layers.SeparableConv2D(6, 3, depth_multiplier=2),
        (9, 9, 4),
        {
            "depthwise_kernel": ((-1,), (-4, -3), (-2, -1), 2, 9, 8),
            "pointwise_kernel": ((-1,), (-4, -3, -2), (-2, -1), 6, 8, 48),
        },
    ),
]


@pytest.mark.parametrize(("make", "shape", "expected"), TABLE)
def test_axes_of_every_layer(make, shape, expected):
    found = {k.variable.name: k for k in conv_kernels(built(make(), shape))}
    assert list(found) == list(expected)
    for name, (filters, fan_in, kernels, *sizes) in expected.items():
        kernel = found[name]
        assert [set(kernel.axes(m)) for m in MEANS] == [
            set(filters),
            set(fan_in),
            set(kernels),
        ]
        assert [kernel.mean_size(m) for m in MEANS] == sizes


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(3), (4,)),
        (layers.EinsumDense("abcd,cdef->abef", (None, 2, 3)), (5, 4, 2)),
        (layers.BatchNormalization(), (8, 8, 4)),
        (layers.Embedding(5, 3), (7,)),
        (layers.LSTM(3), (7, 4)),
        (layers.ConvLSTM2D(3, 3), (2, 8, 8, 4)),
        (layers.ConvLSTM1D(3, 3, name="encoder"), (2, 8, 4)),
    ],
)
def test_layers_without_kernels(layer, shape):
    layer = built(layer, shape)
    assert conv_kernels(layer) == []
    guesses = [guess_kernel(v, i) for i, v in enumerate(layer.trainable_variables)]
    if not isinstance(layer, layers.EinsumDense):  # rank 4: only its layer tells
        assert all(isinstance(guess, str) for guess in guesses)


def test_names_of_the_means():
    assert get_args(MeanOver) == tuple(means.MEANS) == MEANS


def test_attention_has_no_kernels():
    attention = layers.MultiHeadAttention(2, 3)
    attention.build((None, 7, 4), (None, 7, 4))
    assert conv_kernels(attention) == []
    assert all(
        isinstance(guess_kernel(v, 0), str) for v in attention.trainable_variables
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = layers.Conv2D(4, 3)
        self.stages = [layers.Conv2D(4, 3), {"deep": layers.Conv2DTranspose(5, 3)}]

    def build(self, input_shape):
        self.stem.build(input_shape)
        self.stages[0].build((None, 6, 6, 4))
        self.stages[1]["deep"].build((None, 4, 4, 4))

    def call(self, x):
        return self.stages[1]["deep"](self.stages[0](self.stem(x)))


def test_nested_and_shared_layers():
    shared = layers.Conv2D(3, 3, padding="same")
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), shared, layers.DepthwiseConv2D(3)]
    )
    x = keras.Input((8, 8, 3))
    y = inner(shared(shared(x)))
    y = layers.SpectralNormalization(layers.Conv2D(4, 3, name="normalized"))(y)
    y = layers.Reshape((2, 2, 4, 1))(layers.Cropping2D(1)(y))
    y = layers.TimeDistributed(layers.Conv2D(2, 1, name="each"))(y)
    kernels = conv_kernels(keras.Model(x, y))
    names = [kernel.path.split("/")[-2] for kernel in kernels]
    assert sorted(names) == sorted(
        [shared.name, inner.layers[1].name, "normalized", "each"]
    )


def transpose_of(convolution):
    """The transpose of a convolution, with the convolution's own kernel."""

    class Tied(layers.Conv2DTranspose):
        def build(self, input_shape):
            self.kernel = convolution.kernel

    channels = convolution.kernel.shape[-2]
    return Tied(channels, convolution.kernel_size, use_bias=False)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_shared_kernel_goes_by_the_first_layer(depth):
    encode = built(layers.Conv2D(6, 3), (9, 9, 4))
    decode = built(transpose_of(encode), (7, 7, 6))
    for order, kind in (
        ((encode, decode), "standard"),
        ((decode, encode), "transposed"),
    ):
        model = keras.Sequential(order)
        for _ in range(depth):
            model = keras.Sequential([model])
        model.built = True
        (kernel,) = conv_kernels(model)
        assert kernel.kind == kind


def test_layers_in_lists_and_dictionaries():
    model = Subclassed()
    model.build((None, 8, 8, 3))
    kernels = conv_kernels(model)
    assert [k.kind for k in kernels] == ["standard", "standard", "transposed"]
    assert [model.trainable_variables[k.index] is k.variable for k in kernels] == [
        True
    ] * 3


def test_lora_factors():
    layer = built(layers.Conv2D(6, 3), (9, 9, 4))
    layer.enable_lora(2)
    (kernel,) = conv_kernels(layer)
    assert kernel.path.endswith("/kernel")
    assert kernel.index is None
    names = [v.name for v in layer.trainable_variables]
    assert "lora_kernel_a" in names
    assert all(isinstance(guess_kernel(v, 0), str) for v in layer.trainable_variables)


def test_subclass_of_a_convolution():
    class WeightStandardized(layers.Conv2D):
        pass

    (kernel,) = conv_kernels(built(WeightStandardized(3, 3), (8, 8, 3)))
    assert kernel.layer == "WeightStandardized"


def test_convolution_with_layers_inside():
    class Gated(layers.Conv2D):
        def build(self, input_shape):
            super().build(input_shape)
            self.gate = layers.Dense(self.filters)
            self.gate.build((None, self.filters))
            self.each = layers.DepthwiseConv2D(3, depth_multiplier=2)
            self.each.build((None, 8, 8, self.filters))

    kernels = conv_kernels(built(Gated(4, 3), (8, 8, 3)))
    assert [(k.layer, k.kind) for k in kernels] == [
        ("Gated", "standard"),
        ("DepthwiseConv2D", "depthwise"),
    ]


def test_models_that_are_refused():
    with pytest.raises(
        ValueError, match=r"must be a Keras model.*Received: 'resnet50'"
    ):
        conv_kernels("resnet50")
    with pytest.raises(ValueError, match=r"model.build\(input_shape\).*not built"):
        conv_kernels(keras.Sequential([layers.Conv2D(3, 3)]))
