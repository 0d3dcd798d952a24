"""Means, intervals, tests and roughness, beside SciPy, NumPy and the formulas."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from keras_wgd.experiments.analysis import statistics

pytestmark = pytest.mark.any_backend

PLAIN = [0.60, 0.61, 0.63, 0.58]
WGD = [0.62, 0.60, 0.66, 0.61]
NAN = math.nan
ENDS = ("_n", "", "_low", "_high", "_p")


def estimate(values, subtracted=None):
    """Number, mean, interval and p value of one group of differences."""
    subtracted = [0.0] * len(values) if subtracted is None else subtracted
    columns = {"group": ["a"] * len(values), "value": values, "other": subtracted}
    schema = {"group": str, "value": float, "other": float}
    frame = pl.DataFrame(columns, schema=schema)
    terms = {"m": (pl.col("value"), pl.col("other"))}
    (row,) = statistics.estimates(frame, ["group"], terms).to_dicts()
    return tuple(row[f"m{end}"] for end in ENDS)


def test_mean_has_students_interval():
    low, high = stats.t.interval(
        0.95, len(PLAIN) - 1, loc=np.mean(PLAIN), scale=stats.sem(PLAIN)
    )
    assert estimate(PLAIN)[:4] == pytest.approx((4, np.mean(PLAIN), low, high))


def test_paired_test_is_that_of_scipy():
    test = stats.ttest_rel(WGD, PLAIN)
    interval = test.confidence_interval(0.95)
    mean = np.mean(np.subtract(WGD, PLAIN))
    expected = (4, mean, interval.low, interval.high, test.pvalue)
    assert estimate(WGD, PLAIN) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "n", "mean"),
    [
        ([NAN, NAN], 0, None),
        ([0.5], 1, 0.5),
        ([0.5, NAN], 1, 0.5),
        ([0.5, math.inf], 1, 0.5),
        ([0.5, None], 1, 0.5),
        ([0.5, 0.5, 0.5], 3, 0.5),
        ([0.0, 0.0, NAN], 2, 0.0),
        ([0.3, 0.1 + 0.2], 2, pytest.approx(0.3)),
    ],
)
def test_mean_without_two_different_values(values, n, mean):
    assert estimate(values) == (n, mean, None, None, None)


@pytest.mark.parametrize(
    ("values", "plain", "n", "mean"),
    [
        ([0.6], [0.5], 1, 0.1),
        ([0.6, 0.7], [0.5, 0.6], 2, 0.1),  # equal but for rounding
        ([0.5, 0.5], [0.5, 0.5], 2, 0.0),
        ([0.0, 0.0], [0.0, 0.0], 2, 0.0),
        ([0.6, NAN], [0.5, 0.5], 1, 0.1),
        ([0.6, 0.5], [NAN, NAN], 0, None),
    ],
)
def test_difference_without_two_different_pairs(values, plain, n, mean):
    mean = None if mean is None else pytest.approx(mean)
    assert estimate(values, plain) == (n, mean, None, None, None)


def test_groups_are_estimated_apart():
    """Several quantities and groups at once are those one by one."""
    frame = pl.DataFrame(
        {
            "group": ["b", "a", "b", "a", "b", "a"],
            "x": [1.0, NAN, 3.0, 2.0, 5.0, None],
            "y": [2.0, 4.0, 7.0, 1.0, 7.0, 7.0],
        }
    )
    terms = {name: (pl.col(name), pl.lit(0.0)) for name in ("x", "y")}
    found = statistics.estimates(frame, ["group"], terms, count=pl.len())
    assert found.select("group", "count").rows() == [("b", 3), ("a", 3)]
    for row in found.to_dicts():
        of_group = frame.filter(group=row["group"])
        for name in ("x", "y"):
            expected = estimate(of_group[name].to_list())
            assert tuple(row[f"{name}{end}"] for end in ENDS) == expected


def test_overflow_warns_of_nothing():
    estimate([1e308, -1e308, 1.0], [-1e308, 1e308, 0.0])
    estimate([1e308, -1e308, 1e308])
    assert estimate([1e308, 1e308, 1e308])[1] in (None, pytest.approx(1e308))
    assert roughness([1e308, 0.0, 1e308]) is not None


def test_adjustment_of_benjamini_and_hochberg():
    # Step up by hand: 0.01 * 3 / 1, 0.02 * 3 / 2, 0.5.
    found = statistics.adjusted(pl.Series([0.02, None, 0.01, 0.5])).to_list()
    assert found == [pytest.approx(0.03), None, pytest.approx(0.03), pytest.approx(0.5)]
    for nothing in ([None, None], []):
        p_values = pl.Series(nothing, dtype=pl.Float64)
        assert statistics.adjusted(p_values).to_list() == nothing


def roughness(losses):
    frame = pl.DataFrame({"loss": losses}, schema={"loss": float})
    return frame.select(statistics.roughness("loss")).item()


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3.0, 2.0, 1.0, 0.0], 0.0),
        ([1.0, 2.0, 3.0], 0.0),
        ([1.0, 0.0, 1.0], 2.0),
        ([3.0, 2.0, 1.5, 1.75], math.sqrt((0.5**2 + 0.75**2) / 2)),
        ([1.0, 2.0], None),
        ([], None),
    ],
)
def test_roughness(losses, expected):
    expected = None if expected is None else pytest.approx(expected)
    assert roughness(losses) == expected


@pytest.mark.parametrize("loss", [NAN, math.inf])
def test_roughness_of_a_diverged_run(loss):
    assert not math.isfinite(roughness([1.0, 0.5, loss, 0.1]))


def test_roughness_is_that_of_numpy():
    losses = np.random.default_rng(0).uniform(size=20)
    expected = np.sqrt(np.mean(np.diff(losses, 2) ** 2))
    assert roughness(losses.tolist()) == pytest.approx(expected)
