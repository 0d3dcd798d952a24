import keras
import pytest
from keras import layers

from keras_wgd import WGD, conv_kernels
from keras_wgd.optimizers.kernels import ConvKernel, guess_kernel

A = ("filters", "fan_in", "kernels")


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
def test_the_axes_of_every_layer(make, shape, expected):
    found = {k.variable.name: k for k in conv_kernels(built(make(), shape))}
    assert list(found) == list(expected)
    for name, (filters, fan_in, kernels, *sizes) in expected.items():
        kernel = found[name]
        assert [set(kernel.axes(m)) for m in A] == [
            set(filters),
            set(fan_in),
            set(kernels),
        ]
        assert [kernel.mean_size(m) for m in A] == sizes


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
def test_layers_that_are_never_touched(layer, shape):
    layer = built(layer, shape)
    assert conv_kernels(layer) == []
    guesses = [guess_kernel(v, i) for i, v in enumerate(layer.trainable_variables)]
    if not isinstance(layer, layers.EinsumDense):  # rank 4: told by its layer alone
        assert all(isinstance(guess, str) for guess in guesses)


def test_attention_is_never_touched():
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


def test_kernels_are_found_at_any_depth_once_in_order():
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
def test_a_shared_kernel_goes_by_the_first_layer_that_has_it(depth):
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


def test_a_subclassed_model_is_walked_through_its_lists_and_dictionaries():
    model = Subclassed()
    model.build((None, 8, 8, 3))
    kernels = conv_kernels(model)
    assert [k.kind for k in kernels] == ["standard", "standard", "transposed"]
    assert [model.trainable_variables[k.index] is k.variable for k in kernels] == [
        True
    ] * 3


def test_lora_factors_are_no_kernels_and_the_frozen_kernel_has_no_position():
    layer = built(layers.Conv2D(6, 3), (9, 9, 4))
    layer.enable_lora(2)
    (kernel,) = conv_kernels(layer)
    assert kernel.path.endswith("/kernel")
    assert kernel.index is None
    names = [v.name for v in layer.trainable_variables]
    assert "lora_kernel_a" in names
    assert all(isinstance(guess_kernel(v, 0), str) for v in layer.trainable_variables)


def test_a_subclass_of_a_convolution_is_a_convolution():
    class WeightStandardized(layers.Conv2D):
        pass

    (kernel,) = conv_kernels(built(WeightStandardized(3, 3), (8, 8, 3)))
    assert kernel.layer == "WeightStandardized"


def test_what_is_no_built_model_is_refused():
    with pytest.raises(
        ValueError, match=r"must be a Keras model.*Received: 'resnet50'"
    ):
        conv_kernels("resnet50")
    with pytest.raises(ValueError, match=r"model.build\(input_shape\).*not built"):
        conv_kernels(keras.Sequential([layers.Conv2D(3, 3)]))


@pytest.fixture(scope="module")
def mobilenet():
    return keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), include_top=False
    )


@pytest.mark.parametrize("mean_over", A)
def test_names_and_shapes_tell_what_the_layers_tell(mobilenet, mean_over):
    assert told(mobilenet, mean_over) == walked(mobilenet, mean_over)


def told(model, mean_over):
    guesses = [guess_kernel(v, i) for i, v in enumerate(model.trainable_variables)]
    return axes([g for g in guesses if isinstance(g, ConvKernel)], mean_over)


def walked(model, mean_over):
    return axes(conv_kernels(model), mean_over)


def axes(kernels, mean_over):
    return {k.path: k.axes(mean_over) for k in kernels if k.mean_size(mean_over) > 1}


@pytest.mark.parametrize("mean_over", A)
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
def test_depthwise_layers_are_told_by_the_names_that_keras_gives(layer, mean_over):
    model = model_of(layer, shape=(9, 9, 4))
    assert told(model, mean_over) == walked(model, mean_over)


def test_centring_the_last_axis_would_stop_17_of_mobilenets_52_kernels(mobilenet):
    kernels = conv_kernels(mobilenet)
    assert len(kernels) == 52
    assert sum(k.shape[-1] == 1 for k in kernels) == 17
    assert sum(k.mean_size("filters") == 1 for k in kernels) == 17


# Four layers that names and shapes tell wrongly, as the docs say.
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv2DTranspose(5, 3, name="up1"), (8, 8, 4)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, name="per_channel"), (8, 8, 4)),
        (layers.Conv1D(5, 3, name="stem"), (8, 4)),
        (layers.EinsumDense("abcd,cdef->abef", (None, 2, 3), name="mix"), (5, 4, 2)),
    ],
)
def test_what_names_tell_wrongly_the_layers_tell_rightly(layer, shape):
    layer = built(layer, shape)
    guess = guess_kernel(layer.trainable_variables[0], 0)
    exact = {k.path: k.kind for k in conv_kernels(layer)}
    told = {guess.path: guess.kind} if isinstance(guess, ConvKernel) else {}
    assert told != exact


def test_a_kernel_survives_its_config():
    (kernel,) = conv_kernels(built(layers.Conv2D(6, 3, groups=2), (9, 9, 4)))
    again = ConvKernel.from_config(kernel.get_config())
    assert again == kernel
    assert again.variable is None


def model_of(*stack, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


def plan_of(variables, kernels):
    optimizer = WGD("sgd", kernels=kernels)
    optimizer.build(variables)
    return optimizer._plan


def test_loaded_kernels_are_found_by_path_then_by_position():
    def make():
        return model_of(
            layers.Conv2D(4, 3, name="a"), layers.Conv2DTranspose(4, 3, name="b")
        )

    loaded = [ConvKernel.from_config(k.get_config()) for k in conv_kernels(make())]
    other = make()  # the same layers under another model's name: new paths
    for variables in (other.trainable_variables, other.trainable_variables):
        plan = plan_of(variables, loaded)
        assert [k.kind for k in plan.kernels.values()] == ["standard", "transposed"]
    frozen = make()
    renamed = [ConvKernel.from_config(k.get_config()) for k in conv_kernels(frozen)]
    plan = plan_of(
        frozen.trainable_variables[::-1], renamed
    )  # paths are right, positions not
    assert [k.kind for k in plan.kernels.values()] == ["transposed", "standard"]


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
def test_a_config_that_nobody_has_written_is_refused(change):
    config = ConvKernel("conv/kernel", (3, 3, 2, 6), "Conv2D", groups=2).get_config()
    assert ConvKernel.from_config(config).get_config() == config
    with pytest.raises(ValueError, match=r"as get_config\(\) has written it. Received"):
        ConvKernel.from_config({**config, **change})


def test_kernels_of_another_model_are_refused():
    mine, other = (model_of(layers.Conv2D(4, 3)) for _ in range(2))
    with pytest.raises(
        ValueError, match=r"kernels must belong to the model.*Received: \["
    ):
        plan_of(mine.trainable_variables, other)
    loaded = [
        ConvKernel.from_config(k.get_config())
        for k in conv_kernels(model_of(layers.Conv2D(5, 3)))
    ]
    with pytest.raises(ValueError, match="kernels must belong to the model"):
        plan_of(mine.trainable_variables, loaded)


def test_kernels_of_frozen_layers_are_no_fault():
    model = model_of(layers.Conv2D(4, 3), layers.Conv2D(4, 3))
    kernels = conv_kernels(model)
    model.layers[0].trainable = False
    plan = plan_of(model.trainable_variables, kernels)
    assert [k.variable for k in plan.kernels.values()] == [model.layers[1].kernel]
    model.layers[1].trainable = False
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.warns(UserWarning, match="found nothing to center among 2"):
        plan_of(dense.trainable_variables, model)


def test_of_a_model_a_part_may_be_trained_but_a_list_is_meant_whole():
    model, other = (model_of(layers.Conv2D(4, 3), layers.Conv2D(3, 1)) for _ in "ab")
    part = model.layers[1].trainable_variables
    assert [k.variable for k in plan_of(part, model).kernels.values()] == [part[0]]
    mixed = conv_kernels(model)[:1] + conv_kernels(other)[1:]
    with pytest.raises(ValueError, match="some are not among its trainable variables"):
        plan_of(model.trainable_variables, mixed)


def through_a_file(optimizer):
    return WGD.from_config(optimizer.get_config())


def test_what_is_frozen_when_it_is_saved_is_centred_once_it_is_free():
    model = model_of(layers.Conv2D(4, 3), layers.Conv2D(4, 3))
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


def test_a_model_saved_with_its_only_convolution_frozen_can_be_loaded(tmp_path):
    model = model_of(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2))
    model.layers[0].trainable = False
    model.compile(WGD("sgd", kernels=model), loss="mse")
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="found nothing to center"):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, WGD)


def test_a_convolution_with_layers_inside_owns_its_kernel_alone():
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


def test_a_model_named_after_recurrent_convolutions_is_no_recurrent_layer():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3)], name="conv_lstm_decoder"
    )
    outer = keras.Sequential([keras.Input((8, 8, 3)), model])
    assert told(outer, "filters") == walked(outer, "filters") != {}


def test_a_kernel_left_out_is_left_alone():
    model = model_of(layers.Conv2D(4, 3), layers.Conv2D(3, 1))
    plan = plan_of(model.trainable_variables, conv_kernels(model)[:1])
    rows = plan.summary("").to_dict()["variables"]
    assert [row["axes"] for row in rows] == [[-1], None, None, None]
    assert [row["mean_size"] for row in rows] == [4, 0, 0, 0]
