"""The numbers of a comparison of the user's own, against NumPy and SciPy."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.trials import (
    ARMS,
    STEPS_AN_EPOCH,
    analysis_of,
    question,
    random_trials,
    trial_of,
    trials_of,
)

from keras_wgd.experiments.analysis.sequential import Design, judge
from keras_wgd.experiments.analysis.trials import TrialAnalysis

pytestmark = pytest.mark.any_backend

NAN = math.nan


@pytest.fixture(scope="module")
def results():
    return random_trials({"adam": 0.0, "wgd": 0.01, "lion": 0.0}, seeds=6)


@pytest.fixture(scope="module")
def analysis(results):
    return TrialAnalysis(question(), results[::-1])


def values_of(results, arm, measure):
    """By seed, from the curves."""
    rows = sorted(
        (r.spec.seed, r.curves["val_accuracy"]) for r in results if r.spec.arm == arm
    )
    return np.array([measure(curve) for _, curve in rows])


def tail_mean(curve):
    return np.mean(curve[-6:])


def test_runs(results, analysis):
    runs = analysis.runs
    expected = [(arm, seed) for seed in range(6) for arm in ARMS]
    assert runs.select("arm", "seed").rows() == expected
    assert runs["arm"].dtype == pl.Enum(ARMS)
    by_key = {(r.spec.arm, r.spec.seed): r for r in results}
    for row in runs.to_dicts():
        result = by_key[row["arm"], row["seed"]]
        curve = result.curves["val_accuracy"]
        assert row["value"] == pytest.approx(np.mean(curve[14:]))
        assert (row["last"], row["best"]) == (curve[-1], max(curve))
        assert row["best_epoch"] == np.argmax(curve) + 1
        assert (row["epochs"], row["diverged"]) == (20, False)
        assert row["steps"] == 20 * STEPS_AN_EPOCH
        assert row["seconds"] == pytest.approx(np.sum(result.seconds))
        later = np.sum(result.seconds[1:]) / (19 * STEPS_AN_EPOCH)
        assert row["seconds_per_step"] == pytest.approx(later)
        assert row["wall_seconds"] == result.details["wall_seconds"]
        assert row["centered"] == (row["arm"] != "adam")
        for name, numbers in result.curves.items():
            assert row[name] == numbers[-1]


def test_epochs(results, analysis):
    epochs = analysis.epochs
    assert epochs.columns[:4] == ["arm", "seed", "epoch", "seconds"]
    assert len(epochs) == len(results) * 20
    for result in results:
        part = epochs.filter(arm=result.spec.arm, seed=result.spec.seed)
        assert part["epoch"].to_list() == list(range(1, 21))
        assert part["seconds"].to_list() == result.seconds
        for name, numbers in result.curves.items():
            assert part[name].to_list() == numbers


@pytest.mark.parametrize(
    ("tail", "epochs", "count"),
    [(0, 10, 1), (0.3, 10, 3), (0.3, 1, 1), (0.01, 10, 1), (1, 10, 10), (0.3, 20, 6)],
)
def test_tail(tail, epochs, count):
    curve = np.random.default_rng(0).random(epochs)
    result = trial_of("adam", 0, {"val_accuracy": curve})
    runs = TrialAnalysis(question(tail=tail), [result]).runs
    assert runs["value"][0] == pytest.approx(np.mean(curve[-count:]))


def test_best_of_a_loss_is_the_smallest():
    result = trial_of("adam", 0, {"val_loss": [3.0, 1.0, NAN, 2.0]})
    (row,) = TrialAnalysis(
        question(monitor="val_loss", best="min", tail=0), [result]
    ).runs.to_dicts()
    assert (row["value"], row["last"]) == (2.0, 2.0)
    assert (row["best"], row["best_epoch"]) == (1.0, 2)


def test_judgments_and_table(results, analysis):
    values = {arm: values_of(results, arm, tail_mean) for arm in ARMS}
    gains = {arm: values[arm] - values["adam"] for arm in ARMS[1:]}
    judged = judge(gains, Design.of(10))
    assert analysis.verdicts == {arm: judged[arm].decision for arm in ARMS[1:]}
    table = analysis.table
    assert table["arm"].to_list() == list(ARMS)
    assert table["n"].to_list() == [6, 6, 6]
    assert table["mean"].to_list() == pytest.approx([np.mean(values[a]) for a in ARMS])
    stds = [np.std(values[arm], ddof=1) for arm in ARMS]
    assert table["std"].to_list() == pytest.approx(stds)
    assert table.row(0)[4:9] == (None,) * 5
    for row in table.to_dicts()[1:]:
        found = judged[row["arm"]]
        assert row["gain"] == pytest.approx(np.mean(gains[row["arm"]]))
        assert [row["low"], row["high"]] == pytest.approx([found.low, found.high])
        assert row["p"] == pytest.approx(found.p)
        assert row["verdict"] == found.decision
    seconds = [np.sum(r.seconds) for r in results if r.spec.arm == "wgd"]
    assert table["seconds"][1] == pytest.approx(np.mean(seconds))


def test_gain_of_a_loss_is_its_fall():
    values = {"adam": [0.50, 0.52, 0.49, 0.53], "wgd": [0.40, 0.43, 0.38, 0.43]}
    analysis = analysis_of(values, "val_loss", best="min")
    assert analysis.judgments["wgd"].gain == pytest.approx(0.1)
    assert analysis.verdicts == {"wgd": "better"}
    assert analysis_of(values, "val_loss").verdicts == {"wgd": "worse"}


def test_secondary(results, analysis):
    measures = {"tail": tail_mean, "last": lambda curve: curve[-1], "best": max}
    rows = analysis.secondary.to_dicts()
    assert len(rows) == 2 * len(measures)
    for row in rows:
        ours, theirs = (
            values_of(results, arm, measures[row["measure"]])
            for arm in (row["arm"], "adam")
        )
        assert row["gain"] == pytest.approx(np.mean(ours - theirs))
        assert row["std"] == pytest.approx(np.std(ours - theirs, ddof=1))
        welch = stats.ttest_ind(ours, theirs, equal_var=False)
        assert row["p_unpaired"] == pytest.approx(welch.pvalue)
        correlation = stats.pearsonr(ours, theirs).statistic
        assert row["correlation"] == pytest.approx(correlation)


def test_running(analysis):
    running = analysis.running
    assert running.select("arm", "pairs").rows() == [
        (arm, pairs) for arm in ARMS[1:] for pairs in range(2, 7)
    ]
    assert running.filter("is_look")["pairs"].to_list() == [4, 6] * 2
    level = Design.of(10).nominal_level(0.05 / 2)
    for row in running.filter(arm="lion").to_dicts():
        gains = analysis.differences["lion"][: row["pairs"]]
        interval = stats.ttest_1samp(gains, 0).confidence_interval(1 - level)
        assert row["gain"] == pytest.approx(np.mean(gains))
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))


def test_arms_with_fewer_pairs():
    values = {
        "adam": [0.5, 0.6, 0.7, 0.8, 0.9],
        "wgd": [0.6, None, 0.8],
        "lion": [None] * 5,
    }
    analysis = analysis_of(values)
    assert analysis.differences == {"wgd": pytest.approx([0.1, 0.1])}
    assert analysis.verdicts == {"wgd": "undecided", "lion": "undecided"}
    assert analysis.table["n"].to_list() == [5, 2, 0]
    assert analysis.table["p"].to_list() == [None] * 3  # before the first look
    assert analysis.running["arm"].to_list() == ["wgd"]
    assert analysis.secondary["pairs"].to_list() == [2] * 3 + [0] * 3


def test_diverged_trial_counts_as_the_worst_of_all():
    values = {
        "adam": [0.80, 0.82, NAN, 0.81],
        "wgd": [0.85, math.inf, 0.86, 0.30],
        "lion": [0.70, 0.71, 0.72, 0.73],
    }
    analysis = analysis_of(values)
    assert analysis.differences["wgd"] == pytest.approx([0.05, -0.52, 0.56, -0.51])
    assert analysis.differences["lion"] == pytest.approx([-0.1, -0.11, 0.42, -0.08])
    diverged = analysis.runs.filter("diverged")
    assert diverged.select("arm", "seed", "value", "last", "best").rows() == [
        ("wgd", 1, 0.3, None, None),
        ("adam", 2, 0.3, None, None),
    ]
    losses = {"adam": [0.8, NAN], "wgd": [0.9, 0.7]}
    analysis = analysis_of(losses, "val_loss", best="min")
    assert analysis.differences["wgd"] == pytest.approx([-0.1, 0.2])


def test_trial_that_diverged_in_the_tail_alone():
    curves = {"val_accuracy": [0.1, 0.5, 0.6, NAN]}
    results = [trial_of("adam", 0, curves), *trials_of({"wgd": [0.4]})]
    row = TrialAnalysis(question(tail=0.5), results).runs.row(0, named=True)
    assert (row["diverged"], row["value"], row["best"]) == (True, 0.4, 0.6)


def test_arms_with_diverged_trials_are_not_equivalent():
    """The worst finite value is that of the only other arm, which is constant."""
    values = {"adam": [0.5] * 4, "wgd": [0.5] * 4, "lion": [NAN] * 4}
    analysis = analysis_of(values, margin=0.01)
    assert analysis.verdicts == {"wgd": "equivalent", "lion": "undecided"}


def test_trial_whose_weights_are_not_finite_has_diverged():
    """It answers the same class for every sample, which is right for many of these."""
    broken = {"loss": [1.0, NAN], "val_accuracy": [0.6, 0.9]}
    fine = {"loss": [NAN, 0.5], "val_accuracy": [0.1, 0.7]}
    results = [
        trial_of(arm, seed, broken if arm == "lion" else fine)
        for arm in ("adam", "wgd", "lion")
        for seed in range(4)
    ]
    analysis = TrialAnalysis(question(tail=0, margin=0.5), results)
    assert analysis.verdicts == {"wgd": "equivalent", "lion": "undecided"}
    assert analysis.differences["lion"] == [0.0] * 4  # 0.7 is the worst value
    diverged = analysis.runs.filter("diverged")
    assert diverged["arm"].unique().to_list() == ["lion"]
    assert diverged["last"].to_list() == [0.9] * 4


@pytest.mark.parametrize("n", [48, 100, 10_000])
def test_differences_that_are_equal_but_for_float32_are_no_evidence(n):
    """One sample more in each pair: the counts are the same, their float32s are not."""
    right = n // np.array([2, 3, 5, 7])
    values = {
        arm: [float(np.float32(count) / np.float32(n)) for count in right - less]
        for arm, less in (("adam", 0), ("wgd", 1))
    }
    analysis = analysis_of(values, margin=0.5)
    assert len(set(analysis.differences["wgd"])) > 1
    found = analysis.judgments["wgd"]
    assert (found.decision, found.low, found.high, found.p) == (
        "undecided",
        None,
        None,
        1.0,
    )
    assert found.std == 0


def test_comparison_without_a_finite_value():
    analysis = analysis_of({"adam": [NAN] * 4, "wgd": [NAN] * 4}, margin=0.1)
    assert analysis.judgments == {}
    assert analysis.verdicts == {"wgd": "undecided"}
    assert analysis.runs["value"].to_list() == [None] * 8


def test_comparison_without_trials():
    analysis = TrialAnalysis(question(), [])
    assert analysis.table["n"].to_list() == [0, 0, 0]
    for name in ("runs", "epochs", "running"):
        assert getattr(analysis, name).is_empty()
    assert len(analysis.costs) == 3
    assert analysis.price(0.1) == {}


def test_trials_that_do_not_belong_together():
    once = trials_of({"adam": [0.5]})
    with pytest.raises(ValueError, match=r"each trial once. Received: twice Trial"):
        _ = TrialAnalysis(question(), once * 2).runs
    with pytest.raises(ValueError, match=r"of the arms adam, wgd, lion. Received"):
        _ = TrialAnalysis(question(), trials_of({"sgd": [0.5]})).runs
    with pytest.raises(ValueError, match=r"must have the monitor auc. Received"):
        _ = TrialAnalysis(question(monitor="auc"), once).runs


def test_tuning_trials_are_left_out():
    tuning = trial_of(
        "adam", 0, {"val_accuracy": [0.9]}, learning_rate=0.1, tuning=True
    )
    found = TrialAnalysis(question(), [tuning, *trials_of({"adam": [0.5]})]).runs
    assert found["value"].to_list() == [0.5]


def test_names_that_are_taken():
    curves = {"val_accuracy": [0.5], "learning_rate": [0.003], "value": [7.0]}
    row = TrialAnalysis(
        question(), [trial_of("adam", 0, curves, learning_rate=0.01)]
    ).runs.row(0, named=True)
    assert (row["learning_rate"], row["learning_rate_last"]) == (0.01, 0.003)
    assert (row["value"], row["value_last"]) == (0.5, 7.0)
