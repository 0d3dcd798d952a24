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
        # By hand, stem, stages, shortcuts, normalisation and head:
        # 432 + 4608 + 13824 + 55296 + 2560 + 672 + 650, and for n = 3
        # 432 + 13824 + 50688 + 202752 + 2560 + 1568 + 650 (0.27 M in the paper).
        ("resnet8", 10, 7 + 2, 78_042),
        ("resnet20", 10, 19 + 2, 272_474),
        # As torchvision counts its own; Keras's ResNet-50 has a bias for each of
        # the 26,560 filters besides.
        ("resnet18", 1000, 17 + 3, 11_689_512),
        ("resnet50", 1000, 49 + 4, 25_557_032 + 26_560),
        ("densenet121", 1000, 120, 7_978_856),
    ],
)
def test_networks_have_the_size_they_should(name, classes, convolutions, parameters):
    model = build(name, (32, 32, 3), classes)
    assert len(found(model, layers.Conv2D)) == convolutions
    assert size(model.trainable_variables) == parameters
    assert model.output.shape == (None, classes)
    assert model.layers[-1].activation is keras.activations.linear


def convolutions(model):
    """Each convolution of our own with its normalisation, in the order of making."""
    pairs = []
    for kind in (layers.Conv2D, layers.BatchNormalization):
        number = {x: int((re.findall(r"\d+$", x.name) or [0])[0]) for x in model.layers}
        pairs.append(sorted(found(model, kind), key=number.__getitem__))
    return list(zip(*pairs, strict=True))


def randomized_resnet18(input_shape, stem=None):
    """No statistic is 0 or 1, so that none can be left out, and none grows."""
    keras.utils.set_random_seed(0)
    model = models.build("resnet18", input_shape, 5, stem)
    rng = np.random.default_rng(0)
    for _, normalization in convolutions(model):
        shape = normalization.gamma.shape
        ranges = ((0.5, 1.0), (-0.5, 0.5), (-0.5, 0.5), (0.5, 1.5))
        normalization.set_weights([rng.uniform(*r, shape) for r in ranges])
    images = rng.normal(size=(3, *input_shape)).astype("float32")
    return model, images


def torch_resnet18(model, images, stem):
    """ResNet-18 as torch computes it, with the weights of `model`."""
    weights = iter(convolutions(model))

    def convolution(x, stride=1):
        conv, normalization = next(weights)
        kernel = torch.tensor(numbers(conv.kernel)).permute(3, 2, 0, 1)
        padding = kernel.shape[-1] // 2
        x = F.conv2d(x, kernel, stride=stride, padding=padding)
        gamma, beta, mean, variance = map(torch.tensor, normalization.get_weights())
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    x = torch.tensor(images).permute(0, 3, 1, 2)
    x = F.relu(convolution(x, stride=1 if stem else 2))
    if not stem:
        x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = convolution(F.relu(convolution(x, stride)))
            x = F.relu(y + (convolution(x, stride) if stride > 1 else x))
    assert next(weights, None) is None
    kernel, bias = map(torch.tensor, model.get_layer("logits").get_weights())
    return (x.mean((2, 3)) @ kernel + bias).numpy()


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("input_shape", "stem"),
    # Strides of 2 meet even and odd sizes alike.
    [((45, 38, 1), None), ((16, 16, 3), "small")],
)
def test_resnet18_is_that_of_torch(input_shape, stem):
    model, images = randomized_resnet18(input_shape, stem)
    expected = torch_resnet18(model, images, stem)
    assert expected.std() > 0.1
    logits = numbers(model(images, training=False))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=3e-5)


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
def test_resnet18_is_that_of_keras_cv_where_no_size_is_even():
    pytest.importorskip("keras_cv", exc_type=ImportError)
    model, images = randomized_resnet18((33, 33, 3))
    other = models.build("keras_cv_resnet18", (33, 33, 3), 5)
    assert size(other.variables) == size(model.variables)
    copy_weights(model, other, "v2_stack_", first=1)
    other.get_layer("logits").set_weights(model.get_layer("logits").get_weights())
    logits = numbers(model(images, training=False))
    expected = numbers(other(images, training=False))
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=3e-5)


def test_resnet18_is_that_of_keras_hub():
    keras_hub = pytest.importorskip("keras_hub", exc_type=ImportError)
    model, images = randomized_resnet18((32, 32, 3))
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
    logits = numbers(model(images, training=False))
    expected = features.mean((1, 2)) @ kernel + bias
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=3e-5)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_the_small_stem_changes_the_stem_alone(name):
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
def test_the_small_stem_keeps_the_rest_of_keras_applications(name):
    own, small = (build(name, (32, 32, 3), 1000, *stem) for stem in ((), ("small",)))

    def rest(model):
        kinds = (layers.Conv2D, layers.BatchNormalization, layers.Dense, layers.Add)
        return [layer.get_config() for layer in found(model, kinds)][1:]

    assert rest(own) == rest(small)
    assert len(rest(own)) > 100


large = pytest.param("resnet50", "small", marks=pytest.mark.any_backend)


# DenseNet's graph alone is looked at above.
@pytest.mark.parametrize(
    ("name", "stem"), [("resnet8", None), ("resnet20", None), large]
)
def test_images_of_one_channel_give_logits(name, stem):
    model = models.build(name, (32, 32, 1), 7, stem)
    logits = numbers(model(np.ones((2, 32, 32, 1), "float32"), training=False))
    assert logits.shape == (2, 7)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert logits.min() < 0


@pytest.mark.parametrize(("name", "stem"), [("resnet8", None), large])
def test_the_seed_alone_decides_the_initial_weights(name, stem):
    def weights(seed):
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        return models.build(name, (32, 32, 1), 10, stem).get_weights()

    first, second, other = weights(0), weights(0), weights(1)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in kernels)
    # Nor do two kernels of a network share their numbers.
    heads = {tuple(a.ravel()[:4]) for a, _ in kernels}
    assert len(heads) == len(kernels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet9", (8, 8, 1)),
            r"resnet8, .*, keras_cv_resnet18. Received: 'resnet9'",
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
def test_what_cannot_be_built_is_refused_at_once(arguments, message):
    name, input_shape, *stem = arguments
    for refused in (models.check, lambda *a: models.build(*a[:2], 10, *a[2:])):
        with pytest.raises(ValueError, match=message):
            refused(name, input_shape, *stem)


@pytest.mark.parametrize("package", ["keras_cv", "tensorflow"])
def test_a_package_that_is_absent_is_named(package, monkeypatch):
    monkeypatch.setattr(
        models, "find_spec", lambda name: None if name == package else name
    )
    with pytest.raises(ValueError, match=r"keras-wgd\[keras-cv\].*Received") as error:
        models.build("keras_cv_resnet18", (32, 32, 3), 10)
    assert str(error.value).endswith(f"no module {package}")
    assert "\n" not in str(error.value)


def test_names_and_checks_do_without_keras():
    code = (
        "import sys\n"
        "from keras_wgd.tasks import models\n"
        "models.check('densenet121', (32, 32, 3), 'small')\n"
        "assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    stems = {stem for network in MODELS.values() for stem in network.least}
    assert stems == {None, *STEMS}


def test_a_network_that_keras_does_not_have_is_named():
    with pytest.raises(ValueError, match=r"mobilenetv2, .* Received: 'lenet'"):
        applications.load("lenet")


def test_files_that_are_no_models_are_refused(tmp_path):
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
