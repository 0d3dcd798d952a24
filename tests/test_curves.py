"""The long table of curves: a row for each run and epoch."""

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.studies import SPEC, result_of, study

from keras_wgd.experiments.analysis import curves, frames
from keras_wgd.experiments.metrics import CURVES

pytestmark = pytest.mark.any_backend


def test_a_row_is_an_epoch_of_a_run():
    results = study()
    epochs = curves.frame(results)
    assert len(epochs) == sum(result.spec.epochs for result in results)
    keys = list(frames.KEYS)
    runs = frames.frame(results).select(keys)
    parts = epochs.partition_by(keys, maintain_order=True)
    assert pl.concat(part.select(keys).head(1) for part in parts).equals(runs)
    for result, part in zip(results, parts, strict=True):
        assert part["epoch"].to_list() == list(range(1, result.spec.epochs + 1))
        for name in CURVES:
            np.testing.assert_array_equal(part[name], result.curves[name])
        ratios = result.norm_ratios or [None] * result.spec.epochs
        assert part["norm_ratio"].to_list() == ratios
        assert part["seconds"].to_list() == result.seconds
    assert curves.frame([]).is_empty()


def test_the_last_epoch_and_all_seconds_are_in_the_runs():
    results = study()
    epochs, runs = curves.frame(results), frames.frame(results)
    keys = list(frames.KEYS)
    last = epochs.group_by(keys, maintain_order=True).agg(
        pl.col(*CURVES, "norm_ratio").last(), pl.col("seconds").sum()
    )
    assert runs.select(last.columns).equals(last)


def seeds(arm, losses, optimizer="radam"):
    return [
        result_of(dataclasses.replace(SPEC, seed=seed, optimizer=optimizer), arm, row)
        for seed, row in enumerate(losses)
    ]


def test_gains_are_taken_pair_by_pair():
    plain = np.array([[3.0, 2.0, 1.5, 1.0], [3.5, 2.5, 1.0, 0.5], [9.0, 9.0, 9.0, 9.0]])
    filters = np.array([[2.5, 2.25, 1.0, 0.5], [3.0, 2.0, 1.0, 1.0]])
    results = seeds("plain", plain.tolist()) + seeds("filters", filters.tolist())
    results += seeds("filters", filters.tolist(), "adam")  # without a plain run
    gains = curves.gains(curves.frame(results))
    assert gains.select("optimizer", "arm").unique().rows() == [("radam", "filters")]
    ((arm, found),) = curves.means(gains, "test_loss")
    assert (arm["optimizer"], arm["arm"], arm["learning_rate"]) == (
        *("radam", "filters"),
        SPEC.learning_rate,
    )
    differences = filters - plain[:2]
    for epoch, estimate in enumerate(found):
        values = differences[:, epoch]
        assert estimate.mean == pytest.approx(values.mean())
        if np.ptp(values):
            test = stats.ttest_rel(filters[:, epoch], plain[:2, epoch])
            interval = test.confidence_interval()
            assert (estimate.low, estimate.high) == pytest.approx(tuple(interval))
        else:
            assert estimate.low is None


def test_a_run_that_diverged_is_left_out_of_the_mean():
    nan = math.nan
    results = seeds("plain", [[1.0, 2.0, 3.0, nan], [3.0, 4.0, nan, nan]])
    ((_, found),) = curves.means(curves.frame(results), "train_loss")
    assert [(e.n, e.mean) for e in found] == [(2, 2.0), (2, 3.0), (1, 3.0), (0, None)]
