"""Data sets by name, the digits, subsets, and which images an epoch shows."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.datasets import load_digits
from support.images import labeled

from keras_wgd.tasks import datasets
from keras_wgd.tasks.datasets.dataset import balanced
from keras_wgd.tasks.datasets.names import SIZES

pytestmark = pytest.mark.any_backend

# The training images of Animals-10 by class.
COUNTS = [4376, 2361, 1301, 1901, 2789, 1502, 1680, 1638, 4339, 1676]


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_digits_are_those_of_scikit_learn(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.image_shape == (SIZES["digits"], SIZES["digits"], 1)
    images = np.concatenate([digits.train, digits.test])
    labels = np.concatenate([digits.y_train, digits.y_test])
    expected = load_digits()
    assert sorted(zip(map(bytes, images), labels, strict=True)) == sorted(
        (bytes(image.astype("uint8")), label)
        for image, label in zip(expected.images, expected.target, strict=True)
    )


def test_digits_split(digits):
    assert set(np.bincount(digits.y_test)) <= {34, 35, 36, 37}
    np.testing.assert_array_equal(digits.train, datasets.load("digits").train)


def test_digits_preprocessing(digits):
    pixels = digits.preprocess(digits.train)
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (0, 1)


@pytest.mark.parametrize("size", [None, 8])
def test_images_of_the_right_size_are_not_changed(digits, size):
    data = datasets.load("digits", image_size=size)
    assert isinstance(data.epoch(0, 0, 32)["x"], np.ndarray)
    np.testing.assert_array_equal(data.train, digits.train)


@pytest.mark.parametrize("size", [7, 0, -8, 8.0, True, "8"])
def test_invalid_image_size(size):
    with pytest.raises(ValueError, match=r"image_size must be .* 8, or None. Received"):
        datasets.load("digits", image_size=size)


def test_unknown_dataset():
    with pytest.raises(ValueError, match=f"{', '.join(SIZES)}. Received: 'emnist'"):
        datasets.load("emnist")


def test_loading_needs_neither_keras_nor_pillow():
    program = (
        "import sys; from keras_wgd.tasks import datasets; datasets.load('digits');"
        "print({'keras', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"


def test_balanced_subset():
    labels = np.random.default_rng(0).integers(0, 5, 200)
    chosen = balanced(labels, 52)
    assert len(set(chosen)) == 52
    assert list(chosen) == sorted(chosen)
    counts = np.bincount(labels[chosen], minlength=5)
    assert (counts.max() - counts.min(), counts.sum()) == (1, 52)
    np.testing.assert_array_equal(balanced(labels, None), np.arange(200))
    few = np.array([0, 0, 0, 0, 1])
    np.testing.assert_array_equal(balanced(few, 4), [0, 1, 2, 4])


def test_more_images_than_there_are(digits):
    with pytest.raises(ValueError, match=r"train_size .* 1 and 1437. Received: 1438"):
        digits.subset(1438, None)
    with pytest.raises(ValueError, match="batch_size must be at most the 1437"):
        digits.epoch(0, 0, 1438)


def test_unknown_sampler(digits):
    with pytest.raises(ValueError, match=r"one of shuffled, weighted. Received: 'no'"):
        digits.epoch(0, 0, 32, "no")


def test_shuffled_epoch_shows_each_image_once(digits):
    epoch = digits.epoch(seed=0, epoch=0, batch_size=1, sampler="shuffled")
    images = map(bytes, (epoch["x"] * 16).astype("uint8"))
    assert sorted(zip(images, epoch["y"], strict=True)) == sorted(
        zip(map(bytes, digits.train), digits.y_train, strict=True)
    )


@pytest.fixture(scope="module")
def animals():
    return labeled(np.repeat(np.arange(10), COUNTS))


def class_counts(data, epoch, sampler):
    chosen = data.indices(0, epoch, 1, sampler)
    return np.bincount(data.y_train[chosen], minlength=data.classes)


def looks_uniform(counts):
    size, classes = counts.sum(), len(counts)
    error = np.sqrt(size * (1 / classes) * (1 - 1 / classes))
    within = np.abs(counts - size / classes) <= 4 * error
    return within.all() and chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("epoch", range(5))
def test_weighted_epoch_shows_classes_equally(animals, epoch):
    assert looks_uniform(class_counts(animals, epoch, "weighted"))
    assert not looks_uniform(class_counts(animals, epoch, "shuffled"))


def test_weighted_epoch_draws_with_replacement(animals):
    chosen = animals.indices(0, 0, 1, "weighted")
    size = len(animals.y_train)
    assert len(chosen) == size
    for label, images in enumerate(COUNTS):
        shown = set(chosen[animals.y_train[chosen] == label])
        expected = images * (1 - (1 - 1 / (10 * images)) ** size)
        assert len(shown) == pytest.approx(expected, rel=0.05)


def test_weighted_epoch_without_images_of_a_class():
    counts = class_counts(labeled([0] * 90 + [2] * 10), 0, "weighted")
    assert counts[1] == 0
    assert 35 <= counts[0] <= 65


@pytest.mark.parametrize(
    ("sampler", "first"),
    [
        ("shuffled", [4303, 10409, 11349, 16070, 17931, 15420]),
        ("weighted", [11289, 10800, 10496, 7739, 18498, 2177]),
    ],
)
def test_indices_depend_on_seed_and_epoch_alone(animals, sampler, first):
    chosen = animals.indices(1, 2, 128, sampler)
    assert len(chosen) == 23563 // 128 * 128
    assert chosen[:6].tolist() == first
    again = animals.indices(1, 2, 128, sampler)
    np.testing.assert_array_equal(chosen, again)
    for other in ((1, 3), (2, 2)):
        assert (animals.indices(*other, 128, sampler) != chosen).any()
