import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_wgd import datasets
from keras_wgd.datasets import cifar100
from keras_wgd.datasets.dataset import balanced


def cifar_arrays(samples=40):
    generator = np.random.default_rng(0)
    arrays = {"fine_label_names": np.array([f"class{i}" for i in range(100)])}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = generator.integers(
            0, 256, (samples, 32, 32, 3), dtype="uint8"
        )
        arrays[f"y_{part}"] = generator.integers(0, 100, (samples, 1))
    return arrays


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_the_digits_are_those_of_scikit_learn_split_once(digits):
    assert (len(digits.x_train), len(digits.x_test)) == (1437, 360)
    assert digits.image_shape == (8, 8, 1)
    images = np.concatenate([digits.x_train, digits.x_test])
    labels = np.concatenate([digits.y_train, digits.y_test])
    wanted = load_digits()
    assert sorted(zip(map(bytes, images), labels, strict=True)) == sorted(
        (bytes(image.astype("uint8")), label)
        for image, label in zip(wanted.images, wanted.target, strict=True)
    )
    assert set(np.bincount(digits.y_test)) <= {34, 35, 36, 37}
    np.testing.assert_array_equal(digits.x_train, datasets.load("digits").x_train)


def test_pixels_are_normalised(digits):
    normalized = digits.normalized(digits.x_train)
    assert normalized.dtype == np.float32
    assert (normalized.min(), normalized.max()) == (0, 1)


def test_an_epoch_can_be_made_again_and_no_two_are_alike(digits):
    x, y = digits.epoch(seed=3, epoch=5, batch_size=32)
    again = digits.epoch(seed=3, epoch=5, batch_size=32)
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert len(x) == len(y) == 1437 // 32 * 32
    for other in ((3, 6), (4, 5)):
        assert (digits.epoch(*other, 32)[1] != y).any()


def test_an_epoch_takes_each_image_once_with_its_label(digits):
    x, y = digits.epoch(seed=0, epoch=0, batch_size=1)
    shown = sorted(zip(map(bytes, (x * 16).astype("uint8")), y, strict=True))
    kept = sorted(zip(map(bytes, digits.x_train), digits.y_train, strict=True))
    assert shown == kept


def test_a_subset_is_balanced_and_always_the_same():
    labels = np.random.default_rng(0).integers(0, 5, 200)
    chosen = balanced(labels, 52)
    assert len(set(chosen)) == 52
    assert list(chosen) == sorted(chosen)
    counts = np.bincount(labels[chosen], minlength=5)
    assert (counts.max() - counts.min(), counts.sum()) == (1, 52)
    np.testing.assert_array_equal(balanced(labels, None), np.arange(200))
    few = np.array([0, 0, 0, 0, 1])
    np.testing.assert_array_equal(balanced(few, 4), [0, 1, 2, 4])


def test_cifar100_is_read_as_it_is(tmp_path):
    arrays = cifar_arrays()
    np.savez(tmp_path / cifar100.FILE, **arrays)
    data = datasets.load("cifar100", str(tmp_path), test_size=10)
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"][:, 0])
    assert (data.classes, len(data.x_test)) == (100, 10)
    wanted = (arrays["x_train"] / 255 - [0.507075, 0.486549, 0.440918]) / [
        0.267334,
        0.256438,
        0.276150,
    ]
    np.testing.assert_allclose(data.normalized(data.x_train), wanted, atol=1e-4)


def without(key):
    return lambda arrays: arrays.pop(key)


def replaced(key, value):
    return lambda arrays: arrays.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("y_test"), "must hold x_train.* Received: .*, without y_test"),
        (replaced("x_train", np.zeros((40, 3, 32, 32), "uint8")), r"uint8 \(40, 3, 32"),
        (replaced("x_test", np.zeros((40, 32, 32, 3))), r"float64 \(40, 32, 32, 3\)"),
        (replaced("y_train", np.zeros(39, int)), r"labels \(39,\)"),
        (replaced("y_test", np.zeros((4, 10), int)), r"labels \(4, 10\)"),
        (replaced("fine_label_names", np.array(["a", "b"])), r"names of shape \(2,\)"),
        (replaced("fine_label_names", np.array("a")), r"names of shape \(\)"),
        (replaced("y_train", np.full(40, 100)), "labels from 0 to 99"),
        (replaced("y_train", np.full(40, "cat")), "labels from 0 to 99"),
        (replaced("fine_label_names", np.array([object()])), "cannot be read"),
    ],
)
def test_an_alien_archive_is_refused(tmp_path, change, message):
    arrays = cifar_arrays()
    change(arrays)
    np.savez(tmp_path / cifar100.FILE, **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.load("cifar100", str(tmp_path))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
def test_a_truncated_archive_is_refused(tmp_path, keep):
    path = tmp_path / cifar100.FILE
    np.savez(path, **cifar_arrays())
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(ValueError, match=r"whole NumPy archive.*cannot be read"):
        datasets.load("cifar100", str(tmp_path))


def test_damage_in_the_middle_of_an_archive_is_refused(tmp_path):
    path = tmp_path / cifar100.FILE
    np.savez(path, **cifar_arrays())
    whole = bytearray(path.read_bytes())
    whole[60_000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"whole NumPy archive.*cannot be read"):
        datasets.load("cifar100", str(tmp_path))


def test_damage_in_what_is_compressed_is_refused(tmp_path):
    path = tmp_path / cifar100.FILE
    np.savez_compressed(path, **cifar_arrays())
    whole = bytearray(path.read_bytes())
    whole[5000:5040] = b"\xff" * 40
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"whole NumPy archive.*cannot be read"):
        datasets.load("cifar100", str(tmp_path))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="cifar100 needs --data-dir"):
        datasets.load("cifar100")
    with pytest.raises(ValueError, match=r"Received: .*nowhere, which is no folder"):
        datasets.load("cifar100", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="without it"):
        datasets.load("cifar100", str(tmp_path))
    with pytest.raises(ValueError, match=r"cifar100, digits. Received: 'mnist'"):
        datasets.load("mnist")


def test_more_images_than_there_are_cannot_be_had(digits):
    with pytest.raises(ValueError, match=r"train_size .* 1 and 1437. Received: 1438"):
        digits.subset(1438, None)
    with pytest.raises(ValueError, match="batch_size must be at most the 1437"):
        digits.epoch(0, 0, 1438)
