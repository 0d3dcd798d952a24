"""The images of keras.datasets, from files and from Keras's own copies."""

import gzip
import pickle
import tarfile

import keras
import numpy as np
import pytest
from support.runs import cifar_arrays

from keras_wgd.tasks import datasets
from keras_wgd.tasks.datasets.from_keras import SETS
from keras_wgd.tasks.datasets.names import SIZES

pytestmark = pytest.mark.any_backend


def test_arrays_of_the_file(tmp_path):
    arrays = cifar_arrays()
    np.savez(tmp_path / "cifar100.npz", **arrays)
    data = datasets.load("cifar100", str(tmp_path), test_size=10)
    assert data.image_shape == (SIZES["cifar100"], SIZES["cifar100"], 3)
    np.testing.assert_array_equal(data.train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"][:, 0])
    assert (data.classes, len(data.test)) == (100, 10)
    mean, std = [0.507075, 0.486549, 0.440918], [0.267334, 0.256438, 0.276150]
    expected = (arrays["x_train"] / 255 - mean) / std
    np.testing.assert_allclose(data.preprocess(data.train), expected, atol=1e-4)


def keras_files_of_mnist(folder, arrays):
    np.savez(folder / "mnist.npz", **arrays)


def keras_files_of_fashion_mnist(folder, arrays):
    (folder / "fashion-mnist").mkdir()
    for part, name in {"train": "train", "test": "t10k"}.items():
        for what, kind, head in (("y", "labels-idx1", 8), ("x", "images-idx3", 16)):
            path = folder / "fashion-mnist" / f"{name}-{kind}-ubyte.gz"
            with gzip.open(path, "wb") as file:
                file.write(b"-" * head + arrays[f"{what}_{part}"].tobytes())


def keras_files_of_cifar10(folder, arrays):
    # Keras reads 10,000 images in each of the five training files.
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        x, y = (
            arrays[f"{what}_{'test' if 't_' in name else 'train'}"] for what in "xy"
        )
        repeated = np.resize(x.transpose(0, 3, 1, 2), (10_000, 3072))
        labels = np.resize(y, 10_000).tolist()
        content = {b"data": repeated, b"labels": labels}
        (folder / name).write_bytes(pickle.dumps(content))
    with tarfile.open(folder / "cifar-10-batches-py-target_archive", "w") as archive:
        for name in names:
            archive.add(folder / name, f"cifar-10-batches-py/{name}")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_files_in_the_folder_of_keras(name, tmp_path, monkeypatch):
    shape = SETS[name].shape
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 25), ("test", 10)):
        arrays[f"x_{part}"] = generator.integers(0, 256, (count, *shape), "uint8")
        arrays[f"y_{part}"] = generator.integers(0, 10, count, "uint8")
    (tmp_path / "datasets").mkdir()
    globals()[f"keras_files_of_{name}"](tmp_path / "datasets", arrays)
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    # The files differ from those that Keras would download.
    monkeypatch.setattr(
        keras.src.utils.file_utils, "validate_file", lambda *args, **kwargs: True
    )
    data = datasets.load(name)
    assert data.image_shape == (*shape, 1)[:3]
    assert data.classes == len(set(data.class_names)) == 10
    for part, images, labels in (
        ("train", data.train, data.y_train),
        ("test", data.test, data.y_test),
    ):
        count = len(arrays[f"y_{part}"])
        expected = arrays[f"x_{part}"].reshape(images[:count].shape)
        np.testing.assert_array_equal(images[:count], expected)
        np.testing.assert_array_equal(labels[:count], arrays[f"y_{part}"])


@pytest.mark.parametrize("name", SETS)
def test_mean_and_deviation_are_the_published_ones(name):
    published = {
        "mnist": ([0.1307], [0.3081]),
        "fashion_mnist": ([0.2860], [0.3530]),
        "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    }
    mean, std = map(np.array, published[name])
    np.testing.assert_allclose(np.array(SETS[name].mean) / 255, mean, atol=1e-4)
    np.testing.assert_allclose(np.array(SETS[name].std) / 255, std, atol=1e-4)


def test_other_data_set_in_a_file(tmp_path):
    arrays = cifar_arrays()
    del arrays["fine_label_names"]
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(ValueError, match=r"^cifar10.npz must hold labels from 0 to 9"):
        datasets.load("cifar10", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match=r"uint8 images \(n, 28, 28\), .*32, 32, 3"):
        datasets.load("mnist", str(tmp_path))
    np.savez(tmp_path / "cifar10.npz", **{k: v % 10 for k, v in arrays.items()})
    data = datasets.load("cifar10", str(tmp_path), image_size=16)
    assert data.image_shape == (16, 16, 3)
    assert (data.class_names[0], data.class_names[9]) == ("airplane", "truck")


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
    np.savez(tmp_path / "cifar100.npz", **arrays)
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
    path = tmp_path / "cifar100.npz"
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
