import dataclasses
import errno
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from support.runs import SPEC, progress

from keras_wgd.experiments.metrics import CURVES
from keras_wgd.experiments.training import checkpoint


def variables(*numbers):
    return [keras.Variable(np.full((2, 3), number, "float32")) for number in numbers]


def numbers_of(state):
    return [float(keras.ops.convert_to_numpy(variable)[0, 0]) for variable in state]


def test_restore_of_the_last_state(tmp_path):
    folder = tmp_path / "run"
    checkpoint.save(folder, SPEC, progress(1), variables(1, 2))
    checkpoint.save(folder, SPEC, progress(2, float("nan")), variables(3, 4))
    state = variables(0, 0)
    found = checkpoint.restore(folder, SPEC, state)
    assert numbers_of(state) == [3, 4]
    assert found.epochs == 2
    assert found.seconds == [1.0, 1.0]
    assert np.isnan(found.curves["test_loss"]).all()
    assert len(list(folder.iterdir())) == 2
    (folder / ".draft-123-weights-2.npz").write_text("of a process that was killed")
    checkpoint.remove(folder)
    assert list(folder.iterdir()) == []


def spoiled(folder, name, change):
    (path,) = folder.glob(name)
    path.write_bytes(change(path.read_bytes()))


def with_fields(**fields):
    return lambda data: json.dumps({**json.loads(data), **fields}).encode()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("progress.json", lambda data: data[:-30]),
        ("progress.json", lambda data: b"[]"),
        ("progress.json", lambda data: b"{}"),
        ("progress.json", lambda data: b"\xff"),
        ("progress.json", with_fields(weights="absent.npz")),
        ("progress.json", with_fields(weights="../weights.npz")),
        ("progress.json", with_fields(weights=3)),
        ("progress.json", with_fields(seconds=None)),
        ("progress.json", with_fields(seconds=[1.0] * 3)),
        ("progress.json", with_fields(seconds=[-(10**400)])),
        ("progress.json", with_fields(seconds=[None])),
        ("progress.json", with_fields(seconds=[[1]])),
        ("progress.json", with_fields(curves={name: [[1.0]] for name in CURVES})),
        ("progress.json", with_fields(curves={name: [7.0] for name in CURVES})),
        ("progress.json", with_fields(norm_ratios=[0.5])),
        ("progress.json", with_fields(backend="another")),
        ("progress.json", with_fields(curves={name: [] for name in CURVES})),
        ("progress.json", with_fields(curves={})),
        ("weights-*.npz", lambda data: data[:-30]),
        ("weights-*.npz", lambda data: b""),
        ("weights-*.npz", lambda data: data[:99] + b"\0" + data[100:]),
    ],
)
def test_damaged_state(tmp_path, name, change):
    np.savez(tmp_path / "weights.npz", *[np.zeros((2, 3))] * 2)
    folder = tmp_path / "run"
    checkpoint.save(folder, SPEC, progress(1), variables(1, 2))
    spoiled(folder, name, change)
    state = variables(7, 8)
    assert checkpoint.restore(folder, SPEC, state).epochs == 0
    assert numbers_of(state) == [7, 8]


def test_state_of_other_settings(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    checkpoint.save(folder, SPEC, progress(1), variables(1, 2))
    state = variables(7, 8)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    assert checkpoint.restore(folder, SPEC, state).epochs == 0
    assert numbers_of(state) == [7, 8]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert checkpoint.restore(folder, SPEC, state).epochs == 1
    assert numbers_of(state) == [1, 2]


def plant_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def plant_pipe(path):
    path.unlink()
    os.mkfifo(path)


def plant_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["weights-1.npz", "progress.json"])
@pytest.mark.parametrize("plant", [plant_link, plant_pipe, plant_folder])
def test_links_and_pipes_are_not_read(tmp_path, name, plant):
    checkpoint.save(tmp_path, SPEC, progress(1), variables(1, 2))
    plant(tmp_path / name)
    state = variables(7, 8)
    assert checkpoint.restore(tmp_path, SPEC, state).epochs == 0
    assert numbers_of(state) == [7, 8]


@pytest.mark.parametrize("kind", ["U1", "float64", "int32"])
def test_arrays_of_another_dtype(tmp_path, kind):
    checkpoint.save(tmp_path, SPEC, progress(1), variables(1, 2))
    np.savez(tmp_path / "weights-1.npz", *[np.zeros((2, 3), kind)] * 2)
    state = variables(7, 8)
    assert checkpoint.restore(tmp_path, SPEC, state).epochs == 0
    assert numbers_of(state) == [7, 8]


def test_state_of_another_run(tmp_path):
    checkpoint.save(tmp_path, SPEC, progress(1), variables(1, 2))
    other = dataclasses.replace(SPEC, seed=1)
    assert checkpoint.restore(tmp_path, other, variables(0, 0)).epochs == 0
    assert checkpoint.restore(tmp_path, SPEC, variables(0)).epochs == 0
    transposed = [keras.Variable(np.zeros((3, 2), "float32")) for _ in range(2)]
    assert checkpoint.restore(tmp_path, SPEC, transposed).epochs == 0


@pytest.mark.parametrize("broken", ["weights-2.npz", "progress.json"])
def test_full_disk_keeps_the_previous_state(tmp_path, monkeypatch, broken):
    checkpoint.save(tmp_path, SPEC, progress(1), variables(1, 2))
    replace = Path.replace

    def full(self, target):
        if target.name == broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, SPEC, progress(2), variables(3, 4))
    state = variables(0, 0)
    assert checkpoint.restore(tmp_path, SPEC, state).epochs == 1
    assert numbers_of(state) == [1, 2]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
