import functools
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from keras import layers

from keras_wgd.tasks import models
from keras_wgd.tasks.models import applications
from keras_wgd.tasks.models.names import MODELS, STEMS

build = functools.cache(models.build)


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def size(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def found(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("name", "classes", "convolutions", "parameters"),
    [
        # By hand, stem, stages, shortcuts, normalization and head:
        # 432 + 4608 + 13824 + 55296 + 2560 + 672 + 650, and for n = 3
        # 432 + 13824 + 50688 + 202752 + 2560 + 1568 + 650 (0.27 M in the paper).
        ("resnet8", 10, 7 + 2, 78_042),
        ("resnet20", 10, 19 + 2, 272_474),
        # Group normalization has a scale and an offset for each filter, too.
        ("resnet8_gn", 10, 7 + 2, 78_042),
        ("resnet20_gn", 10, 19 + 2, 272_474),
        # As torchvision counts its own; Keras's ResNet-50 has a bias for each of
        # the 26,560 filters besides.
        ("resnet18", 1000, 17 + 3, 11_689_512),
        ("resnet50", 1000, 49 + 4, 25_557_032 + 26_560),
        ("densenet121", 1000, 120, 7_978_856),
    ],
)
def test_sizes_of_networks(name, classes, convolutions, parameters):
    model = build(name, (32, 32, 3), classes)
    assert len(found(model, layers.Conv2D)) == convolutions
    assert size(model.trainable_variables) == parameters
    assert model.output.shape == (None, classes)
    assert model.layers[-1].activation is keras.activations.linear


NORMALIZATIONS = (layers.BatchNormalization, layers.GroupNormalization)


def convolutions(model):
    """Each convolution and its normalization, in the order in which they were made."""
    pairs = []
    for kind in (layers.Conv2D, NORMALIZATIONS):
        number = {x: int((re.findall(r"\d+$", x.name) or [0])[0]) for x in model.layers}
        pairs.append(sorted(found(model, kind), key=number.__getitem__))
    return list(zip(*pairs, strict=True))


def randomized(name, input_shape, stem=None):
    """A network whose normalizations are no identity, and images for it."""
    keras.utils.set_random_seed(0)
    model = models.build(name, input_shape, 5, stem)
    rng = np.random.default_rng(0)
    ranges = ((0.5, 1.0), (-0.5, 0.5), (-0.5, 0.5), (0.5, 1.5))
    for _, normalization in convolutions(model):
        weights = normalization.get_weights()  # with batch statistics, or without
        normalization.set_weights(
            [rng.uniform(*r, w.shape) for r, w in zip(ranges, weights, strict=False)]
        )
    images = rng.normal(size=(3, *input_shape)).astype("float32")
    return model, images


class TorchNetwork:
    """The parts of a network as torch computes them, with the weights of `model`."""

    def __init__(self, model, groups=None):
        self.pairs = iter(convolutions(model))
        self.head = map(torch.tensor, model.get_layer("logits").get_weights())
        self.groups = groups

    def convolution(self, x, stride=1, keras_padding=False):
        convolution, normalization = next(self.pairs)
        kernel = torch.tensor(numbers(convolution.kernel)).permute(3, 2, 0, 1)
        size = kernel.shape[-1]
        # Where the padding is odd, Keras adds more at the bottom and on the right.
        x = F.pad(
            x, self.keras_padding(x, size, stride) if keras_padding else [size // 2] * 4
        )
        x = F.conv2d(x, kernel, stride=stride)
        gamma, beta, *statistics = map(torch.tensor, normalization.get_weights())
        if self.groups:
            assert not statistics
            return F.group_norm(x, self.groups, gamma, beta, eps=1e-3)
        eps = 1e-3 if keras_padding else 1e-5
        return F.batch_norm(x, *statistics, gamma, beta, eps=eps)

    @staticmethod
    def keras_padding(x, size, stride):
        padding = []
        for length in (x.shape[3], x.shape[2]):
            total = max((-(-length // stride) - 1) * stride + size - length, 0)
            padding += [total // 2, total - total // 2]
        return padding

    def stages(self, x, stages, blocks, keras_padding=False):
        for stage in range(stages):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                y = F.relu(self.convolution(x, stride, keras_padding))
                y = self.convolution(y, 1, keras_padding)
                if stride > 1:
                    x = self.convolution(x, stride, keras_padding)
                x = F.relu(y + x)
        assert next(self.pairs, None) is None
        kernel, bias = self.head
        return (x.mean((2, 3)) @ kernel + bias).numpy()


def torch_resnet18(model, images, stem):
    network = TorchNetwork(model)
    x = torch.tensor(images).permute(0, 3, 1, 2)
    x = F.relu(network.convolution(x, stride=1 if stem else 2))
    if not stem:
        x = F.max_pool2d(x, 3, stride=2, padding=1)
    return network.stages(x, stages=4, blocks=2)


def torch_cifar_resnet(model, images, blocks, groups):
    network = TorchNetwork(model, groups)
    x = torch.tensor(images).permute(0, 3, 1, 2)
    x = F.relu(network.convolution(x, keras_padding=True))
    return network.stages(x, stages=3, blocks=blocks, keras_padding=True)


def check_equal(logits, expected):
    assert expected.std() > 0.1
    np.testing.assert_allclose(numbers(logits), expected, rtol=1e-5, atol=3e-5)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("name", "blocks", "groups"),
    [("resnet8", 1, None), ("resnet8_gn", 1, 8), ("resnet20_gn", 3, 8)],
)
def test_small_resnets_equal_torch(name, blocks, groups):
    # Strides of 2 have inputs of even and of odd size.
    model, images = randomized(name, (17, 16, 3))
    expected = torch_cifar_resnet(model, images, blocks, groups)
    check_equal(model(images, training=False), expected)
    assert model.name == name


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("input_shape", "stem"),
    # Strides of 2 have inputs of even and of odd size.
    [((45, 38, 1), None), ((16, 16, 3), "small")],
)
def test_resnet18_equals_torch(input_shape, stem):
    model, images = randomized("resnet18", input_shape, stem)
    check_equal(model(images, training=False), torch_resnet18(model, images, stem))


def copy_weights(model, other, prefix, first):
    """Copy to the network of another library, whose blocks count from `first`."""
    names = ["conv1"] + [
        f"{prefix}{stack}_block{first + block}_{place}"
        for stack in range(4)
        for block in range(2)
        for place in ((1, 2, 0) if stack and not block else (1, 2))
    ]
    for name, pair in zip(names, convolutions(model), strict=True):
        for end, layer in zip(("conv", "bn"), pair, strict=True):
            other.get_layer(f"{name}_{end}").set_weights(layer.get_weights())


@pytest.mark.any_backend
def test_resnet18_equals_keras_cv_on_odd_sizes():
    pytest.importorskip("keras_cv", exc_type=ImportError)
    model, images = randomized("resnet18", (33, 33, 3))
    other = models.build("keras_cv_resnet18", (33, 33, 3), 5)
    assert size(other.variables) == size(model.variables)
    copy_weights(model, other, "v2_stack_", first=1)
    other.get_layer("logits").set_weights(model.get_layer("logits").get_weights())
    check_equal(model(images, training=False), numbers(other(images, training=False)))


def test_resnet18_equals_keras_hub():
    keras_hub = pytest.importorskip("keras_hub", exc_type=ImportError)
    model, images = randomized("resnet18", (32, 32, 3))
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )
    kernel, bias = model.get_layer("logits").get_weights()
    assert size(backbone.variables) + kernel.size + bias.size == size(model.variables)
    copy_weights(model, backbone, "stack", first=0)
    features = numbers(backbone(images, training=False))
    expected = features.mean((1, 2)) @ kernel + bias
    check_equal(model(images, training=False), expected)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_small_stem(name):
    own, small = (build(name, (32, 32, 3), 1000, *stem) for stem in ((), ("small",)))
    stems = [found(model, layers.Conv2D)[0] for model in (own, small)]
    assert [stem.kernel_size for stem in stems] == [(7, 7), (3, 3)]
    assert [stem.output.shape[1:] for stem in stems] == [(16, 16, 64), (32, 32, 64)]
    ends = [found(model, layers.GlobalAveragePooling2D)[0] for model in (own, small)]
    assert [end.input.shape[1:3] for end in ends] == [(1, 1), (4, 4)]
    assert not found(small, layers.MaxPooling2D)
    assert size(own.variables) - size(small.variables) == 64 * 3 * (49 - 9)

    def shapes(model):
        return [weight.shape for weight in model.weights[1:]]

    assert shapes(own) == shapes(small)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["resnet50", "densenet121"])
def test_small_stem_keeps_other_layers_of_keras_applications(name):
    own, small = (build(name, (32, 32, 3), 1000, *stem) for stem in ((), ("small",)))

    def rest(model):
        kinds = (layers.Conv2D, layers.BatchNormalization, layers.Dense, layers.Add)
        return [layer.get_config() for layer in found(model, kinds)][1:]

    assert rest(own) == rest(small)
    assert len(rest(own)) > 100


large = pytest.param("resnet50", "small", marks=pytest.mark.any_backend)


# For DenseNet, the graph is checked above.
@pytest.mark.parametrize(
    ("name", "stem"), [("resnet8", None), ("resnet20", None), large]
)
def test_images_with_one_channel(name, stem):
    model = models.build(name, (32, 32, 1), 7, stem)
    logits = numbers(model(np.ones((2, 32, 32, 1), "float32"), training=False))
    assert logits.shape == (2, 7)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert logits.min() < 0


@pytest.mark.parametrize(("name", "stem"), [("resnet8", None), large])
def test_initial_weights_depend_on_the_seed_alone(name, stem):
    def weights(seed):
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        return models.build(name, (32, 32, 1), 10, stem).get_weights()

    first, second, other = weights(0), weights(0), weights(1)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in kernels)
    # No two kernels of a network have the same initial values.
    heads = {tuple(a.ravel()[:4]) for a, _ in kernels}
    assert len(heads) == len(kernels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet9", (8, 8, 1)),
            f"{', '.join(MODELS)}. Received: 'resnet9'",
        ),
        (("resnet8", (3, 8, 1)), r"at least 4 by 4 for resnet8. Received: \(3, 8, 1\)"),
        (("resnet20", (8, 3, 1)), "at least 4 by 4 for resnet20"),
        (("resnet18", (31, 32, 3)), "at least 32 by 32 for resnet18. Received"),
        (("resnet18", (7, 8, 3), "small"), "8 by 8 for resnet18 with stem 'small'"),
        (("resnet50", (31, 31, 3), "small"), "32 by 32 for resnet50 with stem"),
        (("densenet121", (28, 28, 1)), "at least 32 by 32 for densenet121"),
        (("resnet8", (8, 8, 1), "small"), "None for resnet8. Received: 'small'"),
        (("resnet18", (8, 8, 1), "tiny"), "None or 'small' for resnet18. .*'tiny'"),
        (("keras_cv_resnet18", (31, 31, 3)), "32 by 32 for keras_cv_resnet18"),
    ],
)
def test_invalid_arguments(arguments, message):
    name, input_shape, *stem = arguments
    for refused in (models.check, lambda *a: models.build(*a[:2], 10, *a[2:])):
        with pytest.raises(ValueError, match=message):
            refused(name, input_shape, *stem)


@pytest.mark.parametrize("package", ["keras_cv", "tensorflow"])
def test_missing_package(package, monkeypatch):
    monkeypatch.setattr(
        models, "find_spec", lambda name: None if name == package else name
    )
    with pytest.raises(ValueError, match=r"keras-wgd\[keras-cv\].*Received") as error:
        models.build("keras_cv_resnet18", (32, 32, 3), 10)
    assert str(error.value).endswith(f"no module {package}")
    assert "\n" not in str(error.value)


def test_check_needs_no_keras():
    code = (
        "import sys\n"
        "from keras_wgd.tasks import models\n"
        "models.check('densenet121', (32, 32, 3), 'small')\n"
        "assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    stems = {stem for network in MODELS.values() for stem in network.min_sizes}
    assert stems == {None, *STEMS}


def test_unknown_application():
    with pytest.raises(ValueError, match=r"mobilenetv2, .* Received: 'lenet'"):
        applications.load("lenet")


def test_invalid_model_files(tmp_path):
    with pytest.raises(ValueError, match="must be a file that exists"):
        applications.load(str(tmp_path / "absent.keras"))
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    path = tmp_path / "model.keras"
    model.save(path)
    assert len(applications.load(str(path)).layers) == 1
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"must be a whole .keras file") as error:
        applications.load(str(path))
    assert "\n" not in str(error.value)
