import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.results import result_of
from support.runs import SPEC

from keras_wgd import files, settings
from keras_wgd.experiments.store import results

pytestmark = pytest.mark.any_backend


def test_result_round_trip(tmp_path):
    result = result_of(SPEC)
    folder = results.write(tmp_path, result)
    assert results.read(folder) == result
    assert results.is_finished(tmp_path, SPEC)
    assert results.read_all(tmp_path) == ([result], [])
    assert [path.name for path in tmp_path.iterdir()] == [SPEC.id]


def test_permissions_of_a_result(tmp_path):
    (tmp_path / "any").mkdir()
    folder = results.write(tmp_path, result_of(SPEC))
    assert folder.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_result_of_a_diverged_run(tmp_path):
    results.write(tmp_path, result_of(SPEC, loss=float("nan")))
    (read,), _ = results.read_all(tmp_path)
    assert np.isnan(read.metrics["loss"])
    text = (tmp_path / SPEC.id / "result.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def damaged(name, change):
    def damage(folder):
        path = folder / name
        path.write_text(change(path.read_text()))

    return damage


def edited(**fields):
    return damaged(
        "result.json", lambda text: json.dumps({**json.loads(text), **fields})
    )


def measured(**numbers):
    return edited(metrics={**result_of(SPEC).metrics, **numbers})


def curved(**rows):
    return edited(curves={**result_of(SPEC).curves, **rows})


def specified(**fields):
    return damaged("spec.json", lambda text: json.dumps({**json.loads(text), **fields}))


def replaced(name, make):
    def damage(folder):
        (folder / name).rename(folder / "aside")
        make(folder / name)

    return damage


def large(path):
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)


def nested(levels):
    return json.loads("[" * levels + "]" * levels)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged("result.json", lambda text: text[:-20]), "result.json is damaged"),
        (damaged("result.json", lambda text: ""), "result.json is damaged"),
        (damaged("spec.json", lambda text: text[:9]), "spec.json is damaged"),
        (damaged("result.json", lambda text: "[]"), "is not the result of its spec"),
        (damaged("spec.json", lambda text: "{}"), "spec.json: a run's spec must have"),
        (lambda folder: (folder / "result.json").unlink(), "result.json is missing"),
        (lambda folder: (folder / "spec.json").unlink(), "spec.json is missing"),
        (edited(metrics={}), "is not the result of its spec"),
        (edited(metrics=None), "is not the result of its spec"),
        (edited(seconds=3), "is not the result of its spec"),
        (edited(norm_ratios=[1.0]), "is not the result of its spec"),
        (edited(norm_ratios=None), "is not the result of its spec"),
        (edited(seconds=[1.0]), "is not the result of its spec"),
        (edited(curves={"train_loss": ["a", "b"]}), "is not the result of its spec"),
        (edited(curves={}), "is not the result of its spec"),
        (edited(confusion=[[1, 2]]), "is not the result of its spec"),
        (edited(confusion="x"), "is not the result of its spec"),
        (edited(centered=-1), "is not the result of its spec"),
        (edited(centered=True), "is not the result of its spec"),
        (edited(seconds=[True, 10**400]), "is not the result of its spec"),
        (damaged("spec.json", lambda text: "[" * 200_000), "spec.json is damaged"),
        (edited(stranger=1), "is not the result of its spec"),
        (edited(seconds=[1.0, None]), "is not the result of its spec"),
        (edited(seconds=[1.0, -1.0]), "is not the result of its spec"),
        (edited(norm_ratios=[0.5, 1.01]), "is not the result of its spec"),
        (edited(norm_ratios=[0.5, -(10**400)]), "is not the result of its spec"),
        (edited(confusion=[]), "is not the result of its spec"),
        (edited(confusion=[[1.5]]), "is not the result of its spec"),
        (edited(confusion=[[-1]]), "is not the result of its spec"),
        (edited(confusion=[[None]]), "is not the result of its spec"),
        (edited(confusion=[[0, 0], [0, 0]]), "is not the result of its spec"),
        (edited(confusion=[[2, 1], [3, 4]]), "not that of its confusion matrix"),
        (measured(accuracy=0.9), "not that of its confusion matrix"),
        (edited(centered=10**400), "is not the result of its spec"),
        (edited(environment={"a": nested(500)}), "is not the result of its spec"),
        (measured(accuracy=1e308), "is not the result of its spec"),
        (measured(accuracy=-5), "is not the result of its spec"),
        (measured(accuracy=None), "is not the result of its spec"),
        (measured(mean_recall=1.1), "is not the result of its spec"),
        (measured(mean_precision=True), "is not the result of its spec"),
        (measured(kappa=-1.1), "is not the result of its spec"),
        (measured(loss=-(10**400)), "is not the result of its spec"),
        (measured(loss=float("inf")), "is damaged: Infinity is not a JSON number"),
        (edited(environment={"a": float("nan")}), "is damaged: NaN is not a JSON"),
        (
            damaged("result.json", lambda text: text.replace("1.0", "1e999", 1)),
            "is damaged: 1e999 is not a JSON number",
        ),
        (curved(test_loss=[1.0, -(10**400)]), "is not the result of its spec"),
        (curved(train_accuracy=[0.5, 1.1]), "is not the result of its spec"),
        (specified(batch_size=10**30), "batch_size must be a whole number"),
        (specified(train_size=2**63), "train_size must be a whole number"),
        (specified(learning_rate=10**400), "learning_rate must be a number"),
        (specified(epsilon=True), "epsilon must be a number"),
        (specified(momentum="0.9"), "momentum must be a number"),
        (specified(optimizer=nested(500)), "optimizer must be lower-case"),
        (replaced("spec.json", os.mkfifo), "spec.json is damaged: not a regular file"),
        (replaced("result.json", os.mkfifo), "result.json is damaged: not a regular"),
        (
            replaced("spec.json", lambda path: path.symlink_to("/dev/zero")),
            "spec.json is damaged: not a regular file",
        ),
        (
            replaced("result.json", lambda path: path.symlink_to("aside")),
            "result.json is damaged: not a regular file",
        ),
        (replaced("result.json", large), "result.json is damaged: larger than 64 MB"),
    ],
)
def test_damaged_result(tmp_path, damage, message):
    folder = results.write(tmp_path, result_of(SPEC))
    other = dataclasses.replace(SPEC, seed=1)
    results.write(tmp_path, result_of(other))
    damage(folder)
    found, problems = results.read_all(tmp_path)
    assert [result.spec for result in found] == [other]
    assert len(problems) == 1
    assert message in problems[0]
    assert SPEC.id in problems[0]
    assert not results.is_finished(tmp_path, SPEC)
    left = {path.name for path in folder.iterdir()}
    results.write(tmp_path, result_of(SPEC))
    assert results.is_finished(tmp_path, SPEC)
    (aside,) = tmp_path.glob("*.damaged-1")
    assert {path.name for path in aside.iterdir()} == left
    found, problems = results.read_all(tmp_path)
    assert len(found) == 2
    assert problems == []


def test_damaged_result_is_kept_aside(tmp_path):
    for number in (1, 2):
        folder = results.write(tmp_path, result_of(SPEC))
        (folder / "result.json").write_text("{")
        (line,) = results.check(tmp_path, [SPEC], "jax")
        assert line.startswith(f"{folder / 'result.json'} is damaged")
        assert line.endswith(f"is kept as {SPEC.id}.damaged-{number}")
    results.write(tmp_path, result_of(SPEC, environment={"backend": "jax"}))
    assert results.check(tmp_path, [SPEC], "jax") == []
    kept = sorted(path.name for path in tmp_path.glob("*/result.json"))
    assert len(kept) == 3


def test_result_that_cannot_be_read_now(tmp_path, monkeypatch):
    folder = results.write(tmp_path, result_of(SPEC))
    read_text = Path.read_text

    def denied(path, **options):
        if path.name == "result.json":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", denied)
    for read in (
        lambda: results.is_finished(tmp_path, SPEC),
        lambda: results.check(tmp_path, [SPEC], "jax"),
    ):
        with pytest.raises(OSError, match=r"Input/output error: .*result\.json"):
            read()
    line = f"{folder} cannot be read: Input/output error"
    assert results.read_all(tmp_path) == ([], [line])


def test_result_of_another_backend(tmp_path):
    assert results.check(tmp_path / "absent", [SPEC], "jax") == []
    folder = results.write(tmp_path, result_of(SPEC, environment={"backend": "torch"}))
    assert results.check(tmp_path, [SPEC], "torch") == []
    message = f"out must hold runs on jax alone; .* Received: {folder}, made on torch"
    with pytest.raises(ValueError, match=message):
        results.check(tmp_path, [SPEC], "jax")


def test_result_of_other_settings(tmp_path, monkeypatch):
    for name in settings.names("jax"):
        monkeypatch.delenv(name, raising=False)
    record = {"backend": "jax", "settings": {"JAX_ENABLE_X64": "1"}}
    folder = results.write(tmp_path, result_of(SPEC, environment=record))
    message = (
        "out must hold runs with the same settings; .* "
        f"Received: {folder}, made with JAX_ENABLE_X64 1, now not set"
    )
    with pytest.raises(ValueError, match=message):
        results.check(tmp_path, [SPEC], "jax")
    monkeypatch.setenv("JAX_ENABLE_X64", "true")
    assert results.check(tmp_path, [SPEC], "jax") == []
    old = dataclasses.replace(SPEC, seed=1)  # from before settings were recorded
    folder = results.write(tmp_path, result_of(old, environment={"backend": "jax"}))
    with pytest.raises(ValueError, match="JAX_ENABLE_X64 not set, now 1"):
        results.check(tmp_path, [old], "jax")


@pytest.mark.parametrize("confusion", [[[0, 1], [1, 0]], [[2**53, 0], [0, 2**53]]])
def test_numbers_at_the_ends_of_their_ranges(tmp_path, confusion):
    spec = dataclasses.replace(SPEC, mean_over="filters")
    edge = dataclasses.replace(
        result_of(spec, confusion=confusion, loss=1e308),
        norm_ratios=[1.0005, float("nan")],
        seconds=[0, 1e9],
    )
    results.write(tmp_path, edge)
    (read,), problems = results.read_all(tmp_path)
    assert read.metrics == edge.metrics
    assert problems == []


def test_run_folder_is_a_link(tmp_path):
    results.prepare(tmp_path / "other", [SPEC])
    elsewhere = results.write(tmp_path / "other", result_of(SPEC))
    out = tmp_path / "out"
    results.prepare(out, [SPEC])
    (out / SPEC.id).symlink_to(elsewhere)
    assert results.read_all(out) == (
        [],
        [f"{out / SPEC.id} is a link, not a folder"],
    )
    assert not results.is_finished(out, SPEC)
    results.write(out, result_of(SPEC))
    assert results.is_finished(out, SPEC)
    assert results.is_finished(tmp_path / "other", SPEC)


def test_problems_are_printable(tmp_path):
    (tmp_path / "a\x1b[2J\nb\u202e\udce9").mkdir()
    _, (problem,) = results.read_all(tmp_path)
    assert problem == (f"{tmp_path}/a\\x1b[2J\\nb\\u202e\\udce9/spec.json is missing")
    assert files.printable("ü é 1") == "ü é 1"
    assert len(files.printable("x" * 10**6)) < 1100


def test_report_folder_is_no_run(tmp_path):
    out = tmp_path / "ours"
    out.mkdir()
    (out / "report.html").write_text("")
    assert results.read_all(tmp_path) == ([], [])
    run = results.write(tmp_path, result_of(SPEC))
    shutil.copy(out / "report.html", run)
    (read,), _ = results.read_all(tmp_path)
    assert read.spec == SPEC


def test_result_under_another_name(tmp_path):
    folder = results.write(tmp_path, result_of(SPEC))
    other = dataclasses.replace(SPEC, seed=1)
    folder.rename(tmp_path / other.id)
    assert not results.is_finished(tmp_path, other)


@pytest.mark.parametrize("name", ["copy", f"{SPEC.id}-2", "digits-resnet8"])
def test_copy_of_a_run(tmp_path, name):
    folder = results.write(tmp_path, result_of(SPEC))
    shutil.copytree(folder, tmp_path / name)
    found, problems = results.read_all(tmp_path)
    assert [result.spec for result in found] == [SPEC]
    assert problems == [f"{tmp_path / name} is not named for its run, {SPEC.id}"]


def test_other_folders(tmp_path):
    (tmp_path / ".half.123").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / results.REPORT).mkdir()
    (tmp_path / "holiday").mkdir()
    found, problems = results.read_all(tmp_path)
    assert found == []
    assert [problem.split("/")[-2] for problem in problems] == ["holiday"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"out must be a folder that can be made"):
            results.prepare(out, [SPEC])
    results.prepare(tmp_path / "a" / "b", [SPEC])
    (tmp_path / "a" / "b" / SPEC.id).write_text("mine")
    with pytest.raises(ValueError, match=r"room for the folder of each run.*a file"):
        results.prepare(tmp_path / "a" / "b", [SPEC])


def test_draft_folder_is_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    results.draft_of(out, SPEC).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"the folders of its runs itself.*a link"):
        results.prepare(out, [SPEC])
