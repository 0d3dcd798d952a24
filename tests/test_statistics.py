import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from support.studies import SPEC, result_of, runs_of, study

from keras_wgd.experiments.analysis import comparisons, frames, pairing, statistics
from keras_wgd.experiments.analysis.frames import summarize

pytestmark = pytest.mark.any_backend

PLAIN = [0.60, 0.61, 0.63, 0.58]
WGD = [0.62, 0.60, 0.66, 0.61]
NAN = math.nan


def mean_of(values):
    (found,) = statistics.means_of([[value] for value in values])
    return found


def test_the_mean_has_students_interval():
    found = mean_of(PLAIN)
    low, high = stats.t.interval(
        0.95, len(PLAIN) - 1, loc=np.mean(PLAIN), scale=stats.sem(PLAIN)
    )
    assert (found.n, found.left_out) == (4, 0)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (np.mean(PLAIN), low, high)
    )
    assert found.half == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(
    ("values", "n", "left_out", "mean"),
    [
        ([], 0, 0, None),
        ([NAN, NAN], 0, 2, None),
        ([0.5], 1, 0, 0.5),
        ([0.5, NAN], 1, 1, 0.5),
        ([0.5, math.inf], 1, 1, 0.5),
        ([0.5, 0.5, 0.5], 3, 0, 0.5),
        ([0.0, 0.0, NAN], 2, 1, 0.0),
        ([0.3, 0.1 + 0.2], 2, 0, pytest.approx(0.3)),
    ],
)
def test_a_mean_without_two_different_values_has_no_interval(values, n, left_out, mean):
    found = mean_of(values)
    assert found == statistics.Estimate(n=n, left_out=left_out, mean=mean)
    assert found.half is None


def test_several_means_at_once_are_those_one_by_one():
    rows = [[1.0, NAN, 3.0], [2.0, 5.0, NAN], [4.0, 7.0, NAN]]
    found = statistics.means_of(rows)
    assert found == [mean_of(column) for column in zip(*rows, strict=True)]
    assert [estimate.n for estimate in found] == [3, 2, 1]
    assert [e.mean for e in found] == pytest.approx([7 / 3, 6.0, 3.0])


def test_the_paired_test_is_that_of_the_formula():
    differences = np.subtract(WGD, PLAIN)
    error = differences.std(ddof=1) / math.sqrt(4)
    t = differences.mean() / error
    half = stats.t.ppf(0.975, 3) * error
    found = statistics.difference_of(WGD, PLAIN)
    assert found.n == 4
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(
        (
            differences.mean(),
            differences.mean() - half,
            differences.mean() + half,
            2 * stats.t.sf(abs(t), 3),
        )
    )
    assert found.p == pytest.approx(stats.ttest_rel(WGD, PLAIN).pvalue)


@pytest.mark.parametrize(
    ("values", "plain", "n", "left_out", "mean"),
    [
        ([], [], 0, 0, None),
        ([0.6], [0.5], 1, 0, 0.1),
        ([0.6, 0.7], [0.5, 0.6], 2, 0, 0.1),  # equal but for rounding
        ([0.5, 0.5], [0.5, 0.5], 2, 0, 0.0),
        ([0.0, 0.0], [0.0, 0.0], 2, 0, 0.0),
        ([0.6, NAN], [0.5, 0.5], 1, 1, 0.1),
        ([0.6, 0.5], [NAN, NAN], 0, 2, None),
    ],
)
def test_without_two_different_pairs_there_is_no_test(values, plain, n, left_out, mean):
    found = statistics.difference_of(values, plain)
    assert (found.n, found.left_out) == (n, left_out)
    assert found.mean == (None if mean is None else pytest.approx(mean))
    assert (found.low, found.high, found.p) == (None, None, None)


def test_numbers_that_overflow_warn_of_nothing():
    statistics.difference_of([1e308, -1e308, 1.0], [-1e308, 1e308, 0.0])
    mean_of([1e308, -1e308, 1e308])
    mean_of([1e308, 1e308, 1e308])
    assert statistics.roughness([1e308, 0.0, 1e308]) is not None


def test_p_values_are_adjusted_as_benjamini_and_hochberg_did():
    # Step up by hand: 0.01 * 3 / 1, 0.02 * 3 / 2, 0.5.
    found = statistics.adjusted([0.02, None, 0.01, 0.5])
    assert found == [pytest.approx(0.03), None, pytest.approx(0.03), pytest.approx(0.5)]
    assert statistics.adjusted([None, None]) == [None, None]
    assert statistics.adjusted([]) == []


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
    assert statistics.roughness(losses) == (
        None if expected is None else pytest.approx(expected)
    )


def test_roughness_of_a_diverged_run_is_no_number():
    assert math.isnan(statistics.roughness([1.0, 0.5, NAN, 0.1]))


def test_roughness_is_what_numpy_makes_of_it():
    losses = np.random.default_rng(0).uniform(size=20)
    expected = np.sqrt(np.mean(np.diff(np.diff(losses)) ** 2))
    assert statistics.roughness(losses.tolist()) == pytest.approx(expected)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 5},
        {"learning_rate": 0.5},
        {"optimizer": "adam"},
        {"epochs": 7},
        {"image_size": None},
        {"weight_decay": 0.0},
    ],
)
def test_only_runs_that_differ_in_the_arm_are_paired(other):
    spec = dataclasses.replace(SPEC, stem=None)
    found = [
        result_of(dataclasses.replace(spec, **other), accuracy=0.1),
        result_of(spec, accuracy=0.2),
        result_of(spec, "filters", accuracy=0.3),
    ]
    pairs = pairing.paired(frames.frame(found), ["accuracy"])
    assert pairs["accuracy_plain"].to_list() == [None, None, 0.2]
    alone = pairing.paired(frames.frame([found[0], found[2]]), ["accuracy"])
    assert alone["accuracy_plain"].to_list() == [None, None]


@pytest.mark.parametrize("arm", ["plain", "filters"])
def test_a_run_that_is_there_twice_is_refused(arm):
    runs = frames.frame([result_of(), result_of(arm="filters"), result_of(arm=arm)])
    for count in (lambda: pairing.paired(runs, ["loss"]), lambda: summarize(runs)):
        with pytest.raises(ValueError, match=f"each run once.*twice .*'arm': '{arm}'"):
            count()


def test_runs_on_different_backends_are_not_paired():
    found = [
        result_of(environment={"backend": "torch"}),
        result_of(arm="filters", environment={"backend": "jax"}),
    ]
    pairs = pairing.paired(frames.frame(found), ["accuracy"])
    assert pairs["accuracy_plain"].null_count() == 2


def test_the_verdict_averages_over_optimizers_within_a_seed_first():
    runs = frames.frame(
        runs_of(
            {
                ("sgdm", "plain"): [0.50, 0.50, 0.50],
                ("sgdm", "filters"): [0.51, 0.53, 0.50],
                ("adam", "plain"): [0.50, 0.50, 0.50],
                ("adam", "filters"): [0.53, 0.49, 0.56],
            }
        )
    )
    (found,) = comparisons.verdicts(runs, "accuracy")
    assert (found.arm, found.at_paper_rate, found.blocks) == ("filters", True, 2)
    assert (found.pairs, found.higher, found.lower, found.equal) == (6, 4, 1, 1)
    means = [0.02, 0.01, 0.03]
    expected = stats.ttest_1samp(means, 0)
    interval = expected.confidence_interval()
    assert found.difference.n == 3
    assert (found.difference.mean, found.difference.p) == pytest.approx(
        (0.02, expected.pvalue)
    )
    assert (found.difference.low, found.difference.high) == pytest.approx(
        (interval.low, interval.high)
    )


def test_the_verdict_is_over_what_every_seed_has():
    found = runs_of(
        {
            ("sgdm", "plain"): [0.50, 0.50],
            ("sgdm", "filters"): [0.51, 0.53],
            ("adam", "plain"): [0.50],
            ("adam", "filters"): [0.90],
        }
    )
    (verdict,) = comparisons.verdicts(frames.frame(found), "accuracy")
    assert (verdict.pairs, verdict.blocks, verdict.difference.n) == (3, 1, 2)
    assert verdict.difference.mean == pytest.approx(0.02)


def test_settings_and_the_papers_rate_are_judged_apart():
    own = dataclasses.replace(SPEC, learning_rate=0.1)
    other = dataclasses.replace(SPEC, image_size=None)
    found = [
        result_of(spec, arm)
        for spec in (other, own, SPEC)
        for arm in ("fan_in", "plain", "filters")
    ]
    verdicts = comparisons.verdicts(frames.frame(found), "accuracy")
    groups = [(v.setting["image_size"], v.at_paper_rate, v.arm) for v in verdicts]
    assert groups == [
        *((32, True, "filters"), (32, True, "fan_in")),
        *((32, False, "filters"), (32, False, "fan_in")),
        *((None, True, "filters"), (None, True, "fan_in")),
    ]
    assert all(tuple(v.setting) == pairing.SETTING for v in verdicts)
    assert {v.pairs for v in verdicts} == {1}
    assert comparisons.verdicts(frames.frame([]), "accuracy") == []


def test_the_verdict_counts_what_diverged():
    runs = frames.frame(study()).filter(dataset="cifar100", seed=1)
    filters = [v for v in comparisons.verdicts(runs, "loss") if v.arm == "filters"]
    # RAdam's pair is equal; that of SGDM at 0.1 has a plain run without a loss.
    assert [(v.pairs, v.undecided, v.equal) for v in filters] == [(1, 0, 1), (1, 1, 0)]
    assert [(v.blocks, v.difference.n) for v in filters] == [(1, 1), (0, 0)]
    assert all(v.undecided == 0 for v in comparisons.verdicts(runs, "accuracy"))


def test_what_has_the_most_pairs_comes_first():
    rows = {
        # data set, size of the images: pairs
        ("animals10", None): 2,
        ("animals10", 32): 0,
        ("cifar100", 32): 1,
        ("cifar100", 64): 3,
        ("digits", None): 4,
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
    ordered = pairing.by_evidence(frames.frame(found))
    settings = ordered.select("place", "dataset", "image_size").unique(
        maintain_order=True
    )
    assert settings.rows() == [
        (0, "cars", 32),  # as many as digits
        (1, "cifar100", 64),
        (2, "cifar100", 32),
        (3, "digits", None),
        (4, "animals10", None),
        (5, "animals10", 32),
    ]
    assert len(ordered) == len(found)
    assert pairing.by_evidence(frames.frame([])).is_empty()
