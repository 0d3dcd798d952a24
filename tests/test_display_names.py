"""The names of settings that people read."""

import dataclasses

import pytest
from support.results import result_of
from support.studies import DIGITS, SPEC

from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.report import display_names

pytestmark = pytest.mark.any_backend


def settings_of(*specs):
    """The settings of runs, each from an analysis of its own, in their order."""
    return [Analysis.of([result_of(spec)]).runs.row(0, named=True) for spec in specs]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image_size": 224, "epochs": 50, "train_size": None}, "on jax"),
        (
            {"image_size": None, "stem": "small", "sampler": "shuffled"},
            "10,000 training images, small stem, 4 epochs, shuffled sampler, 32 px by "
            "default, on jax",
        ),
        (
            {"batch_size": 64, "momentum": 0.5, "weight_decay": 0.0, "epsilon": 1e-7},
            "10,000 training images, 32 px, 4 epochs, batches of 64, momentum 0.5, "
            "weight decay 0, epsilon 1e-07, on jax",
        ),
        (
            {"epochs": 1, "train_size": 1, "test_size": 1},
            "1 training image, 1 test image, 32 px, 1 epoch, on jax",
        ),
    ],
)
def test_title(fields, words):
    (setting,) = settings_of(dataclasses.replace(SPEC, **fields))
    title = display_names.title(setting)
    assert title == f"Table 6: DenseNet121 on CIFAR-100; {words}"


@pytest.mark.parametrize(
    ("size", "words"), [(None, "224 px by default, "), (224, ""), (48, "48 px, ")]
)
def test_image_size_in_a_title(size, words):
    spec = RunSpec(
        dataset="animals10", model="resnet18", optimizer="adam", image_size=size
    )
    (setting,) = settings_of(spec)
    title = display_names.title(setting)
    assert title == f"Table 4: ResNet18 on Animals-10; {words}on jax"


def test_distinct_names():
    settings = settings_of(
        SPEC,
        dataclasses.replace(SPEC, epochs=1),
        DIGITS,
        dataclasses.replace(DIGITS, image_size=224),
    )
    assert display_names.distinct_names(settings) == [
        "DenseNet121 on CIFAR-100 (4 epochs)",
        "DenseNet121 on CIFAR-100 (1 epoch)",
        "resnet8 on digits",
        "resnet8 on digits (224 px)",
    ]
    assert display_names.distinct_names(settings[2:3]) == ["resnet8 on digits"]
