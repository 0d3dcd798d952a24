import io
import os
import subprocess
import sys
import time
import weakref

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.stats import chisquare
from sklearn.datasets import load_digits
from support.runs import cifar_arrays

from keras_wgd.tasks import datasets
from keras_wgd.tasks.datasets import animals10, cifar100
from keras_wgd.tasks.datasets.dataset import Dataset, balanced
from keras_wgd.tasks.datasets.images import ArrayImages, FileImages

# Training and test images of each class in the paper's Table 2. It prints 186 test
# images of sheep, which would make 26,183 images of the 26,179 that there are.
TABLE_2 = {
    "cane": (4376, 487),
    "cavallo": (2361, 262),
    "elefante": (1301, 145),
    "farfalla": (1901, 211),
    "gallina": (2789, 309),
    "gatto": (1502, 166),
    "mucca": (1680, 186),
    "pecora": (1638, 182),
    "ragno": (4339, 482),
    "scoiattolo": (1676, 186),
}


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_the_digits_are_those_of_scikit_learn_split_once(digits):
    assert (len(digits.train.array), len(digits.test.array)) == (1437, 360)
    size = datasets.names.SIZES["digits"]
    assert digits.image_shape == (size, size, 1)
    images = np.concatenate([digits.train.array, digits.test.array])
    labels = np.concatenate([digits.y_train, digits.y_test])
    wanted = load_digits()
    assert sorted(zip(map(bytes, images), labels, strict=True)) == sorted(
        (bytes(image.astype("uint8")), label)
        for image, label in zip(wanted.images, wanted.target, strict=True)
    )
    assert set(np.bincount(digits.y_test)) <= {34, 35, 36, 37}
    np.testing.assert_array_equal(
        digits.train.array, datasets.load("digits").train.array
    )


def test_pixels_are_normalised(digits):
    normalized = digits.normalized(digits.train.array)
    assert normalized.dtype == np.float32
    assert (normalized.min(), normalized.max()) == (0, 1)


@pytest.mark.parametrize("sampler", datasets.names.SAMPLERS)
def test_an_epoch_can_be_made_again_and_no_two_are_alike(digits, sampler):
    batches = digits.epoch(seed=3, epoch=5, batch_size=32, sampler=sampler)
    again = digits.epoch(seed=3, epoch=5, batch_size=32, sampler=sampler)
    np.testing.assert_array_equal(batches["x"], again["x"])
    np.testing.assert_array_equal(batches["y"], again["y"])
    assert len(batches["x"]) == len(batches["y"]) == 1437 // 32 * 32
    for other in ((3, 6), (4, 5)):
        assert (digits.epoch(*other, 32, sampler)["y"] != batches["y"]).any()


def test_a_shuffled_epoch_takes_each_image_once_with_its_label(digits):
    batches = digits.epoch(seed=0, epoch=0, batch_size=1, sampler="shuffled")
    shown = sorted(
        zip(map(bytes, (batches["x"] * 16).astype("uint8")), batches["y"], strict=True)
    )
    kept = sorted(zip(map(bytes, digits.train.array), digits.y_train, strict=True))
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
    size = datasets.names.SIZES["cifar100"]
    assert data.image_shape == (size, size, 3)
    np.testing.assert_array_equal(data.train.array, arrays["x_train"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"][:, 0])
    assert (data.classes, len(data.test.array)) == (100, 10)
    wanted = (arrays["x_train"] / 255 - [0.507075, 0.486549, 0.440918]) / [
        0.267334,
        0.256438,
        0.276150,
    ]
    np.testing.assert_allclose(data.normalized(data.train.array), wanted, atol=1e-4)


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
    with pytest.raises(ValueError, match=r"Received: .*nowhere, which is no folder"):
        datasets.load("cifar100", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="without it"):
        datasets.load("cifar100", str(tmp_path))
    with pytest.raises(ValueError, match=r"cifar100, digits. Received: 'mnist'"):
        datasets.load("mnist")


def test_without_a_folder_cifar100_is_that_of_keras(monkeypatch, capsys):
    arrays = cifar_arrays()

    def load_data(label_mode):
        print("Downloading")
        return tuple(
            (arrays[f"x_{part}"], arrays[f"y_{part}"].astype("uint8"))
            for part in (("train", "test") if label_mode == "fine" else ())
        )

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", load_data)
    data = datasets.load("cifar100")
    np.testing.assert_array_equal(data.train.array, arrays["x_train"])
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
def test_what_keras_cannot_get_is_asked_for(monkeypatch, error):
    def load_data(label_mode):
        raise error

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", load_data)
    with pytest.raises(
        ValueError, match=r"cifar100 needs --data-dir: .*no folder, and .*(https|space)"
    ) as refusal:
        datasets.load("cifar100")
    assert "\n" not in str(refusal.value)


def test_more_images_than_there_are_cannot_be_had(digits):
    with pytest.raises(ValueError, match=r"train_size .* 1 and 1437. Received: 1438"):
        digits.subset(1438, None)
    with pytest.raises(ValueError, match="batch_size must be at most the 1437"):
        digits.epoch(0, 0, 1438)
    with pytest.raises(ValueError, match=r"one of shuffled, weighted. Received: 'no'"):
        digits.epoch(0, 0, 32, "no")


@pytest.mark.parametrize("size", [7, 0, -8, 8.0, True, "8"])
def test_an_image_size_that_makes_no_sense_is_refused(size):
    with pytest.raises(ValueError, match=r"image_size must be .* 8, or None. Received"):
        datasets.load("digits", image_size=size)


def test_listing_data_loads_neither_keras_nor_pillow():
    program = (
        "import sys; from keras_wgd.tasks import datasets; datasets.load('digits');"
        "print({'keras', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"


# Samplers


def labelled(labels, images=None):
    """A data set whose images tell their label, or `images`."""
    labels = np.asarray(labels)
    if images is None:
        images = ArrayImages(labels.astype("uint8")[:, None, None, None])
    names = tuple(str(label) for label in range(labels.max() + 1))
    return Dataset("made", images, labels, images, labels, names, (0.0,), (1.0,))


@pytest.fixture(scope="module")
def animals_labels():
    counts = [training for training, _ in TABLE_2.values()]
    return labelled(np.repeat(np.arange(10), counts))


def classes_shown(data, seed, epoch, sampler):
    chosen = data.indices(seed, epoch, 1, sampler)
    return np.bincount(data.y_train[chosen], minlength=data.classes)


def looks_uniform(counts):
    size, classes = counts.sum(), len(counts)
    error = np.sqrt(size * (1 / classes) * (1 - 1 / classes))
    within = np.abs(counts - size / classes) <= 4 * error
    return within.all() and chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("epoch", range(5))
def test_weighted_epochs_show_each_class_as_often(animals_labels, epoch):
    assert looks_uniform(classes_shown(animals_labels, 0, epoch, "weighted"))
    # So would nothing that draws the images alike.
    assert not looks_uniform(classes_shown(animals_labels, 0, epoch, "shuffled"))


def test_weighted_epochs_draw_with_replacement_and_the_images_of_a_class_alike(
    animals_labels,
):
    chosen = animals_labels.indices(0, 0, 1, "weighted")
    size = len(animals_labels.y_train)
    assert len(chosen) == size
    for label, (images, _) in enumerate(TABLE_2.values()):
        shown = set(chosen[animals_labels.y_train[chosen] == label])
        wanted = images * (1 - (1 - 1 / (10 * images)) ** size)
        assert len(shown) == pytest.approx(wanted, rel=0.05)


def test_a_class_without_training_images_is_never_shown():
    counts = classes_shown(labelled([0] * 90 + [2] * 10), 0, 0, "weighted")
    assert counts[1] == 0
    assert 35 <= counts[0] <= 65


@pytest.mark.parametrize(
    ("sampler", "first"),
    [
        ("shuffled", [4303, 10409, 11349, 16070, 17931, 15420]),
        ("weighted", [11289, 10800, 10496, 7739, 18498, 2177]),
    ],
)
def test_an_epoch_is_the_same_on_every_backend(animals_labels, sampler, first):
    chosen = animals_labels.indices(1, 2, 128, sampler)
    assert len(chosen) == 23563 // 128 * 128
    assert chosen[:6].tolist() == first
    again = animals_labels.indices(1, 2, 128, sampler)
    np.testing.assert_array_equal(chosen, again)
    for other in ((1, 3), (2, 2)):
        assert (animals_labels.indices(*other, 128, sampler) != chosen).any()


# Sources of images


def photo(height, width, channels=3, seed=0):
    """Smooth colours, as photos have."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = np.random.default_rng(seed).uniform(1, 6, (channels, 2))
    pixels = [128 + 120 * np.sin(a * rows + b * columns) for a, b in waves]
    return np.stack(pixels, axis=-1).astype("uint8")


def by_hand(image, size):
    return np.asarray(
        image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(8, 8), (40, 24)])
def test_images_in_memory_are_resized_when_asked_for(channels, shape):
    array = np.stack([photo(*shape, channels, seed) for seed in range(5)])
    images = ArrayImages(array, 16)
    assert (len(images), images.shape, images.ready) == (5, (16, 16, channels), False)
    chosen = images[np.array([3, 0, 3])]
    assert (chosen.dtype, chosen.shape) == (np.uint8, (3, 16, 16, channels))
    for resized, position in zip(chosen, (3, 0, 3), strict=True):
        image = Image.fromarray(np.squeeze(array[position]))
        wanted = by_hand(image, 16)[..., :channels]
        np.testing.assert_array_equal(resized, wanted)
    np.testing.assert_array_equal(
        images.take(np.array([3, 0, 3]))[np.arange(3)], chosen
    )


@pytest.mark.parametrize("size", [None, 8])
def test_images_of_the_right_size_are_left_alone(digits, size):
    data = datasets.load("digits", image_size=size)
    assert data.train.ready
    assert isinstance(data.epoch(0, 0, 32)["x"], np.ndarray)
    np.testing.assert_array_equal(data.train.array, digits.train.array)


def modes():
    image = Image.fromarray(photo(30, 20))
    yield "rgb.png", image
    yield "grey.PNG", image.convert("L")
    yield "alpha.png", image.convert("RGBA")
    yield "palette.gif", image.convert("P", palette=Image.Palette.ADAPTIVE)
    yield "bits.bmp", image.convert("1")
    yield "lossy.webp", image
    yield "ink.jpg", image.convert("CMYK")
    yield "photo.JPEG", image


def test_files_are_decoded_as_pillow_does(tmp_path):
    paths = []
    for name, image in modes():
        paths.append(str(tmp_path / name))
        image.save(paths[-1])
    paths.append(str(tmp_path / "transparent.png"))
    indexed = Image.fromarray(photo(30, 20)).convert(
        "P", palette=Image.Palette.ADAPTIVE
    )
    indexed.save(paths[-1], transparency=bytes([0, 128, 255]))
    images = FileImages(paths, 16)
    assert (len(images), images.shape, images.ready) == (9, (16, 16, 3), False)
    order = np.array([8, 3, 0, 3, 1, 2, 4, 5, 6, 7])
    decoded = images[order]
    assert decoded.dtype == np.uint8
    for pixels, position in zip(decoded, order, strict=True):
        with Image.open(paths[position]) as image:
            if position == 8:
                image = image.convert("RGBA")
            np.testing.assert_array_equal(pixels, by_hand(image, 16))
    np.testing.assert_array_equal(images.take(order)[np.arange(10)], decoded)
    assert images[np.array([], int)].shape == (0, 16, 16, 3)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((512, 512), 64), ((387, 515), 64), ((1001, 130), 64), ((257, 257), 16)],
)
def test_large_photos_are_decoded_in_part_and_look_the_same(tmp_path, shape, size):
    path = tmp_path / "large.jpeg"
    Image.fromarray(photo(*shape)).save(path, quality=95)
    (decoded,) = FileImages([str(path)], size)[np.arange(1)]
    with Image.open(path) as image:
        difference = decoded - by_hand(image, size).astype(float)
    assert np.abs(difference).max() <= 4
    assert np.abs(difference.mean()) < 0.5


# Batches made when asked for


@pytest.fixture
def stored(tmp_path):
    """The same 23 images in files and in memory."""
    array = np.stack([photo(16, 16, seed=seed) for seed in range(23)])
    paths = [str(tmp_path / f"{i}.png") for i in range(23)]
    for path, pixels in zip(paths, array, strict=True):
        Image.fromarray(pixels).save(path)
    labels = np.arange(23) % 3
    return labelled(labels, FileImages(paths, 16)), labelled(labels, ArrayImages(array))


@pytest.mark.parametrize("sampler", datasets.names.SAMPLERS)
def test_streamed_batches_are_those_in_memory(stored, sampler):
    files, memory = stored
    streamed = files.epoch(1, 2, 5, sampler)
    arrays = memory.epoch(1, 2, 5, sampler)
    assert (streamed["shuffle"], arrays["shuffle"]) == (False, False)
    assert streamed["x"].num_batches == 4
    x, y = (np.concatenate(parts) for parts in zip(*streamed["x"], strict=True))
    assert x.dtype == arrays["x"].dtype == np.float32
    np.testing.assert_array_equal(x, arrays["x"])
    np.testing.assert_array_equal(y, arrays["y"])
    assert {len(batch[0]) for batch in streamed["x"]} == {arrays["batch_size"]} == {5}
    x = np.concatenate([x for (x,) in files.evaluation(5)["x"]])
    np.testing.assert_array_equal(x, memory.evaluation(5)["x"])
    assert len(x) == 23


def test_streamed_batches_are_normalised_after_resizing():
    array = np.stack([photo(8, 8, 1, seed) for seed in range(4)])
    images, labels = ArrayImages(array, 16), np.arange(4)
    data = Dataset("made", images, labels, images, labels, (*"abcd",), (3.0,), (16.0,))
    batches = data.epoch(0, 0, 2, "shuffled")["x"]
    order = data.indices(0, 0, 2, "shuffled")
    for i in range(2):
        wanted = (images[order[2 * i : 2 * i + 2]] - np.float32(3)) / np.float32(16)
        np.testing.assert_array_equal(batches[i][0], wanted)


def test_a_batch_that_was_used_is_let_go(stored):
    batches = stored[0].epoch(0, 0, 5)["x"]
    first = weakref.ref(batches[0][0])
    deadline = time.monotonic() + 5
    while first() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first() is None


def sized(size):
    """Images of one colour, their position, that are resized or are not."""
    positions = np.arange(40)
    array = np.broadcast_to(positions[:, None, None, None], (40, 8, 8, 1))
    return labelled(positions, ArrayImages(array.astype("uint8"), size))


class Running(keras.callbacks.Callback):
    """What the running mean of the labels is after each batch."""

    def on_train_begin(self, logs=None):
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(logs["label"])


@pytest.mark.parametrize("size", [None, 16])
def test_fit_and_predict_take_the_batches_in_their_order(size):
    data = sized(size)
    model = keras.Sequential(
        [
            keras.Input(data.image_shape),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, kernel_initializer="ones"),
            keras.layers.Reshape(()),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.0),
        loss="mse",
        metrics=[
            keras.metrics.MeanMetricWrapper(lambda y, prediction: y, name="label")
        ],
    )
    running = Running()
    for epoch in range(2):
        order = data.indices(7, epoch, 6, "weighted")
        fitted = model.fit(**data.epoch(7, epoch, 6), callbacks=[running], verbose=0)
        # The network gives out the pixels, which are the labels.
        assert fitted.history["loss"][0] < 1e-6
        wanted = [order[: 6 * (i + 1)].mean() for i in range(6)]
        np.testing.assert_allclose(running.means, wanted, rtol=1e-5)
    for batch_size in (7, 40, 1000):
        predicted = model.predict(**data.evaluation(batch_size), verbose=0)
        np.testing.assert_allclose(predicted, np.arange(40), rtol=1e-5)


# Animals-10


def encoded(image, form="JPEG"):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def write_animals(folder, images=12):
    """Class folders with images of one colour."""
    for label, name in enumerate(animals10.CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(images):
            path = folder / name / f"{i:02}.jpeg"
            path.write_bytes(encoded(Image.new("RGB", (9, 11), (20 * label, i, 0))))


def file_names(images, root):
    return [os.path.relpath(path, root) for path in images.paths]


@pytest.fixture
def animals(tmp_path):
    write_animals(tmp_path / "raw-img")
    return tmp_path


@pytest.mark.parametrize("name", TABLE_2)
def test_the_whole_set_is_split_as_in_table_2(name):
    images = sum(TABLE_2[name])
    names = [f"{name}{i}.jpeg" for i in range(images)]
    train, test = animals10.split(names, 0)
    assert sorted(train + test) == sorted(names)
    assert (len(train), len(test)) == pytest.approx(TABLE_2[name], abs=1)
    assert len(test) == images // 10
    shuffled = np.random.default_rng(1).permutation(names).tolist()
    assert animals10.split(shuffled, 0) == (train, test)
    assert animals10.split(names, 1)[1] != test


def test_the_split_never_changes():
    names = [f"{i:02}" for i in range(40)]
    assert animals10.split(names, 0)[1] == ["04", "11", "24", "27"]
    assert animals10.split(["a"], 0) == ([], ["a"])
    assert animals10.split(["a", "b"], 0) == (["b"], ["a"])


def test_animals10_is_read_by_class(animals):
    (animals / "raw-img" / "cane" / ".hidden.jpeg").write_bytes(b"")
    (animals / "raw-img" / "cane" / "notes.txt").write_bytes(b"")
    (animals / "raw-img" / "other").mkdir()
    data = datasets.load("animals10", str(animals))
    assert data.image_shape == (224, 224, 3)
    assert data.class_names[:3] == ("Dog", "Horse", "Elephant")
    assert data.class_names[3:7] == ("Butterfly", "Chicken", "Cat", "Cow")
    assert data.class_names[7:] == ("Sheep", "Spider", "Squirrel")
    assert data.problems == ()
    assert np.bincount(data.y_train).tolist() == [11] * 10
    assert np.bincount(data.y_test).tolist() == [1] * 10
    for images, labels in ((data.train, data.y_train), (data.test, data.y_test)):
        folders = [
            name.split("/")[0] for name in file_names(images, animals / "raw-img")
        ]
        assert folders == [list(TABLE_2)[label] for label in labels]
        red = images[np.arange(len(images))][..., 0].mean(axis=(1, 2))
        np.testing.assert_allclose(red, 20 * labels, atol=4)
    pixels = data.normalized(np.full((1, 1, 3), 255, "uint8"))
    wanted = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(pixels[0, 0], wanted, rtol=1e-5)


def test_animals10_may_lie_beside_other_data(tmp_path):
    write_animals(tmp_path / "animals10" / "raw-img", images=2)
    data = datasets.load(
        "animals10", str(tmp_path), train_size=10, test_size=5, image_size=8
    )
    assert data.image_shape == (8, 8, 3)
    assert data.y_train.tolist() == list(range(10))
    assert data.train[np.arange(10)].shape == (10, 8, 8, 3)
    assert len(data.test) == 5


def test_a_class_is_split_without_regard_to_the_others(animals):
    def tested():
        data = animals10.load(str(animals), 8)
        names = file_names(data.test, animals / "raw-img")
        return [name for name in names if name.startswith("gatto")]

    before = tested()
    (animals / "raw-img" / "cane" / "00.jpeg").unlink()
    (animals / "raw-img" / "ragno" / "new.png").write_bytes(
        encoded(Image.new("RGB", (8, 8)), "PNG")
    )
    assert tested() == before


def test_the_only_image_of_a_class_is_a_test_image(animals):
    for path in sorted((animals / "raw-img" / "cane").iterdir())[1:]:
        path.unlink()
    data = animals10.load(str(animals), 8)
    assert (np.sum(data.y_train == 0), np.sum(data.y_test == 0)) == (0, 1)


WHOLE = encoded(Image.fromarray(photo(64, 64)))
PNG = encoded(Image.fromarray(photo(64, 64)), "PNG")
BAD = {
    "text.jpeg": (b"not a picture", "not an image"),
    "program.png": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not an image",
    ),
    "empty.bmp": (b"", "empty"),
    "half.jpg": (WHOLE[: len(WHOLE) // 2], "truncated"),
    "start.JPG": (WHOLE[:30], ""),
    "half.png": (PNG[: len(PNG) // 2], "truncated"),
    "damaged.png": (PNG[:20] + b"\xff" + PNG[21:], ""),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_images_are_named_and_skipped(animals, bad):
    content, reason = BAD[bad]
    (animals / "raw-img" / "pecora" / bad).write_bytes(content)
    data = animals10.load(str(animals), 8)
    (problem,) = data.problems
    assert problem.startswith(f"raw-img/pecora/{bad} is skipped: {reason}")
    assert len(problem) < 80
    assert str(animals) not in problem
    assert len(data.train) + len(data.test) == 120


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "/secret"), "permission denied"),
        (OSError("broken data stream in /secret"), "cannot be decoded (OSError)"),
        (RecursionError("/secret"), "cannot be decoded (RecursionError)"),
    ],
)
def test_whatever_decoding_raises_is_told_in_a_few_words(
    animals, monkeypatch, error, reason
):
    def check(path, size):
        if path.endswith("farfalla/04.jpeg"):
            raise error

    monkeypatch.setattr(animals10, "check", check)
    data = animals10.load(str(animals))
    assert data.problems == (f"raw-img/farfalla/04.jpeg is skipped: {reason}",)


def test_bad_images_do_not_move_the_others(animals):
    root = animals / "raw-img"
    before = animals10.load(str(animals), 8)
    bad = ["gatto/05.jpeg", "pecora/03.jpeg", file_names(before.test, root)[0]]
    for name in bad:
        (root / name).write_bytes(b"")
    after = animals10.load(str(animals), 8)
    assert after.problems == tuple(
        f"raw-img/{name} is skipped: empty" for name in sorted(bad)
    )
    for part in ("train", "test"):
        names = file_names(getattr(before, part), root)
        kept = [i for i, name in enumerate(names) if name not in bad]
        assert file_names(getattr(after, part), root) == [names[i] for i in kept]
        np.testing.assert_array_equal(
            getattr(after, f"y_{part}"), getattr(before, f"y_{part}")[kept]
        )
    assert len(after.test) == 9


@pytest.mark.parametrize("pixels", [100, 300])
def test_images_of_too_many_pixels_are_skipped(animals, monkeypatch, pixels):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    large = encoded(Image.new("RGB", (10, pixels // 10)), "PNG")
    (animals / "raw-img" / "cane" / "large.png").write_bytes(large)
    data = animals10.load(str(animals), 8)
    assert data.problems == ("raw-img/cane/large.png is skipped: too many pixels",)


def test_what_is_no_file_is_skipped(animals, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(PNG)
    folder = animals / "raw-img" / "mucca"
    (folder / "link.png").symlink_to(outside)
    (folder / "lost.png").symlink_to("nowhere")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    data = animals10.load(str(animals), 8)
    assert data.problems == (
        "raw-img/mucca/folder.png is skipped: not a file",
        "raw-img/mucca/link.png is skipped: a link",
        "raw-img/mucca/lost.png is skipped: a link",
        "raw-img/mucca/pipe.png is skipped: not a file",
    )


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.jpeg",
        "\x1b[31mred\x07.png",
        "\u202egnp.png",
        "\udcff.gif",
        "\u2028'\".png",
        "[bold]\\.png",
    ],
)
def test_hostile_names_stay_on_their_line(animals, name):
    (animals / "raw-img" / "ragno" / name).write_bytes(b"")
    (problem,) = animals10.load(str(animals), 8).problems
    assert problem.isprintable()
    assert problem.encode()
    assert problem.startswith("raw-img/ragno/")
    assert problem.endswith(" is skipped: empty")


def test_absent_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"animals10 needs --data-dir: .* no folder$"):
        datasets.load("animals10")
    with pytest.raises(ValueError, match=r"Received: .*nowhere, which is no folder"):
        datasets.load("animals10", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"raw-img or animals10/raw-img.*without it"):
        datasets.load("animals10", str(tmp_path))


def test_absent_classes_are_named(animals, tmp_path_factory):
    root = animals / "raw-img"
    (root / "ragno").rename(root / "spider")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "gatto"
    (root / "gatto").rename(elsewhere)
    (root / "gatto").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"Received: .*raw-img, without gatto, ragno$"):
        datasets.load("animals10", str(animals))


def test_a_link_in_place_of_the_images_is_not_followed(animals, tmp_path_factory):
    link = tmp_path_factory.mktemp("link")
    (link / "raw-img").symlink_to(animals / "raw-img")
    with pytest.raises(ValueError, match="where raw-img is a link"):
        datasets.load("animals10", str(link))


@pytest.mark.parametrize("content", [None, b"text"])
def test_classes_without_a_usable_image_are_named(animals, content):
    for name in ("cane", "pecora"):
        for path in (animals / "raw-img" / name).iterdir():
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
    with pytest.raises(ValueError, match=r"with none in cane, pecora$"):
        datasets.load("animals10", str(animals), image_size=8)
