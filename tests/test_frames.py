"""The frames of a study: rows, columns, order, and the files made of them."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from support.results import result_of
from support.studies import SPEC, study

from keras_wgd.experiments.analysis import frames
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.metrics import CURVES
from keras_wgd.experiments.spec import RunSpec

pytestmark = pytest.mark.any_backend


def in_order(results):
    """The results, in the order of the rows of their frame."""
    runs = Analysis.of(results).runs
    by_key = {
        (
            r.spec.dataset,
            r.spec.optimizer,
            r.spec.learning_rate,
            r.spec.arm,
            r.spec.seed,
        ): r
        for r in results
    }
    columns = ("dataset", "optimizer", "learning_rate", "arm", "seed")
    return [by_key[key] for key in runs.select(columns).rows()]


def test_run_row():
    others = {"mean_recall": 0.48, "mean_precision": 0.52, "kappa": 0.47}
    result = result_of(SPEC, "filters", accuracy=0.75, **others)
    (row,) = Analysis.of([result]).runs.to_dicts()
    assert row.pop("train_roughness") == pytest.approx(np.sqrt((0.5**2 + 0.25**2) / 2))
    assert row.pop("test_roughness") == pytest.approx(np.sqrt((0.5**2 + 0.25**2) / 2))
    assert row == {
        "dataset": "cifar100",
        "model": "densenet121",
        "image_size": 32,
        "stem": None,
        "epochs": 4,
        "batch_size": 32,
        "sampler": "weighted",
        "train_size": 10_000,
        "test_size": None,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "epsilon": 1e-10,
        "optimizer_settings": None,
        "backend": "jax",
        "settings": "",
        "optimizer": "radam",
        "learning_rate": 0.01,
        "arm": "filters",
        "seed": 0,
        "accuracy": 0.75,
        "loss": 1.25,
        **others,
        "diverged": False,
        "train_loss": 1.25,
        "train_accuracy": 0.75,
        "test_loss": 1.25,
        "test_accuracy": 0.75,
        "norm_ratio": 0.99,
        "seconds": 4.0,
    }


def test_fields_of_a_spec_are_columns():
    """But for those that the arm stands for: a new field needs no edit here."""
    fields = {field.name for field in dataclasses.fields(RunSpec)}
    arm = {"mean_over", "placement"}
    assert set(frames.KEYS) == fields - arm | {"arm", "backend", "settings"}


def test_epoch_rows():
    results = study()
    analysis = Analysis.of(results)
    assert len(analysis.epochs) == sum(result.spec.epochs for result in results)
    keys = list(frames.KEYS)
    parts = analysis.epochs.partition_by(keys, maintain_order=True)
    first = pl.concat(part.select(keys).head(1) for part in parts)
    assert first.equals(analysis.runs.select(keys))
    for result, part in zip(in_order(results), parts, strict=True):
        assert part["epoch"].to_list() == list(range(1, result.spec.epochs + 1))
        for name in CURVES:
            np.testing.assert_array_equal(part[name], result.curves[name])
        ratios = result.norm_ratios or [None] * result.spec.epochs
        assert part["norm_ratio"].to_list() == ratios
        assert part["seconds"].to_list() == result.seconds


def test_runs_have_last_epoch_and_all_seconds():
    analysis = Analysis.of(study())
    last = analysis.epochs.group_by(frames.KEYS, maintain_order=True).agg(
        pl.col(*CURVES, "norm_ratio").last(), pl.col("seconds").sum()
    )
    assert analysis.runs.select(last.columns).equals(last)


def test_diverged_runs():
    nan = float("nan")
    losses = {0: [1.0, nan, 1.0, 1.0], 1: [1.0] * 4, 2: [1.0, 1.0, float("inf"), 1.0]}
    found = [
        result_of(dataclasses.replace(SPEC, seed=seed), losses=row)
        for seed, row in losses.items()
    ]
    found.append(result_of(dataclasses.replace(SPEC, seed=3), loss=nan))
    runs = Analysis.of(found).runs
    assert runs["diverged"].to_list() == [True, False, True, True]


@pytest.mark.parametrize("backend", [None, 3, ["jax"], "<b>jax</b>", "x" * 9000])
def test_invalid_backend_is_unknown(backend):
    found = result_of(SPEC, environment={"backend": backend})
    assert Analysis.of([found]).runs["backend"].to_list() == ["unknown"]


def test_whole_numbers_in_a_spec():
    spec = dataclasses.replace(SPEC, learning_rate=10**29, weight_decay=0)
    (row,) = Analysis.of([result_of(spec)]).runs.to_dicts()
    assert (row["learning_rate"], row["weight_decay"]) == (1e29, 0.0)


@pytest.mark.parametrize("arm", ["plain", "filters"])
def test_run_that_is_there_twice(arm):
    found = [result_of(SPEC), result_of(SPEC, arm="filters"), result_of(SPEC, arm=arm)]
    with pytest.raises(ValueError, match=f"each run once.*twice .*'arm': '{arm}'"):
        frames.long(found)


def test_order_by_number_of_pairs():
    rows = {
        # data set, size of the images: pairs
        ("animals10", None): 2,
        ("animals10", 32): 0,
        ("cifar100", 32): 1,
        ("cifar100", 64): 3,
        ("digits", None): 4,
        ("digits", 64): 4,
        ("cars", 32): 4,
    }
    found = [
        result_of(
            dataclasses.replace(SPEC, dataset=dataset, image_size=size, seed=seed), arm
        )
        for (dataset, size), pairs in rows.items()
        for seed in range(5)
        for arm in ("plain", "filters")
        if arm == "plain" or seed < pairs
    ]
    runs = Analysis.of(found).runs
    assert runs.select("dataset", "image_size").unique(maintain_order=True).rows() == [
        ("digits", 64),
        ("digits", None),  # as many, but without a size
        ("cars", 32),  # as many as CIFAR-100
        ("cifar100", 64),
        ("cifar100", 32),
        ("animals10", None),
        ("animals10", 32),
    ]
    assert len(runs) == len(found)


def test_order_within_a_setting():
    found = [
        result_of(
            dataclasses.replace(SPEC, optimizer=o, learning_rate=rate, seed=seed), arm
        )
        for seed in (1, 0)
        for arm in ("fan_in", "plain", "filters-update", "filters")
        for rate in (0.1, 0.01)
        for o in ("adam", "sgdm", "radam")
    ]
    runs = Analysis.of(found).runs
    assert runs.select("optimizer", "learning_rate", "arm", "seed").rows() == [
        (optimizer, rate, arm, seed)
        for optimizer in ("sgdm", "adam", "radam")
        for rate in (0.01, 0.1)
        for arm in ("plain", "filters", "filters-update", "fan_in")
        for seed in (0, 1)
    ]


def test_files_have_the_numbers(tmp_path):
    analysis = Analysis.of(study())
    found = {
        "runs.csv": analysis.runs,
        "epochs.csv": analysis.epochs,
        "summary.csv": analysis.summary,
    }
    written = analysis.write(tmp_path)
    assert written == [tmp_path / name for name in found]
    for path, frame in zip(written, found.values(), strict=True):
        assert pl.read_csv(path, schema=frame.schema).equals(frame)
    assert {path.name for path in tmp_path.iterdir()} == set(found)


def test_no_runs():
    analysis = Analysis.of([])
    for frame in (analysis.runs, analysis.epochs, analysis.summary, analysis.curves):
        assert frame.is_empty()
