"""Random small networks: drawn as plain data, which can be printed, then built."""

import dataclasses
import math

import keras
from hypothesis import strategies as st
from keras import layers

SIDE = 4
# Few sizes, so that JAX compiles few programs; every mean is over 2**i 3**j elements.
WIDTHS = st.sampled_from([4, 2, 1])
FLAG = st.booleans()
# The tests set the weights; JAX would compile a random one for each shape.
ZEROS = st.just("zeros")

COMMON = {
    "kernel_size": st.sampled_from([1, 3]),
    "strides": st.integers(1, 2),
    "use_bias": FLAG,
    "trainable": st.sampled_from([True, True, False]),
}
# The layers that have convolution kernels: the pattern of their name, the ranks
# that exist, the options, and the kind of each kernel.
CONVOLUTIONS = {
    "Conv{}D": (
        (1, 2, 3),
        {**COMMON, "filters": WIDTHS, "groups": WIDTHS, "kernel_initializer": ZEROS},
        {"kernel": "standard"},
    ),
    "Conv{}DTranspose": (
        (1, 2, 3),
        {**COMMON, "filters": WIDTHS, "kernel_initializer": ZEROS},
        {"kernel": "transposed"},
    ),
    "DepthwiseConv{}D": (
        (1, 2),
        {**COMMON, "depth_multiplier": WIDTHS, "depthwise_initializer": ZEROS},
        {"kernel": "depthwise"},
    ),
    "SeparableConv{}D": (
        (1, 2),
        {
            **COMMON,
            "filters": WIDTHS,
            "depth_multiplier": WIDTHS,
            "depthwise_initializer": ZEROS,
            "pointwise_initializer": ZEROS,
        },
        {"depthwise_kernel": "depthwise", "pointwise_kernel": "standard"},
    ),
}
# Layers without kernels, by the ranks of the networks that they fit in.
OTHERS = {
    (1, 2, 3): {
        "Dense": lambda: layers.Dense(2),
        "BatchNormalization": layers.BatchNormalization,
        "EinsumDense": lambda: layers.EinsumDense("...c,cd->...d", 2),
    },
    (1,): {
        "LSTM": lambda: layers.LSTM(2, return_sequences=True),
        "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 2),
    },
    (2,): {
        "ConvLSTM1D": lambda: layers.ConvLSTM1D(
            2, 3, padding="same", return_sequences=True
        )
    },
}


@dataclasses.dataclass(frozen=True)
class Network:
    """The description of a network."""

    rank: int
    data_format: str
    channels: int
    blocks: tuple


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A convolution kernel, and how the network uses it."""

    variable: keras.Variable
    kind: str
    groups: int = 1


@st.composite
def networks(draw):
    rank = draw(st.integers(1, 3))
    data_format = draw(st.sampled_from(["channels_last", "channels_first"]))
    leaves = [
        st.tuples(st.just(pattern), st.fixed_dictionaries(options))
        for pattern, (ranks, options, _) in CONVOLUTIONS.items()
        if rank in ranks
    ]
    others = [kind for ranks, made in OTHERS.items() if rank in ranks for kind in made]
    if data_format == "channels_last":
        leaves.append(st.tuples(st.sampled_from(others)))
    convolution = st.one_of(leaves[:2])
    leaves += [
        st.tuples(st.just("tied"), WIDTHS),
        st.tuples(st.just("normalized"), convolution),
        st.tuples(st.just("shared"), st.one_of(leaves[:2])),
    ]
    block = st.recursive(
        st.one_of(leaves),
        lambda inside: st.tuples(
            st.sampled_from(["nested", "nested and shared"]),
            st.lists(inside, min_size=1, max_size=2).map(tuple),
            FLAG,
        ),
        max_leaves=3,
    )
    blocks = draw(st.lists(block, min_size=1, max_size=3))
    return Network(rank, data_format, draw(WIDTHS), tuple(blocks))


def build(network):
    """The model and its kernels."""
    made = []
    shape = [SIDE] * network.rank
    shape.insert(_axis(network) % (network.rank + 1), network.channels)
    inputs = keras.Input(shape)
    x = _stacked(network, network.blocks, inputs, made)
    pool = getattr(layers, f"GlobalAveragePooling{network.rank}D")
    x = pool(data_format=network.data_format)(x)
    return keras.Model(inputs, layers.Dense(2)(x)), [
        Kernel(getattr(layer, name), kind, groups)
        for layer, kinds, groups in made
        for name, kind in kinds.items()
    ]


def _axis(network):
    return -1 if network.data_format == "channels_last" else 0


def _channels(network, x):
    return x.shape[1:][_axis(network)]


def _stacked(network, blocks, x, made):
    for kind, *options in blocks:
        layer = _layer(network, kind, options, x, made)
        y = layer(x, x) if kind == "MultiHeadAttention" else layer(x)
        x = layers.Add()([y, layer(x)]) if "shared" in kind else y
    return x


def _layer(network, kind, options, x, made):
    if kind in CONVOLUTIONS:
        return _convolution(network, kind, *options, x, made)
    if kind == "tied":
        layer = Autoencoder(network.rank, network.data_format, *options)
        made.append((layer.encode, {"kernel": "standard"}, 1))
        return layer
    if kind == "normalized":
        return layers.SpectralNormalization(_convolution(network, *options[0], x, made))
    if kind == "shared":
        return _convolution(network, *options[0], x, made)
    if kind.startswith("nested"):
        blocks, trainable = options
        inputs = keras.Input(x.shape[1:])
        model = keras.Model(inputs, _stacked(network, blocks, inputs, made))
        # In a file Keras forgets that the cell of a recurrent layer is frozen.
        parts = model._flatten_layers()
        model.trainable = trainable or any(isinstance(p, layers.RNN) for p in parts)
        return model
    (layer,) = (made[kind]() for made in OTHERS.values() if kind in made)
    return layer


def _convolution(network, pattern, options, x, made):
    options, channels = dict(options), _channels(network, x)
    groups = 1
    if "groups" in options:
        groups = math.gcd(options["groups"], channels, options["filters"])
        options["groups"] = groups
    if "depth_multiplier" in options and channels > 1:
        options["depth_multiplier"] = min(options["depth_multiplier"], 4 // channels)
    kinds = CONVOLUTIONS[pattern][2]
    layer = getattr(layers, pattern.format(network.rank))(
        padding="same", data_format=network.data_format, **options
    )
    made.append((layer, kinds, groups))
    return layer


@keras.saving.register_keras_serializable("tests")
class Autoencoder(layers.Layer):
    """A convolution and its transpose, which share a kernel."""

    def __init__(self, rank, data_format, filters, **options):
        super().__init__(**options)
        self.given = {"rank": rank, "data_format": data_format, "filters": filters}
        convolution = getattr(layers, f"Conv{rank}D")
        self.encode = convolution(
            filters,
            3,
            padding="same",
            data_format=data_format,
            kernel_initializer="zeros",
            trainable=self.trainable,  # Keras does not save it
        )

    def build(self, input_shape):
        self.encode.build(input_shape)
        encode, rank = self.encode, self.given["rank"]

        class Tied(getattr(layers, f"Conv{rank}DTranspose")):
            def build(self, input_shape):
                self.kernel = encode.kernel

        self.decode = Tied(
            encode.kernel.shape[-2],
            3,
            padding="same",
            use_bias=False,
            data_format=self.given["data_format"],
        )
        self.decode.build(self.encode.compute_output_shape(input_shape))

    def call(self, inputs):
        return self.decode(self.encode(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), **self.given}
