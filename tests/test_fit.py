"""The wrapper in `fit`: callbacks, policies, frozen layers, saving in between."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from support import reference
from support.networks import compiled, convnet, graphs_are_whole, images, values

from keras_wgd import WGD, RAdam

pytestmark = pytest.mark.usefixtures("full_compilation")

BACKEND = keras.backend.backend()
both = pytest.mark.parametrize("placement", ["gradient", "update"])


def fitted(model, optimizer, epochs=2, callbacks=(), **options):
    compiled(model, optimizer, **options)
    model.fit(
        *images(model),
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


@pytest.fixture
def seeded():
    keras.utils.set_random_seed(0)


@pytest.mark.usefixtures("seeded")
def test_learning_rate_schedules():
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(
                float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            )

    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / 2**epoch)
    inner = optimizers.SGD(1.0)
    fitted(convnet(), WGD(inner), epochs=3, callbacks=[schedule, Watch()])
    assert rates == pytest.approx([0.1, 0.05, 0.025])
    assert float(keras.ops.convert_to_numpy(inner.learning_rate)) == pytest.approx(
        0.025
    )

    rates.clear()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1e9)
    fitted(convnet(), WGD(RAdam(0.1)), epochs=3, callbacks=[plateau, Watch()])
    assert rates == pytest.approx([0.1, 0.05, 0.025])

    decay = optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = fitted(convnet(), WGD(optimizers.SGD(decay)), epochs=1)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == (
        pytest.approx(0.025)
    )
    with pytest.raises(TypeError, match="not settable"):
        model.optimizer.learning_rate = 0.1


@pytest.mark.usefixtures("seeded")
def test_frozen_layers():
    model = convnet()
    model.get_layer("first").trainable = False
    before = values(model.get_layer("first").weights)
    fitted(model, WGD("sgd", kernels=model))
    for a, b in zip(values(model.get_layer("first").weights), before, strict=True):
        np.testing.assert_array_equal(a, b)
    (kernel,) = model.optimizer.whitened_variables
    assert kernel is model.get_layer("second").kernel


@pytest.mark.usefixtures("seeded")
def test_embedding_beside_a_convolution():
    tokens = keras.Input((8,), dtype="int32")
    x = layers.Embedding(20, 4)(tokens)
    x = layers.Conv1D(5, 3)(x)
    model = keras.Model(tokens, layers.Dense(3)(layers.Flatten()(x)))
    start = model.get_weights()
    x = np.random.default_rng(0).integers(0, 9, (4, 8))
    y = np.random.default_rng(0).integers(0, 3, 4)
    steps = []
    for optimizer in (optimizers.SGD(1.0), WGD(optimizers.SGD(1.0))):
        model.set_weights(start)
        compiled(model, optimizer)
        model.train_on_batch(x, y)
        pairs = zip(start, model.get_weights(), strict=True)
        steps.append([before - after for before, after in pairs])
    plain, wrapped = steps
    plain[1] = reference.whiten(plain[1], "standard", "filters")
    for got, wanted in zip(wrapped, plain, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    assert not plain[0][9:].any()


@pytest.mark.usefixtures("seeded")
@both
def test_backup_and_restore(placement, tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise InterruptedError

    def model():
        keras.utils.set_random_seed(0)
        return convnet()

    def optimizer():
        return WGD(optimizers.Adam(0.01), placement=placement)

    whole = fitted(model(), optimizer(), epochs=4)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(InterruptedError):
        fitted(model(), optimizer(), epochs=4, callbacks=[backup, Break()])
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    resumed = fitted(model(), optimizer(), epochs=4, callbacks=[backup])
    pairs = zip(values(resumed.variables), values(whole.variables), strict=True)
    assert all((a == b).all() for a, b in pairs)
    assert int(resumed.optimizer.iterations) == int(whole.optimizer.iterations) == 8


@pytest.mark.usefixtures("seeded")
@both
def test_weights_file_of_a_plain_run(placement, tmp_path):
    plain = fitted(convnet(), optimizers.Adam(0.01))
    plain.save_weights(tmp_path / "model.weights.h5")
    model = compiled(convnet(), WGD(optimizers.Adam(0.01), placement=placement))
    model.optimizer.build(model.trainable_variables)
    model.load_weights(tmp_path / "model.weights.h5")
    mine = values(model.variables + model.optimizer.variables)
    theirs = values(plain.variables + plain.optimizer.variables)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 4
    model.train_on_batch(*images(model))


@pytest.mark.usefixtures("seeded", "half_precision")
@both
def test_mixed_precision(placement, tmp_path):
    model = compiled(convnet(), WGD(RAdam(0.01), "fan_in", placement))
    outer = model.optimizer
    assert type(outer) is optimizers.LossScaleOptimizer
    assert type(outer.inner_optimizer) is WGD
    x, y = images(model)
    model.train_on_batch(x, y)
    before, scale = values(model.trainable_variables), float(outer.dynamic_scale)
    model.train_on_batch(x * np.inf, y)
    for a, b in zip(values(model.trainable_variables), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(outer.dynamic_scale) == scale / 2
    assert int(outer.iterations) == 1
    model.train_on_batch(x, y)
    assert len(outer.inner_optimizer.whitened_variables) == 2
    pairs = list(zip(values(model.trainable_variables), before, strict=True))
    assert all((a != b).any() for a, b in pairs)
    if placement == "update":
        for a, b in (pairs[0], pairs[2]):
            assert np.abs((a - b).mean(axis=(0, 1, 2))).max() < 1e-7

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.train_on_batch(x, y)
    mine = values(loaded.variables + loaded.optimizer.variables)
    theirs = values(model.variables + model.optimizer.variables)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("seeded")
@both
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_swap_ema_weights(placement, scaled):
    wrapped = WGD(optimizers.SGD(0.1, use_ema=True), placement=placement)
    optimizer = optimizers.LossScaleOptimizer(wrapped) if scaled else wrapped
    model = compiled(convnet(), optimizer)
    x, y = images(model)
    for _ in range(3):
        model.train_on_batch(x, y)
    averages = values(wrapped._model_variables_moving_average)
    trained = values(model.trainable_variables)
    assert all((a != t).any() for a, t in zip(averages, trained, strict=True))
    averaged = compiled(convnet(), "sgd")
    averaged.set_weights(averages)
    expected = averaged.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0) != pytest.approx(expected, rel=1e-3)
    swap = keras.callbacks.SwapEMAWeights()
    swapped = model.evaluate(x, y, verbose=0, callbacks=[swap])
    assert swapped == pytest.approx(expected, rel=1e-5)
    # On TensorFlow Keras swaps by adding and subtracting, which rounds.
    for a, t in zip(values(model.trainable_variables), trained, strict=True):
        np.testing.assert_allclose(a, t, rtol=0, atol=1e-7)


if BACKEND != "torch":  # there Keras takes one step at a time

    @pytest.mark.usefixtures("seeded")
    def test_steps_per_execution():
        weights = []
        for steps in (1, 2):
            keras.utils.set_random_seed(0)
            model = fitted(convnet(), WGD("adam"), steps_per_execution=steps)
            weights.append(values(model.variables))
        for a, b in zip(*weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.up = layers.Conv2DTranspose(4, 3)
        self.down = layers.Conv2D(4, 3, groups=2)
        self.head = layers.Dense(3)

    def build(self, input_shape):
        self.up.build(input_shape)
        self.down.build((None, 8, 8, 4))
        self.head.build((None, 4))

    def call(self, x):
        return self.head(keras.ops.mean(self.down(self.up(x)), axis=(1, 2)))


@pytest.mark.usefixtures("seeded")
def test_subclassed_model_in_a_file(tmp_path):
    model = Subclassed()
    compiled(model, WGD(optimizers.Adam(0.01), kernels=model))
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 3)).astype("float32")
    y = np.arange(8) % 3
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"Subclassed": Subclassed}
    )
    plans = [one.optimizer._plan.kernels.values() for one in (model, loaded)]
    kinds = [[(k.kind, k.groups, k.index) for k in plan] for plan in plans]
    assert kinds[0] == kinds[1] == [("transposed", 1, 0), ("standard", 2, 2)]
    for one in (model, loaded):
        one.train_on_batch(x, y)
    for a, b in zip(values(loaded.variables), values(model.variables), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_modes_of_compile_agree():
    """On PyTorch `jit_compile` is Inductor."""
    start = convnet().get_weights()
    after = []
    modes = [{"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}]
    if BACKEND == "torch" and not graphs_are_whole():
        modes.pop()  # Keras 3.10 fails there with plain Adam too
    for mode in modes:
        model = convnet()
        model.set_weights(start)
        fitted(model, WGD(RAdam(0.01)), **mode)
        after.append(values(model.trainable_variables))
    for other in after[1:]:
        for a, b in zip(after[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
