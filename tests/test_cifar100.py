import keras
import numpy as np
import pytest
from support.runs import cifar_arrays

from keras_wgd.tasks import datasets
from keras_wgd.tasks.datasets import cifar100
from keras_wgd.tasks.datasets.names import SIZES

pytestmark = pytest.mark.any_backend


def test_arrays_of_the_file(tmp_path):
    arrays = cifar_arrays()
    np.savez(tmp_path / cifar100.FILE, **arrays)
    data = datasets.load("cifar100", str(tmp_path), test_size=10)
    assert data.image_shape == (SIZES["cifar100"], SIZES["cifar100"], 3)
    np.testing.assert_array_equal(data.train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"][:, 0])
    assert (data.classes, len(data.test)) == (100, 10)
    mean, std = [0.507075, 0.486549, 0.440918], [0.267334, 0.256438, 0.276150]
    expected = (arrays["x_train"] / 255 - mean) / std
    np.testing.assert_allclose(data.preprocess(data.train), expected, atol=1e-4)


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
def test_other_archives_are_rejected(tmp_path, change, message):
    arrays = cifar_arrays()
    change(arrays)
    np.savez(tmp_path / cifar100.FILE, **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.load("cifar100", str(tmp_path))


def truncated(share):
    return lambda whole: whole[: int(share * len(whole))]


def flipped(whole):
    whole[60_000] ^= 1
    return whole


def overwritten(whole):
    whole[5000:5040] = b"\xff" * 40
    return whole


@pytest.mark.parametrize(
    ("save", "damage"),
    [
        (np.savez, lambda whole: b""),
        (np.savez, lambda whole: whole[:100]),
        (np.savez, truncated(0.5)),
        (np.savez, truncated(0.999)),
        (np.savez, flipped),
        (np.savez_compressed, overwritten),
    ],
)
def test_damaged_archives_are_rejected(tmp_path, save, damage):
    path = tmp_path / cifar100.FILE
    save(path, **cifar_arrays())
    path.write_bytes(damage(bytearray(path.read_bytes())))
    with pytest.raises(ValueError, match=r"whole NumPy archive.*cannot be read"):
        datasets.load("cifar100", str(tmp_path))


def test_missing_file_or_folder(tmp_path):
    with pytest.raises(ValueError, match=r"Received: .*nowhere, which is no folder"):
        datasets.load("cifar100", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="without it"):
        datasets.load("cifar100", str(tmp_path))


def test_copy_of_keras(monkeypatch, capsys):
    arrays = cifar_arrays()

    def load_data(label_mode):
        print("Downloading")
        return tuple(
            (arrays[f"x_{part}"], arrays[f"y_{part}"].astype("uint8"))
            for part in (("train", "test") if label_mode == "fine" else ())
        )

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", load_data)
    data = datasets.load("cifar100")
    np.testing.assert_array_equal(data.train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_test, arrays["y_test"][:, 0])
    assert (data.class_names[0], data.class_names[99]) == ("apple", "worm")
    assert len(set(data.class_names)) == 100
    assert list(data.class_names) == sorted(data.class_names)
    assert capsys.readouterr() == ("", "Downloading\n")
    arrays["x_train"] = arrays["x_train"].transpose(0, 3, 1, 2)
    with pytest.raises(ValueError, match=r"^cifar100 must .*: Keras's own copy, with"):
        datasets.load("cifar100")


@pytest.mark.parametrize(
    "error", [Exception("URL fetch failure on\nhttps: None"), OSError(28, "no space")]
)
def test_failed_download(monkeypatch, error):
    def load_data(label_mode):
        raise error

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", load_data)
    with pytest.raises(
        ValueError, match=r"cifar100 needs --data-dir: .*no folder, and .*(https|space)"
    ) as raised:
        datasets.load("cifar100")
    assert "\n" not in str(raised.value)
