import dataclasses
import inspect
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from support.networks import values
from support.runs import ARMS, SPEC
from support.small_study import build

from keras_wgd import WGD, environment
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.training import train
from keras_wgd.tasks import datasets, models


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", None, SPEC.train_size, SPEC.test_size)


def test_the_initial_weights_are_those_of_keras_for_the_seed(data):
    ours = values(train.build_model(SPEC, data).variables)
    keras.utils.set_random_seed(SPEC.seed)
    theirs = models.build(SPEC.model, data.image_shape, data.classes)
    for a, b in zip(ours, values(theirs.variables), strict=True):
        np.testing.assert_array_equal(a, b)


TINY = ["run", "--dataset", "digits", "--epochs", "1", "--train-size", "16"]
TINY += ["--test-size", "16", "--batch-size", "8", "--mean-over", "filters"]


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it is needed")
def test_a_run_on_another_backend_leaves_tensorflow_out():
    """That is seconds and hundreds of megabytes for each worker."""
    code = f"import sys; from keras_wgd import cli; assert cli.app({TINY!r}) == 0; "
    code += "assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_all_arms_start_from_the_same_weights_and_other_seeds_do_not(data):
    plain, *others = (
        values(train.build_model(spec, data).variables) for spec in ARMS.values()
    )
    for other in others:
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_array_equal(a, b)
    seeded = train.build_model(dataclasses.replace(SPEC, seed=1), data)
    assert any(
        (a != b).any() for a, b in zip(plain, values(seeded.variables), strict=True)
    )


@pytest.fixture(scope="module")
def plain(data):
    return train.train(SPEC, data)


def test_the_same_run_twice_is_the_same_run(data, plain):
    again = train.train(SPEC, data)
    assert again.metrics == plain.metrics
    assert again.curves == plain.curves
    assert again.confusion == plain.confusion


def test_the_arms_differ_and_say_what_they_centred(data, plain):
    epochs = []
    spec = ARMS["filters"]
    result = train.train(spec, data, lambda epoch, *_: epochs.append(epoch))
    assert epochs == [1, 2]
    assert plain.centred == 0
    assert result.centred == 9
    assert result.curves != plain.curves
    assert result.spec == spec
    assert len(result.seconds) == 2
    assert all(len(curve) == 2 for curve in result.curves.values())
    assert np.sum(result.confusion) == SPEC.test_size
    assert np.trace(result.confusion) / SPEC.test_size == result.metrics["accuracy"]
    assert result.metrics["loss"] == result.curves["test_loss"][-1]
    assert result.environment["backend"] == keras.backend.backend()
    assert result.environment["versions"]["keras"] == keras.__version__


def test_the_training_loss_leaves_the_l2_out(data):
    spec = dataclasses.replace(
        SPEC, epochs=1, learning_rate=1e-12, weight_decay=10.0, batch_size=64
    )
    loss = train.train(spec, data).curves["train_loss"][0]
    assert 2 < loss < 5  # nats, of ten classes; the L2 alone is hundreds


def test_l2_is_on_every_weight(data):
    model = train.build_model(dataclasses.replace(SPEC, weight_decay=1.0), data)
    expected = sum(
        0.5 * np.sum(array.astype("float64") ** 2)
        for array in values(model.trainable_variables)
    )
    losses = sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert len(model.losses) == len(model.trainable_variables)


def test_weight_decay_enters_the_gradient_of_every_weight(data):
    """As torch's optimizers do: w -= rate * (gradient + weight_decay * w)."""
    steps = {}
    for decay in (0.0, 0.5):
        spec = dataclasses.replace(SPEC, optimizer="sgdm", weight_decay=decay)
        model = train.build_model(spec, data)
        model.compile(keras.optimizers.SGD(1.0), loss="mse")
        before = values(model.trainable_variables)
        x = data.preprocess(data.train[np.arange(16)])
        model.train_on_batch(x, np.zeros((16, 10)))
        after = values(model.trainable_variables)
        steps[decay] = [b - a for b, a in zip(before, after, strict=True)]
    for plain_step, decayed, weight in zip(steps[0.0], steps[0.5], before, strict=True):
        np.testing.assert_allclose(decayed - plain_step, 0.5 * weight, atol=1e-4)


@pytest.fixture
def small(monkeypatch):
    """A network that takes no time to compile, for what any network shows."""
    monkeypatch.setattr(models, "build", build)


class Stop(Exception):
    pass


def stopping(after):
    def on_epoch(epoch, curves, restored):
        if epoch == after:
            raise Stop

    return on_epoch


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("arm", list(ARMS))
@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_is_stopped_ends_as_if_it_had_not_been(data, tmp_path, arm, after):
    spec = ARMS[arm]
    keep = Options(save_model=True)
    whole = train.train(spec, data, folder=tmp_path / "whole", options=keep)
    with pytest.raises(Stop):
        train.train(spec, data, stopping(after), tmp_path / "stopped")
    epochs = []
    resumed = train.train(
        spec,
        data,
        lambda *epoch: epochs.append(epoch),
        tmp_path / "stopped",
        keep,
    )
    losses = [curves["test_loss"] for _, curves, _ in epochs]
    assert losses == whole.curves["test_loss"]
    restored = [(epoch, restored) for epoch, _, restored in epochs]
    assert restored == [(n, n <= after) for n in range(1, spec.epochs + 1)]
    for name in ("metrics", "curves", "confusion", "norm_ratios", "centred"):
        assert getattr(resumed, name) == getattr(whole, name)
    saved = [
        keras.saving.load_model(tmp_path / name / train.MODEL)
        for name in ("whole", "stopped")
    ]
    for a, b in zip(*(values(m.variables) for m in saved), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("sampler", ["weighted", "shuffled"])
def test_the_images_of_an_epoch_go_by_seed_epoch_and_sampler(
    data, tmp_path, monkeypatch, sampler
):
    real, asked = datasets.Dataset.epoch, []

    def epoch(*arguments, **named):
        call = inspect.signature(real).bind(*arguments, **named)
        call.apply_defaults()
        asked.append(tuple(call.arguments.values())[1:])
        return real(*arguments, **named)

    monkeypatch.setattr(datasets.Dataset, "epoch", epoch)
    spec = dataclasses.replace(SPEC, seed=7, epochs=3, batch_size=16, sampler=sampler)
    expected = [(7, number, 16, sampler, 0, 1) for number in range(3)]
    train.train(spec, data)
    assert asked == expected
    asked.clear()
    with pytest.raises(Stop):
        train.train(spec, data, stopping(1), tmp_path)
    assert asked == expected[:1]
    train.train(spec, data, folder=tmp_path)
    assert asked == expected


def test_the_saved_model_is_one_that_the_library_alone_can_load(data, tmp_path):
    result = train.train(
        ARMS["filters"], data, folder=tmp_path, options=Options(save_model=True)
    )
    model = keras.saving.load_model(tmp_path / train.MODEL)
    assert type(model.optimizer) is WGD
    logits = model.predict(data.evaluation(40)["x"], verbose=0)
    accuracy = np.mean(logits.argmax(axis=1) == data.y_test)
    assert accuracy == pytest.approx(result.metrics["accuracy"])
    assert len(model.optimizer.whitened_variables) == 9


@pytest.mark.usefixtures("small")
def test_tensorboard_gets_every_curve(data, tmp_path):
    options = Options(tensorboard=True)
    train.train(ARMS["filters"], data, folder=tmp_path, options=options)
    logs = b"".join(
        path.read_bytes() for path in (tmp_path / "tensorboard").glob("events*")
    )
    for name in (b"train/loss", b"test/accuracy", b"norm/ratio", b"seconds"):
        assert logs.count(name) == 2


@pytest.mark.usefixtures("small")
def test_nothing_is_kept_through_a_link(data, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "run"
    board = folder / "tensorboard"
    board.mkdir(parents=True)
    (folder / train.MODEL).symlink_to(elsewhere)
    begin = f"events.out.tfevents.{{}}.{socket.gethostname()}.1"
    for second in range(int(time.time()), int(time.time()) + 300):
        (board / begin.format(second)).symlink_to(elsewhere)
    spec = dataclasses.replace(SPEC, epochs=1)
    keep = Options(save_model=True, tensorboard=True)
    train.train(spec, data, folder=folder, options=keep)
    assert not elsewhere.exists()
    assert not (folder / train.MODEL).is_symlink()
    assert keras.saving.load_model(folder / train.MODEL)
    (events,) = (path for path in board.iterdir() if not path.is_symlink())
    assert events.read_bytes().count(b"train/loss") == 1
    assert not list(folder.glob(".draft*"))


@pytest.mark.usefixtures("small")
def test_a_link_in_the_place_of_the_curves_is_refused(data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").symlink_to(tmp_path / "elsewhere")
    keep = Options(tensorboard=True)
    with pytest.raises(ValueError, match=r"tensorboard must be .*Received: .*, a link"):
        train.train(SPEC, data, folder=tmp_path / "run", options=keep)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.usefixtures("small")
def test_tensorboard_gets_the_epochs_before_a_stop(data, tmp_path):
    with pytest.raises(Stop):
        train.train(SPEC, data, stopping(1), tmp_path)
    train.train(SPEC, data, folder=tmp_path, options=Options(tensorboard=True))
    logs = b"".join(
        path.read_bytes() for path in (tmp_path / "tensorboard").glob("events*")
    )
    assert logs.count(b"train/loss") == 2


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [("sgdm", "SGD"), ("adam", "Adam"), ("nadam", "Nadam"), ("radam", "RAdam")],
)
def test_the_optimizers_are_those_of_the_paper(data, optimizer, name):
    spec = dataclasses.replace(SPEC, optimizer=optimizer, epsilon=1e-6, momentum=0.75)
    model = train.build_model(spec, data)
    plain = train.build_optimizer(spec, model)
    assert type(plain).__name__ == name
    config = plain.get_config()
    assert config["learning_rate"] == pytest.approx(1e-3)
    key = "momentum" if optimizer == "sgdm" else "epsilon"
    assert config[key] == (0.75 if optimizer == "sgdm" else 1e-6)
    wrapped = train.build_optimizer(
        dataclasses.replace(spec, mean_over="kernels", placement="update"), model
    )
    assert isinstance(wrapped, WGD)
    assert (wrapped.mean_over, wrapped.placement) == ("kernels", "update")
    assert type(wrapped.inner_optimizer).__name__ == name


def linear(name, input_shape, classes, stem):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


def trained_by_torch(spec, data, weights, optimizer, **options):
    """The weights that torch makes of those of `linear`, and each epoch's loss."""
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    steps = optimizer(
        parameters, spec.learning_rate, weight_decay=spec.weight_decay, **options
    )
    curve = []
    for epoch in range(spec.epochs):
        images = data.epoch(spec.seed, epoch, spec.batch_size, spec.sampler)
        batches = [
            torch.tensor(images[name]).split(spec.batch_size) for name in ("x", "y")
        ]
        losses = []
        for x, y in zip(*batches, strict=True):
            steps.zero_grad()
            logits = x.flatten(1) @ parameters[0] + parameters[1]
            loss = torch.nn.functional.cross_entropy(logits, y)
            loss.backward()
            steps.step()
            losses.append(loss.item())
        curve.append(np.mean(losses))
    return [parameter.detach().numpy() for parameter in parameters], curve


# Keras's Nadam has torch's schedule of the momentum, run 250 times as fast.
TORCH = {
    "sgdm": ("SGD", {"momentum": 0.9}),
    "adam": ("Adam", {"eps": 1e-10}),
    "nadam": ("NAdam", {"eps": 1e-10, "momentum_decay": 1.0}),
    "radam": ("RAdam", {"eps": 1e-10}),
}


def weights_of_a_linear_run(optimizer, data, folder):
    spec = dataclasses.replace(
        SPEC,
        optimizer=optimizer,
        model="linear",
        epochs=5,
        batch_size=8,
        weight_decay=0.1,
    )
    weights = values(train.build_model(spec, data).trainable_variables)
    keep = Options(save_model=True)
    result = train.train(spec, data, folder=folder, options=keep)
    model = keras.saving.load_model(folder / train.MODEL)
    return spec, weights, values(model.trainable_variables), result


@pytest.mark.parametrize("optimizer", list(TORCH))
def test_a_plain_run_is_that_of_torch(data, tmp_path, monkeypatch, optimizer):
    """With its L2: `weight_decay` is an argument of torch's optimizers here."""
    import torch

    monkeypatch.setattr(models, "build", linear)
    spec, weights, ours, result = weights_of_a_linear_run(optimizer, data, tmp_path)
    name, options = TORCH[optimizer]
    theirs, curve = trained_by_torch(
        spec, data, weights, getattr(torch.optim, name), **options
    )
    moved = max(np.abs(a - b).max() for a, b in zip(theirs, weights, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3 * moved)
    assert result.curves["train_loss"] == pytest.approx(curve, rel=1e-4)


def test_nadam_is_not_that_of_torch_as_it_comes(data, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(models, "build", linear)
    spec, weights, ours, _ = weights_of_a_linear_run("nadam", data, tmp_path)
    theirs, _ = trained_by_torch(spec, data, weights, torch.optim.NAdam, eps=1e-10)
    moved = np.linalg.norm(theirs[0] - weights[0])
    assert np.linalg.norm(ours[0] - theirs[0]) > 0.01 * moved


def test_a_wrapped_run_that_would_be_plain_is_refused(data, monkeypatch):
    monkeypatch.setattr(models, "build", linear)
    spec = dataclasses.replace(ARMS["filters"], model="linear")
    with (
        pytest.warns(UserWarning, match="found nothing to center"),
        pytest.raises(RuntimeError, match="linear has no kernel to center"),
    ):
        train.train(spec, data)


def test_the_commit_is_that_of_the_file_and_of_nothing_around_it(tmp_path, monkeypatch):
    def git(*arguments):
        name = ["-c", "user.name=n", "-c", "user.email=e@x"]
        done = subprocess.run(
            ["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    file = tmp_path / "environment.py"
    file.write_text("")
    monkeypatch.setattr(environment, "__file__", str(file))
    assert environment._commit() is None
    git("init")
    git("commit", "--allow-empty", "--message", "another project's")
    assert environment._commit() is None
    git("add", file.name)
    git("commit", "--message", "ours")
    assert environment._commit() == git("rev-parse", "--short", "HEAD")
    file.write_text("changed")
    assert environment._commit().endswith("-dirty")
