"""WhiteningMonitor against the norms of plain gradients in NumPy."""

import csv
import re

import keras
import numpy as np
import pytest
from support import reference
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD, WhiteningMonitor
from keras_wgd.optimizers.means import MEANS

placements = pytest.mark.parametrize("placement", ["gradient", "update"])


@pytest.fixture(scope="module")
def plain():
    """Weights, and the plain gradients of `images` and of each half of them."""
    model = compiled(convnet(), keras.optimizers.SGD(1.0), jit_compile=False)
    start = model.get_weights()
    x, y = images(model)

    def gradients(part):
        model.set_weights(start)
        model.train_on_batch(x[part], y[part])
        pairs = zip(start, values(model.trainable_variables), strict=True)
        return [before.astype("float64") - after for before, after in pairs]

    return start, *map(gradients, (slice(16), slice(8), slice(8, 16)))


def monitored(model, optimizer, epochs=1, callbacks=(), **options):
    monitor = WhiteningMonitor(**options)
    x, y = images(model)
    compiled(model, optimizer)
    model.fit(
        *(x, y),
        batch_size=len(x),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[monitor, *callbacks],
    )
    return monitor


@placements
@pytest.mark.parametrize("mean_over", MEANS)
def test_ratios_equal_numpy(plain, mean_over, placement):
    start, gradients, *_ = plain
    model = convnet()
    model.set_weights(start)
    optimizer = WGD(keras.optimizers.SGD(1e-30), mean_over, placement)
    monitor = monitored(model, optimizer, epochs=2)
    g = [gradients[0], gradients[2]]
    h = [reference.whiten(gradient, "standard", mean_over) for gradient in g]
    history = monitor.history
    for layer, *pair in zip(("first", "second"), g, h, strict=True):
        (path,) = [p for p in history if p.endswith(f"/{layer}/kernel")]
        before, after = map(np.linalg.norm, pair)
        assert history[path] == pytest.approx([after / before] * 2, rel=1e-4)
    before, after = (np.sqrt(sum(np.sum(a**2) for a in arrays)) for arrays in (g, h))
    assert history["whitening_ratio"] == pytest.approx([after / before] * 2, rel=1e-4)
    assert all(0 < residual < 1e-6 for residual in history["whitening_residual"])
    assert len(history) == 4


def test_ratio_over_several_steps(plain):
    start, _, *halves = plain
    model = convnet()
    model.set_weights(start)
    x, y = images(model)
    compiled(model, WGD(keras.optimizers.SGD(1e-30)))
    monitor = WhiteningMonitor()
    model.fit(
        x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[monitor]
    )
    squares = np.zeros(2)
    for gradients in halves:
        for gradient in (gradients[0], gradients[2]):
            whitened = reference.whiten(gradient, "standard", "filters")
            squares += np.sum(gradient**2), np.sum(whitened**2)
    wanted = np.sqrt(squares[1] / squares[0])
    assert monitor.history["whitening_ratio"] == pytest.approx([wanted], rel=1e-4)


@placements
def test_logs_and_files(tmp_path, placement):
    def trained(watched):
        keras.utils.set_random_seed(0)
        model = convnet()
        log = keras.callbacks.CSVLogger(tmp_path / f"{watched}.csv")
        board = keras.callbacks.TensorBoard(tmp_path / "board")
        monitor = [WhiteningMonitor(per_kernel=True)] if watched else []
        compiled(model, WGD("adam", placement=placement))
        history = model.fit(
            *images(model),
            batch_size=8,
            epochs=2,
            verbose=0,
            shuffle=False,
            callbacks=[*monitor, log, board],
        ).history
        return model, monitor, history

    plain, _, _ = trained(False)
    model, (monitor,), history = trained(True)
    for a, b in zip(
        values([*plain.weights, *plain.optimizer.variables]),
        values([*model.weights, *model.optimizer.variables]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    with open(tmp_path / "True.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(monitor.history) == 4
    assert "whitening_residual" not in history
    for key, series in monitor.history.items():
        if key == "whitening_residual":
            continue
        assert history[key] == series
        assert [float(row[key]) for row in rows] == pytest.approx(series)


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress_line(capsys, verbose):
    def line(callbacks):
        model = convnet()
        compiled(model, WGD("sgd"))
        model.fit(*images(model), epochs=1, verbose=verbose, callbacks=callbacks)
        # With verbose=1 Keras overwrites the line.
        return re.findall(r"(\S+): [0-9.e-]+", capsys.readouterr().out.split("\r")[-1])

    monitor = WhiteningMonitor()
    plain = [name for name in line([]) if "whitening" not in name]
    assert plain
    assert [name.strip() for name in line([monitor])] == [*plain, "whitening_ratio"]
    assert len(monitor.history) == 4


@pytest.mark.parametrize("name", ["EarlyStopping", "ModelCheckpoint"])
def test_callbacks_that_watch_the_ratio(tmp_path, name):
    def watched(**mode):
        if name == "EarlyStopping":
            callback = keras.callbacks.EarlyStopping("whitening_ratio", **mode)
        else:
            callback = keras.callbacks.ModelCheckpoint(
                tmp_path / "best.keras", "whitening_ratio", save_best_only=True, **mode
            )
        monitor = monitored(convnet(), WGD("sgd"), epochs=2, callbacks=[callback])
        return callback.best, monitor.history["whitening_ratio"]

    for mode, best in (("min", min), ("max", max)):
        found, ratios = watched(mode=mode)
        assert found == best(ratios)
    if not hasattr(getattr(keras.callbacks, name), "_set_monitor_op"):
        found, ratios = watched()  # ModelCheckpoint of Keras 3.10
        assert found == min(ratios)
        return
    with pytest.raises(ValueError, match="Pass `mode='max'`"):
        watched()


@pytest.mark.usefixtures("half_precision")
def test_loss_scale_optimizer(tmp_path):
    model = convnet()
    monitor = monitored(model, WGD("adam"), epochs=2)
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    assert all(0.1 < ratio < 1 for ratio in monitor.history["whitening_ratio"])
    assert int(model.optimizer.inner_optimizer.iterations) == 2


def test_later_fit_and_saved_file(tmp_path):
    model = convnet()
    path = tmp_path / "model.keras"
    save = keras.callbacks.ModelCheckpoint(path)
    first = monitored(model, WGD("adam"), callbacks=[save])
    count = len(model.optimizer.variables)
    assert count == len(model.optimizer.inner_optimizer.variables)
    model.fit(*images(model), verbose=0)
    assert len(first.history["whitening_ratio"]) == 1
    loaded = keras.saving.load_model(path)
    assert len(loaded.optimizer.variables) == count
    again = monitored(model, model.optimizer)
    assert again.history["whitening_ratio"][0] < 1


def test_plain_optimizer():
    with pytest.raises(ValueError, match="Received: optimizer Adam"):
        monitored(convnet(), "adam")


def test_norms_before_build():
    with pytest.raises(ValueError, match="Received: 'wgd', not built"):
        WGD("sgd", name="wgd").record_norms()


def test_nan_where_nothing_is_centered():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.warns(UserWarning, match="found nothing to center"):
        monitor = monitored(model, WGD("sgd"), epochs=2)
    assert np.isnan(monitor.history["whitening_ratio"]).all()
    assert list(monitor.history) == ["whitening_ratio", "whitening_residual"]


class Pair(keras.Model):
    """Two convolutions with the same name."""

    def __init__(self):
        super().__init__(name="pair")
        self.parts = [keras.layers.Conv2D(4, 3, name="conv") for _ in range(2)]
        self.head = [keras.layers.Flatten(), keras.layers.Dense(3)]

    def call(self, x):
        for layer in (*self.parts, *self.head):
            x = layer(x)
        return x


def test_kernels_with_the_same_path():
    model, (x, y) = Pair(), images(convnet())
    model(x)
    compiled(model, WGD("sgd", kernels=model))
    monitor = WhiteningMonitor()
    model.fit(x, y, verbose=0, callbacks=[monitor])
    kernels = [key for key in monitor.history if "/" in key]
    assert kernels == [
        "whitening_ratio/pair/conv/kernel",
        "whitening_ratio/pair/conv/kernel_2",
    ]
