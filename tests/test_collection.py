"""Results that are read from several folders."""

import dataclasses

import pytest
from support.results import result_of
from support.studies import SPEC

from keras_wgd.experiments.store import collection, results

pytestmark = pytest.mark.any_backend


def test_several_folders(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    other = dataclasses.replace(SPEC, seed=1)
    results.write(here, result_of(SPEC, confusion=[[1, 4], [5, 0]]))
    results.write(there, result_of(SPEC, confusion=[[1, 4], [4, 1]]))
    results.write(there, result_of(other, confusion=[[1, 1], [1, 1]]))
    (there / "holiday").mkdir()
    found, problems = collection.collect([here, there, here])
    assert [r.spec for r in found] == [SPEC, other]
    assert found[0].metrics["accuracy"] == 0.1
    assert problems == [
        f"{there / 'holiday' / 'spec.json'} is missing",
        f"{there / SPEC.id} is the same run as that of {here}",
    ]


def test_runs_of_two_backends(tmp_path):
    folders = [tmp_path / backend for backend in ("jax", "torch")]
    for folder in folders:
        folder.mkdir()
        environment = {"backend": folder.name}
        results.write(folder, result_of(SPEC, environment=environment))
    found, problems = collection.collect(folders)
    assert [r.backend for r in found] == ["jax", "torch"]
    assert problems == []


def test_runs_with_two_settings(tmp_path):
    folders = [tmp_path / name for name in ("usual", "x64")]
    for folder, record in zip(folders, ({}, {"JAX_ENABLE_X64": "1"}), strict=True):
        folder.mkdir()
        environment = {"backend": "jax", "settings": record}
        results.write(folder, result_of(SPEC, environment=environment))
    found, problems = collection.collect(folders)
    assert [r.settings for r in found] == [{}, {"JAX_ENABLE_X64": "1"}]
    assert problems == []


def test_paths_that_are_no_folders(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("nope\x1b", "file"):
        with pytest.raises(ValueError, match=r"^folders must be.*, which is no folder"):
            collection.collect([tmp_path, tmp_path / name])
