"""Batches that are made when `fit` and `predict` ask for them."""

import time
import weakref

import keras
import numpy as np
import pytest
from PIL import Image
from support.images import labeled, photo

from keras_wgd.tasks.datasets.images import FileImages, resize
from keras_wgd.tasks.datasets.names import SAMPLERS


@pytest.fixture
def stored(tmp_path):
    """The same 23 images in files and in memory."""
    array = np.stack([photo(16, 16, seed=seed) for seed in range(23)])
    paths = [str(tmp_path / f"{i}.png") for i in range(23)]
    for path, pixels in zip(paths, array, strict=True):
        Image.fromarray(pixels).save(path)
    labels = np.arange(23) % 3
    return labeled(labels, FileImages(paths, 16)), labeled(labels, array)


@pytest.mark.any_backend
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_batches_of_files_equal_arrays_in_memory(stored, sampler):
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


@pytest.mark.any_backend
def test_images_are_normalized_after_resizing():
    array = np.stack([photo(8, 8, 1, seed) for seed in range(4)])
    data = labeled(np.arange(4), array, mean=(3.0,), std=(16.0,), image_size=16)
    assert data.image_shape == (16, 16, 1)
    batches = data.epoch(0, 0, 2, "shuffled")["x"]
    order = data.indices(0, 0, 2, "shuffled")
    for i in range(2):
        pixels = resize(array[order[2 * i : 2 * i + 2]], 16)
        expected = (pixels - np.float32(3)) / np.float32(16)
        np.testing.assert_array_equal(batches[i][0], expected)


@pytest.mark.any_backend
@pytest.mark.parametrize(("size", "stored_size"), [(16, 8), (8, 8), (4, 4)])
def test_subset_resizes_where_that_saves_memory(size, stored_size):
    array = np.stack([photo(8, 8, 1, seed) for seed in range(4)])
    data = labeled(np.arange(4), array, image_size=size)
    subset = data.subset(2, None)
    for images, count in ((subset.train, 2), (subset.test, 4)):
        assert images.shape == (count, stored_size, stored_size, 1)
    np.testing.assert_array_equal(
        subset.preprocess(subset.test), data.preprocess(data.test)
    )


@pytest.mark.any_backend
def test_used_batches_are_freed(stored):
    batches = stored[0].epoch(0, 0, 5)["x"]
    first = weakref.ref(batches[0][0])
    deadline = time.monotonic() + 5
    while first() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first() is None


class RunningMeans(keras.callbacks.Callback):
    """The running mean of the labels after each batch."""

    def on_train_begin(self, logs=None):
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(logs["label"])


@pytest.mark.parametrize("size", [None, 16])
def test_order_of_batches_in_fit_and_predict(size):
    # Images of one color, which is their label. With a size, they are streamed.
    positions = np.arange(40)
    array = np.broadcast_to(positions[:, None, None, None], (40, 8, 8, 1))
    data = labeled(positions, array.astype("uint8"), image_size=size)
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
    running = RunningMeans()
    for epoch in range(2):
        order = data.indices(7, epoch, 6, "weighted")
        fitted = model.fit(**data.epoch(7, epoch, 6), callbacks=[running], verbose=0)
        # The network returns the pixels, which are the labels.
        assert fitted.history["loss"][0] < 1e-6
        expected = [order[: 6 * (i + 1)].mean() for i in range(6)]
        np.testing.assert_allclose(running.means, expected, rtol=1e-5)
    for batch_size in (7, 40, 1000):
        predicted = model.predict(**data.evaluation(batch_size), verbose=0)
        np.testing.assert_allclose(predicted, np.arange(40), rtol=1e-5)
