"""Costs and prices of a comparison, and the choice of learning rates."""

import math

import numpy as np
import polars as pl
import pytest
from support.trials import (
    ARMS,
    STEPS_AN_EPOCH,
    question,
    random_trials,
    trial_of,
    trials_of,
)

from keras_wgd.experiments.analysis.sequential import Design, pairs_needed
from keras_wgd.experiments.analysis.trials import TrialAnalysis, choose_rates

pytestmark = pytest.mark.any_backend

NAN = math.nan


@pytest.fixture(scope="module")
def analysis():
    results = random_trials({"adam": 0.0, "wgd": 0.01, "lion": 0.0}, seeds=6)
    return TrialAnalysis(question(), results)


# A step of the second arm takes twice as long, but fewer are needed.
CURVES = {
    ("adam", 0): [0.1, 0.5, 0.8, 0.8],
    ("adam", 1): [0.1, 0.2, 0.6, 0.9],
    ("adam", 2): [0.1, 0.2, NAN, NAN],
    ("wgd", 0): [0.7, 0.9, 0.9, 0.9],
    ("wgd", 1): [0.2, 0.5, 0.9, 0.7],
    ("wgd", 2): [0.9, 0.9, 0.9, 0.9],
    ("lion", 0): [0.8, 0.8, 0.8, 0.8],
    ("lion", 1): [0.8, 0.8, 0.8, 0.8],
}


def test_costs():
    seconds = {"adam": [9.0, 1.0, 1.0, 1.0], "wgd": [8.0, 2.0, 2.0, 2.0]}
    results = [
        trial_of(arm, seed, {"val_accuracy": c}, seconds=seconds.get(arm, [1.0] * 4))
        for (arm, seed), c in CURVES.items()
    ]
    adam, wgd, lion = TrialAnalysis(question(tail=0), results).costs.to_dicts()
    assert adam["seconds_per_step"] == pytest.approx(1 / STEPS_AN_EPOCH)
    assert wgd["seconds_per_step"] == pytest.approx(2 / STEPS_AN_EPOCH)
    assert wgd["seconds_per_step_ratio"] == pytest.approx(2)
    assert (wgd["seconds"], wgd["seconds_ratio"]) == (14, pytest.approx(14 / 12))
    # The baseline reaches its own value after 3 and 4 epochs.
    assert (adam["reached"], adam["targets"]) == (2, 2)
    assert (adam["epochs_to_baseline"], adam["seconds_to_baseline"]) == (3.5, 11.5)
    assert adam["epochs_to_baseline_ratio"] is None
    assert (wgd["reached"], wgd["targets"]) == (2, 2)
    assert (wgd["epochs_to_baseline"], wgd["seconds_to_baseline"]) == (2.5, 11)
    ratio = np.median([2 / 3, 3 / 4])
    assert wgd["epochs_to_baseline_ratio"] == pytest.approx(ratio)
    ratio = np.median([10 / 11, 12 / 12])
    assert wgd["seconds_to_baseline_ratio"] == pytest.approx(ratio)
    # Of the other arm's two trials one never gets there, so the median does not either.
    assert (lion["reached"], lion["targets"]) == (1, 2)
    assert lion["epochs_to_baseline"] is None
    assert lion["seconds_to_baseline_ratio"] is None


def test_baseline_reaches_its_own_mean_in_spite_of_rounding():
    results = trials_of({"adam": [0.003], "wgd": [0.003]}, epochs=10)
    costs = TrialAnalysis(question(arms=ARMS[:2]), results).costs
    assert np.mean([0.003] * 3) > 0.003
    assert costs["epochs_to_baseline"].to_list() == [1, 1]


def test_costs_of_trials_of_one_epoch_without_steps():
    result = trial_of("adam", 0, {"val_accuracy": [0.5]}, details={})
    row = TrialAnalysis(question(), [result]).runs.row(0, named=True)
    assert (row["seconds"], row["seconds_per_step"]) == (1.0, None)
    result = trial_of("adam", 0, {"val_accuracy": [0.5]})
    row = TrialAnalysis(question(), [result]).runs.row(0, named=True)
    assert row["seconds_per_step"] == 1 / STEPS_AN_EPOCH


def test_price(analysis):
    level = Design.of(10).nominal_level(0.05 / 2)
    stds = {arm: np.std(analysis.differences[arm], ddof=1) for arm in ARMS[1:]}
    for gain in (2 * max(stds.values()), 20 * max(stds.values())):
        for arm, (more, seconds) in analysis.price(gain).items():
            needed = pairs_needed(gain, stds[arm], level)
            assert more == max(0, needed - 6)
            walls = analysis.runs.filter(pl.col("arm").is_in([arm, "adam"]))
            a_pair = walls["wall_seconds"].sum() / 6
            assert seconds == pytest.approx(more * a_pair)


def test_price_beyond_the_last_look(analysis):
    """The level is that of a study of twice as many pairs."""
    std = np.std(analysis.differences["lion"], ddof=1)
    more, _ = analysis.price(0.7 * std)["lion"]
    level = Design.of(20).nominal_level(0.025)
    assert 6 + more == pairs_needed(0.7 * std, std, level) > 20
    assert analysis.price(1e-6)["lion"] is None


def tuning_trials(values):
    """Results of `{arm: {rate: [value with seed 0, ...]}}`."""
    return [
        trial_of(arm, seed, {"val_accuracy": [v] * 4}, learning_rate=rate, tuning=True)
        for arm, grid in values.items()
        for rate, row in grid.items()
        for seed, v in enumerate(row)
    ]


def test_choice_of_rates():
    results = tuning_trials(
        {
            "adam": {0.1: [0.5, 0.5], 0.01: [0.9, 0.6], 0.001: [0.7, 0.7]},
            "wgd": {0.1: [0.9, 0.9], 0.01: [0.8, 0.7], 0.001: [0.7, 0.7]},
            "lion": {0.003: [0.3]},
        }
    )
    rates, warnings = choose_rates([*results, *trials_of({"adam": [0.99]})], question())
    assert rates == {"adam": 0.01, "wgd": 0.1, "lion": 0.003}
    (warning,) = warnings
    assert warning.startswith(
        "wgd: the best learning rate, 0.1, is the largest of its grid"
    )
    rates, warnings = choose_rates(results, question(best="min"))
    assert rates == {"adam": 0.1, "wgd": 0.001, "lion": 0.003}
    assert [w.partition(" of its")[0].split()[-1] for w in warnings] == [
        "largest",
        "smallest",
    ]
    assert choose_rates([], question()) == ({}, [])


def test_choice_of_rates_where_trials_diverge():
    results = tuning_trials(
        {
            "adam": {0.1: [NAN, 0.9], 0.01: [0.6, 0.6], 0.001: [0.1, 0.1]},
            "wgd": {1.0: [NAN], 10.0: [NAN]},
        }
    )
    rates, warnings = choose_rates(results, question())
    assert rates == {"adam": 0.01, "wgd": 1.0}
    assert warnings == ["wgd: every tuning trial diverged; its rates are too high"]
