"""Networks from pixels to scores: preprocessing, new and saved weights, errors."""

import pickle

import keras
import numpy as np
import pytest
from keras import layers

from keras_wgd.tasks import classification, datasets
from keras_wgd.tasks.models.classifiers import Classifier, from_logits, names
from keras_wgd.tasks.models.names import MODELS

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")


def classifier(model=None, weights=None, shape=(32, 32, 3), classes=3):
    mean, std = MEAN[: shape[-1]], STD[: shape[-1]]
    return Classifier(shape, classes, mean, std, model, weights)


def scores(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False))


def assert_close(found, expected):
    # The scores of a network that is not trained may be tiny.
    size = np.abs(expected).max()
    np.testing.assert_allclose(found / size, expected / size, atol=1e-3)


def network_in(model):
    """The network behind the preprocessing."""
    return model.get_layer(model.name)


@pytest.mark.parametrize(
    ("model", "prepared"),
    [
        # The formulas of the Keras documentation, for RGB from 0 to 255.
        ("mobilenetv2", lambda x: x / 127.5 - 1),
        pytest.param(
            "resnet50",
            lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
            marks=pytest.mark.any_backend,
        ),
        pytest.param(
            "densenet121",
            lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
            marks=pytest.mark.any_backend,
        ),
        pytest.param("efficientnetb0", lambda x: x, marks=pytest.mark.any_backend),
        ("resnet8", lambda x: (x - MEAN) / STD),
    ],
)
def test_preprocessing(model, prepared):
    made = classifier(model)()
    assert made.output_shape == (None, 3)
    assert from_logits(made)
    expected = scores(network_in(made), prepared(PIXELS.astype("float64")))
    before = PIXELS.copy()
    assert_close(scores(made, PIXELS), expected)
    np.testing.assert_array_equal(PIXELS, before)


def test_one_channel_becomes_three_for_an_application():
    made = classifier("mobilenetv2", shape=(32, 32, 1))()
    gray = PIXELS[..., :1]
    expected = scores(network_in(made), np.repeat(gray, 3, axis=-1) / 127.5 - 1)
    assert_close(scores(made, gray), expected)
    assert network_in(classifier("resnet8", shape=(32, 32, 1))()).input_shape[-1] == 1


@pytest.mark.any_backend
def test_all_networks_are_found():
    functions = [
        name
        for name in dir(keras.applications)
        if name[0].isupper() and callable(getattr(keras.applications, name))
    ]
    assert {*names()} == {*MODELS, *(name.lower() for name in functions)}
    assert {"mobilenetv2", "efficientnetb0", "convnexttiny", "resnet8"} < {*names()}


def test_every_call_builds_a_new_network():
    build = pickle.loads(pickle.dumps(classifier("resnet8")))
    assert build == classifier("resnet8")
    made = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        made.append(build())
    assert made[0] is not made[1]
    for a, b in zip(*(model.get_weights() for model in made), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not made[0].compiled


def saved(path, *more, shape=(32, 32, 3)):
    model = keras.Sequential([keras.Input(shape), layers.Conv2D(4, 3), *more])
    model.save(path)
    return model


@pytest.mark.parametrize(
    ("end", "logits"),
    [
        ([layers.Dense(3)], True),
        ([layers.Dense(3, activation="softmax")], False),
        ([layers.Dense(3), layers.Softmax()], False),
        ([layers.Dense(3), layers.Activation("softmax")], False),
    ],
)
def test_saved_model(tmp_path, end, logits):
    path = tmp_path / "mine.keras"
    model = saved(path, layers.GlobalAveragePooling2D(), *end)
    made = classifier(weights=str(path))()
    assert from_logits(made) == logits
    assert not made.compiled
    expected = scores(model, PIXELS.astype("float32"))
    assert_close(scores(made, PIXELS), expected)
    behind = classifier("mobilenetv2", str(path))()
    expected = scores(model, PIXELS / 127.5 - 1)
    assert_close(scores(behind, PIXELS), expected)


def test_saved_feature_maps(tmp_path):
    path = tmp_path / "features.keras"
    model = saved(path)
    made = classifier(weights=str(path))()
    kernel, bias = made.get_layer("logits").get_weights()
    features = scores(model, PIXELS.astype("float32")).mean(axis=(1, 2))
    expected = features @ kernel + bias
    assert_close(scores(made, PIXELS), expected)
    assert from_logits(made)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        ("mobilnetv2", (32, 32, 3), "'mobilnetv2'. Did you mean 'mobilenetv2'"),
        ("mobilenetv2", (28, 28, 1), r"image-size must be a size that mobilenetv2.*28"),
        ("resnet50", (28, 28, 1), "at least 32 by 32 for resnet50"),
    ],
)
def test_networks_that_cannot_be_built(model, shape, message):
    with pytest.raises(ValueError, match=message) as error:
        classifier(model, shape=shape)()
    assert "\n" not in str(error.value)


@pytest.mark.any_backend
def test_saved_models_that_do_not_fit(tmp_path):
    path = str(tmp_path / "mine.keras")
    with pytest.raises(ValueError, match=r"^weights must be a file that exists"):
        classifier(weights=path)()
    saved(path, layers.GlobalAveragePooling2D(), layers.Dense(10))
    with pytest.raises(ValueError, match=r"with 3 outputs, .* with outputs of 10$"):
        classifier(weights=path)()
    with pytest.raises(ValueError, match=r"images of 64 by 64 by 3.* of 32 by 32 by 3"):
        classifier(weights=path, shape=(64, 64, 3))()
    inputs = [keras.Input((32, 32, 3)), keras.Input((2,))]
    keras.Model(inputs, inputs[1]).save(path)
    with pytest.raises(ValueError, match=r"one input and one output.* with 2 and 1"):
        classifier(weights=path)()


@pytest.mark.any_backend
def test_arguments_of_compare():
    data = datasets.load("digits", train_size=50, test_size=20)
    task = classification.arguments(data, "resnet8")
    assert task["train"][0].dtype == np.uint8
    np.testing.assert_array_equal(task["train"][0], data.train)
    np.testing.assert_array_equal(task["validation"][1], data.y_test)
    model = task["build_model"]()
    model.compile("sgd", loss=task["loss"], metrics=task["metrics"])
    history = model.fit(*task["train"], validation_data=task["validation"], verbose=0)
    assert {"val_loss", "val_accuracy"} < {*history.history}
