"""Files after a process was killed while it wrote them, and truncated files."""

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from support import killed
from support.networks import compiled, convnet, images, values
from support.results import result_of
from support.runs import SPEC
from support.small_study import build

from keras_wgd import WGD
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import results
from keras_wgd.experiments.training import checkpoint, train
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.tasks import datasets, models


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The folders of the killed processes."""
    root = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, killed.__file__, str(root)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.slow
def test_run_killed_at_any_write(left):
    places = sorted(left.glob("write-*"), key=lambda path: int(path.name[6:]))
    assert len(places) > 12
    epochs = []
    for place in places:
        found, problems = results.read_all(place)
        assert problems == []
        if found:
            assert found == [result_of(SPEC)]
            epochs.append("whole")
        else:
            state = [keras.Variable(np.zeros_like(a)) for a in killed.arrays(0)]
            folder = results.draft_of(place, SPEC)
            epochs.append(checkpoint.restore(folder, SPEC, state).epochs)
            for a, b in zip(values(state), killed.arrays(epochs[-1]), strict=True):
                np.testing.assert_array_equal(a, b)
            killed.end_a_run(place)
        checkpoint.remove(results.path_of(place, SPEC))
        assert results.read_all(place) == ([result_of(SPEC)], [])
        assert {path.name for path in place.rglob("*")} == {
            *(SPEC.id, "spec.json", "result.json")
        }
    # No state is lost, and the order is that of the writes.
    order = [1, 2, "whole"]
    assert sorted(epochs, key=order.index) == epochs
    assert set(epochs) == set(order)


@pytest.mark.slow
def test_killed_while_saving_the_model(left, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "build", build)
    out, keep = left / "save", Options(save_model=True)
    assert not list(out.rglob(train.MODEL))
    (draft,) = out.rglob(".draft-*-model.keras")
    with pytest.raises(Exception, match=r".+"):
        keras.saving.load_model(draft.rename(tmp_path / train.MODEL))
    assert results.read_all(out) == ([], [])
    told = []
    result = train.make(out, killed.RUN, keep, lambda epoch, *_: told.append(epoch))
    data = datasets.load("digits", None, killed.RUN.train_size, killed.RUN.test_size)
    whole = train.train(
        killed.RUN, StudyTask(data), folder=tmp_path / "whole", options=keep
    )
    for name in ("metrics", "curves", "confusion", "norm_ratios", "centered"):
        assert getattr(result, name) == getattr(whole, name)
    folders = results.path_of(out, killed.RUN), tmp_path / "whole"
    one, other = (keras.saving.load_model(f / train.MODEL) for f in folders)
    for a, b in zip(
        values(one.variables + one.optimizer.variables),
        values(other.variables + other.optimizer.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert not list(out.rglob(".draft*"))


@pytest.fixture(scope="module")
def whole_fit():
    return killed.fit()


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["fit", "backup"])
def test_fit_resumes_from_its_backup(left, whole_fit, scene):
    """Killed within an epoch, or while the backup is written."""
    resumed = killed.fit(left / scene)
    for a, b in zip(
        values(resumed.variables + resumed.optimizer.variables),
        values(whole_fit.variables + whole_fit.optimizer.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert int(resumed.optimizer.iterations) == 8
    assert len(resumed.optimizer.whitened_variables) == 2


def saved(path, optimizer):
    model = compiled(convnet(), optimizer)
    model.train_on_batch(*images(model))
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_load_of_a_truncated_file(tmp_path, name, keep):
    """Neither the model nor the file changes."""
    path = saved(tmp_path / name, WGD("adam"))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    model = compiled(convnet(), WGD("adam"))
    model.train_on_batch(*images(model))
    before = values(model.variables + model.optimizer.variables)
    load = (
        (lambda: keras.saving.load_model(path))
        if path.suffix == ".keras"
        else (lambda: model.load_weights(path))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that h5py could not open
        with pytest.raises((OSError, ValueError, KeyError), match=r".+"):
            load()
    for a, b in zip(
        values(model.variables + model.optimizer.variables), before, strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert path.read_bytes() == content[: int(keep * len(content))]


@pytest.mark.parametrize("wrap", [lambda inner: inner, WGD], ids=["plain", "wrapped"])
def test_load_of_the_weights_of_another_model(tmp_path, wrap):
    path = saved(tmp_path / "model.weights.h5", wrap(keras.optimizers.Adam()))
    x = keras.Input((6, 6, 3))
    y = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Conv2D(5, 3)(x)))
    model = compiled(keras.Model(x, y), wrap(keras.optimizers.Adam()))
    model.train_on_batch(*images(model))
    before = values(model.optimizer.variables)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the layers that are not there
        with pytest.raises(ValueError, match=r"shape|mismatch|expected"):
            model.load_weights(path)
    for a, b in zip(values(model.optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(a, b)
