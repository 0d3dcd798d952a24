"""The outcome of a comparison in plain words."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.trials import analysis_of, question, random_trials, trial_of

from keras_wgd.experiments.analysis import sentences
from keras_wgd.experiments.analysis.sentences import Unit
from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.trials import TrialAnalysis

pytestmark = pytest.mark.any_backend

NAN = math.nan
GAINS = np.array([0.8, 1.1, 0.9, 1.3, 0.7, 1.0])
BASE = 0.9 + np.array([0.0, 0.01, -0.02, 0.015, 0.003, 0.0])


def told(values, monitor="val_accuracy", **changes):
    return analysis_of(values, monitor, **changes).sentences()


def ends_of(gains, looks, arms=1):
    """The interval, from SciPy."""
    level = Design.of(looks).nominal_level(0.05 / arms)
    return tuple(stats.ttest_1samp(gains, 0).confidence_interval(1 - level))


def test_better():
    first, *_ = told({"adam": BASE, "wgd": BASE + GAINS / 100})
    low, high = ends_of(GAINS, 10)
    p = Design.of(10).adjusted_p(stats.ttest_1samp(GAINS, 0).pvalue)
    assert p < 0.0005
    assert first == (
        f"wgd is better than adam: val_accuracy +{GAINS.mean():.2f} points (95 % "
        f"interval +{low:.2f} to +{high:.2f}, adjusted for 4 looks), higher in 6 of 6 "
        "pairs, p below 0.001."
    )


def test_worse_in_a_loss():
    """The loss is higher, and so the gain is negative."""
    first, *_ = told({"adam": BASE, "wgd": BASE + GAINS / 100}, "val_loss", best="min")
    low, high = (end / 100 for end in ends_of(GAINS, 10))
    assert first == (
        f"wgd is worse than adam: val_loss +{GAINS.mean() / 100:.4f} (95 % interval "
        f"+{low:.4f} to +{high:.4f}, adjusted for 4 looks), higher in 6 of 6 pairs, "
        "p below 0.001."
    )


def test_better_in_a_loss():
    first, *_ = told({"adam": BASE, "wgd": BASE - GAINS / 100}, "val_loss", best="min")
    low, high = (end / 100 for end in ends_of(-GAINS, 10))
    assert first.startswith(
        f"wgd is better than adam: val_loss -{GAINS.mean() / 100:.4f} (95 % interval "
        f"{low:.4f} to {high:.4f}, adjusted for 4 looks), lower in 6 of 6 pairs"
    )


def test_interval_of_one_look_and_one_arm_is_not_adjusted():
    design = Design.of(6, sequential=False)
    first, *_ = told({"adam": BASE, "wgd": BASE + GAINS / 100}, design=design)
    interval = stats.ttest_1samp(GAINS, 0).confidence_interval()
    assert "(95 % interval +{:.2f} to +{:.2f}), ".format(*interval) in first


def test_equivalent():
    gains = np.array([0.1, -0.2, 0.1, -0.1, 0.15, 0.05])
    first, *_ = told({"adam": BASE, "wgd": BASE + gains / 100}, margin=0.005)
    low, high = ends_of(gains, 10)
    assert first == (
        f"wgd and adam are equivalent: val_accuracy +{gains.mean():.2f} points (95 % "
        f"interval {low:+.2f} to {high:+.2f}, adjusted for 4 looks), higher in 4 of 6 "
        "pairs, within the margin of 0.5 points."
    )


def test_undecided_arms_have_a_next_look_and_a_price():
    gains = np.array([2.1, -1.0, 0.4, -0.3, 1.2])
    values = {"adam": BASE[:5], "wgd": BASE[:5] + gains / 100}
    first, look, price, *_ = told(values, margin=0.005)
    assert first.startswith("wgd against adam is undecided: val_accuracy +0.48 points")
    assert "higher in 3 of 5 pairs, p 0." in first
    assert look == "wgd is judged next after 6 pairs, 1 more."
    analysis = analysis_of(values, margin=0.005)
    more, seconds = analysis.price(0.005)["wgd"]
    assert seconds == pytest.approx(more * 2 * 4.8)
    assert price == (
        f"{more} more seeds of wgd and adam, about {seconds / 60:.0f} minutes, show a "
        "difference of 0.5 points with a probability of 0.8."
    )


def test_price_without_a_margin_is_that_of_half_of_what_the_pairs_show():
    values = {"adam": BASE[:5], "wgd": BASE[:5] + np.array([2, -1, 0.4, -0.3, 1]) / 100}
    analysis = analysis_of(values)
    price = analysis.sentences()[2]
    points = float(price.partition("difference of ")[2].split()[0])
    assert analysis.price(points / 100)["wgd"][0] == int(price.split()[0])
    more, _ = analysis.price(2 * 1.001 * points / 100)["wgd"]
    assert more == 0


def test_no_look_after_the_last_one():
    gains = np.array([2.1, -1.0, 0.4, -0.3, 1.2, 0.1])
    values = {"adam": BASE, "wgd": BASE + gains / 100}
    first, second, *_ = told(values, design=Design.of(6))
    assert "undecided" in first
    assert "more seeds" in second


def test_pairs_that_suffice_and_prices_out_of_reach():
    unit = Unit.of("val_loss", pl.Series([1.0]), 0.1)
    arms = ("wgd", "adam")
    assert sentences.price(arms, 0.3, (0, 0.0), 0.8, unit) == (
        "The pairs of wgd and adam show a difference of 0.3 with a probability of 0.8 "
        "or more."
    )
    assert sentences.price(arms, 0.3, None, 0.8, unit) == (
        "More than 1000 pairs of wgd and adam are needed to show a difference of 0.3."
    )
    assert sentences.price(arms, 0.3, (1, 7200.0), 0.8, unit) == (
        "1 more seed of wgd and adam, about 2 hours, shows a difference of 0.3 with a "
        "probability of 0.8."
    )


def test_identical_arms():
    values = {"adam": BASE[:4], "wgd": BASE[:4]}
    first, *_ = told(values)
    assert (
        first == "wgd against adam is undecided: val_accuracy is the same in 4 pairs."
    )
    first, *_ = told(values, margin=0.01)
    assert first == "wgd and adam are equivalent: val_accuracy is the same in 4 pairs."


def test_few_pairs():
    first, *_ = told({"adam": [0.5], "wgd": [None]})
    assert first == "wgd against adam is undecided: there is no pair with values."
    first, look, *_ = told({"adam": [0.5], "wgd": [0.52]})
    assert first == (
        "wgd against adam is undecided: val_accuracy +2.00 points, higher in 1 of 1 "
        "pair."
    )
    assert look == "wgd is judged first after 4 pairs, 3 more."
    assert TrialAnalysis(question(), []).sentences() == [
        f"{arm} against adam is undecided: there is no pair with values."
        for arm in ("wgd", "lion")
    ]


def test_costs_follow_the_verdicts():
    results = [
        trial_of("adam", 0, {"val_accuracy": [0.1, 0.5, 0.8]}, seconds=[3.0, 1.0, 1.0]),
        trial_of("wgd", 0, {"val_accuracy": [0.1, 0.8, 0.9]}, seconds=[3.0, 1.5, 1.5]),
        trial_of("lion", 0, {"val_accuracy": [0.1, 0.2, 0.3]}, seconds=[3.0, 1.0, 1.0]),
    ]
    found = TrialAnalysis(question(tail=0), results).sentences()
    assert found[-4:] == [
        "A step of wgd takes 1.50 times as long as one of adam (median of the pairs).",
        "wgd reaches adam's val_accuracy of the same seed in 1 of 1 trial, after 2 "
        "epochs and 4.5 seconds of training (median); adam itself after 3 epochs and 5 "
        "seconds.",
        "A step of lion takes 1.00 times as long as one of adam (median of the pairs).",
        "lion reaches adam's val_accuracy of the same seed in 0 of 1 trial.",
    ]
    assert all("is undecided" in found[number] for number in (0, 2))


def test_diverged_trials_are_named():
    values = {
        "adam": [0.5, NAN, 0.6, 0.7],
        "wgd": [0.1, 0.5, 0.6, 0.7],
        "lion": [NAN, 0.3, NAN, 0.7],
    }
    assert told(values)[-1] == (
        "Diverged: lion with seeds 0 and 2 and adam with seed 1. Each counts as the "
        "worst value of all trials, 10.00 %."
    )
    assert told({"adam": [NAN], "wgd": [NAN]})[-1] == (
        "Diverged: adam with seed 0 and wgd with seed 0. No trial has a finite value."
    )
    assert not any(
        "iverged" in sentence for sentence in told({"adam": [1], "wgd": [2]})
    )


FRACTIONS = [
    *("accuracy", "val_accuracy", "acc", "val_sparse_top_k_categorical_accuracy"),
    *("val_top5", "top_5", "val_top-5", "top_k", "binary_accuracy", "val_auc", "auc_1"),
    *("precision", "val_recall_2", "f1_score", "val_mean_io_u", "binary_io_u"),
    *("precision_at_recall", "head_accuracy", "val_Recall"),
]
OTHERS = [
    *("loss", "val_loss", "mean_squared_error", "mae", "cosine_similarity", "r2_score"),
    *("accuracy_loss", "kappa", "perplexity", "topology", "val_focal_recall_loss"),
]


@pytest.mark.parametrize("name", FRACTIONS)
def test_fractions_are_in_points_if_all_values_are_from_0_to_1(name):
    unit = Unit.of(name, pl.Series([0.0, 0.5, 1.0, NAN]), 0.01)
    assert unit.difference(0.0123) == "+1.23 points"
    assert unit.value(0.5) == "50.00 %"
    percent = Unit.of(name, pl.Series([0.5, 93.0]), 1.2)
    assert percent.difference(1.23) == "+1.2"


@pytest.mark.parametrize("name", OTHERS)
def test_other_monitors_have_no_unit(name):
    unit = Unit.of(name, pl.Series([0.1, 0.5]), 0.01)
    assert unit.difference(-0.0123) == "-0.012"
    assert unit.value(0.5) == "0.500"


@pytest.mark.parametrize(
    ("spread", "value", "text"),
    [
        (0.5, 0.123456, "+0.12"),
        (23.0, 123.456, "+123"),
        (2.3e-5, 1.234567e-4, "+0.000123"),
        (2.3e-12, 1.234567e-11, "+1.23e-11"),
        (2.3e9, 1.234567e10, "+1.23e+10"),
        (None, 0.123456, "+0.1235"),
        (0.5, 0.001, "0.00"),
        (0.5, -0.001, "0.00"),
    ],
)
def test_digits_follow_the_spread(spread, value, text):
    assert Unit.of("val_loss", pl.Series([0.5]), spread).difference(value) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0.01, "1 point"), (0.011, "1.1 points"), (0.001, "0.1 points")]
)
def test_sizes_of_differences(size, text):
    unit = Unit.of("val_accuracy", pl.Series(BASE), None)
    assert unit.size(size) == text
    assert Unit.of("val_loss", pl.Series(BASE), None).size(0.01) == "0.01"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00234, "2.34 ms"),
        (0.5, "500 ms"),
        (1.0, "1 second"),
        (1.26, "1.3 seconds"),
        (90, "90 seconds"),
        (119.9, "120 seconds"),
        (150, "2.5 minutes"),
        (840, "14 minutes"),
        (7200, "2 hours"),
        (100_000, "28 hours"),
    ],
)
def test_times(seconds, text):
    assert sentences.time_text(seconds) == text


def test_every_sentence_of_random_comparisons_is_one_line_with_a_full_stop():
    for seeds in (1, 2, 5, 10):
        for diverged in ([], [("wgd", 0)], [("adam", 0), ("lion", 0)]):
            results = random_trials(
                {"adam": 0, "wgd": 0.004, "lion": -0.02}, seeds, diverged=diverged
            )
            for monitor, best in (("val_accuracy", "max"), ("val_loss", "min")):
                asked = question(monitor=monitor, best=best, margin=0.005)
                for sentence in TrialAnalysis(asked, results).sentences():
                    assert sentence.endswith(".")
                    assert not any(x in sentence for x in ("nan", "None", "inf ", "\n"))
