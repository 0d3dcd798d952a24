"""Training of a run: results, resuming, and what is kept."""

import dataclasses
import inspect
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from support.networks import values
from support.runs import ARMS, SPEC
from support.small_study import build

from keras_wgd import WGD
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.training import train
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.tasks import datasets, models


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", None, SPEC.train_size, SPEC.test_size)


# A run of the small network, by a process that has not imported Keras.
WITHOUT_TENSORFLOW = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from support import small_study
from keras_wgd import cli
small_study.install()
assert cli.app(["run", "--dataset", "digits", "--epochs", "1", "--train-size", "16",
    "--test-size", "16", "--batch-size", "8", "--mean-over", "filters"]) == 0
assert "tensorflow" not in sys.modules
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it is needed")
def test_run_does_not_import_tensorflow():
    """The import would take each worker seconds and hundreds of megabytes."""
    subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW], check=True, timeout=300)


@pytest.fixture(scope="module")
def plain(data):
    return train.train(SPEC, StudyTask(data))


def test_same_run_twice(data, plain):
    again = train.train(SPEC, StudyTask(data))
    assert again.metrics == plain.metrics
    assert again.curves == plain.curves
    assert again.confusion == plain.confusion


def test_result_of_a_wrapped_run(data, plain):
    epochs = []
    spec = ARMS["filters"]
    result = train.train(spec, StudyTask(data), lambda epoch, *_: epochs.append(epoch))
    assert epochs == [1, 2]
    assert plain.centered == 0
    assert result.centered == 9
    assert result.curves != plain.curves
    assert result.spec == spec
    assert len(result.seconds) == 2
    assert all(len(curve) == 2 for curve in result.curves.values())
    assert np.sum(result.confusion) == SPEC.test_size
    assert np.trace(result.confusion) / SPEC.test_size == result.metrics["accuracy"]
    assert result.metrics["loss"] == result.curves["test_loss"][-1]
    assert result.environment["backend"] == keras.backend.backend()
    assert result.environment["versions"]["keras"] == keras.__version__


def test_training_loss_without_l2(data):
    spec = dataclasses.replace(
        SPEC, epochs=1, learning_rate=1e-12, weight_decay=10.0, batch_size=64
    )
    loss = train.train(spec, StudyTask(data)).curves["train_loss"][0]
    assert 2 < loss < 5  # nats, of ten classes; the L2 alone is hundreds


@pytest.fixture
def small(monkeypatch):
    """A network that is quick to compile."""
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
def test_resume_after_stop(data, tmp_path, arm, after):
    spec = ARMS[arm]
    keep = Options(save_model=True)
    whole = train.train(spec, StudyTask(data), folder=tmp_path / "whole", options=keep)
    with pytest.raises(Stop):
        train.train(spec, StudyTask(data), stopping(after), tmp_path / "stopped")
    epochs = []
    resumed = train.train(
        spec,
        StudyTask(data),
        lambda *epoch: epochs.append(epoch),
        tmp_path / "stopped",
        keep,
    )
    losses = [curves["test_loss"] for _, curves, _ in epochs]
    assert losses == whole.curves["test_loss"]
    restored = [(epoch, restored) for epoch, _, restored in epochs]
    assert restored == [(n, n <= after) for n in range(1, spec.epochs + 1)]
    for name in ("metrics", "curves", "confusion", "norm_ratios", "centered"):
        assert getattr(resumed, name) == getattr(whole, name)
    saved = [
        keras.saving.load_model(tmp_path / name / train.MODEL)
        for name in ("whole", "stopped")
    ]
    for a, b in zip(*(values(m.variables) for m in saved), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.any_backend
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("sampler", ["weighted", "shuffled"])
def test_images_by_seed_epoch_and_sampler(data, tmp_path, monkeypatch, sampler):
    real, asked = datasets.Dataset.epoch, []

    def epoch(*arguments, **named):
        call = inspect.signature(real).bind(*arguments, **named)
        call.apply_defaults()
        asked.append(tuple(call.arguments.values())[1:])
        return real(*arguments, **named)

    monkeypatch.setattr(datasets.Dataset, "epoch", epoch)
    spec = dataclasses.replace(SPEC, seed=7, epochs=3, batch_size=16, sampler=sampler)
    expected = [(7, number, 16, sampler, 0, 1) for number in range(3)]
    train.train(spec, StudyTask(data))
    assert asked == expected
    asked.clear()
    with pytest.raises(Stop):
        train.train(spec, StudyTask(data), stopping(1), tmp_path)
    assert asked == expected[:1]
    train.train(spec, StudyTask(data), folder=tmp_path)
    assert asked == expected


def test_saved_model(data, tmp_path):
    result = train.train(
        ARMS["filters"],
        StudyTask(data),
        folder=tmp_path,
        options=Options(save_model=True),
    )
    model = keras.saving.load_model(tmp_path / train.MODEL)
    assert type(model.optimizer) is WGD
    logits = model.predict(data.evaluation(40)["x"], verbose=0)
    accuracy = np.mean(logits.argmax(axis=1) == data.y_test)
    assert accuracy == pytest.approx(result.metrics["accuracy"])
    assert len(model.optimizer.whitened_variables) == 9


@pytest.mark.usefixtures("small")
def test_tensorboard_curves(data, tmp_path):
    options = Options(tensorboard=True)
    train.train(ARMS["filters"], StudyTask(data), folder=tmp_path, options=options)
    logs = b"".join(
        path.read_bytes() for path in (tmp_path / "tensorboard").glob("events*")
    )
    for name in (b"train/loss", b"test/accuracy", b"norm/ratio", b"seconds"):
        assert logs.count(name) == 2


@pytest.mark.any_backend
@pytest.mark.usefixtures("small")
def test_links_are_not_followed(data, tmp_path):
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
    train.train(spec, StudyTask(data), folder=folder, options=keep)
    assert not elsewhere.exists()
    assert not (folder / train.MODEL).is_symlink()
    assert keras.saving.load_model(folder / train.MODEL)
    (events,) = (path for path in board.iterdir() if not path.is_symlink())
    assert events.read_bytes().count(b"train/loss") == 1
    assert not list(folder.glob(".draft*"))


@pytest.mark.any_backend
@pytest.mark.usefixtures("small")
def test_tensorboard_folder_is_a_link(data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").symlink_to(tmp_path / "elsewhere")
    keep = Options(tensorboard=True)
    with pytest.raises(ValueError, match=r"tensorboard must be .*Received: .*, a link"):
        train.train(SPEC, StudyTask(data), folder=tmp_path / "run", options=keep)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.any_backend
@pytest.mark.usefixtures("small")
def test_tensorboard_after_resume(data, tmp_path):
    with pytest.raises(Stop):
        train.train(SPEC, StudyTask(data), stopping(1), tmp_path)
    train.train(
        SPEC, StudyTask(data), folder=tmp_path, options=Options(tensorboard=True)
    )
    logs = b"".join(
        path.read_bytes() for path in (tmp_path / "tensorboard").glob("events*")
    )
    assert logs.count(b"train/loss") == 2
