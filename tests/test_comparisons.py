"""Pairs, gains and verdicts: of runs, of epochs, and of any other frame."""

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.results import result_of
from support.studies import ACCURACY, DIGITS, SPEC, runs_of, study

from keras_wgd.experiments.analysis import comparisons, frames
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.analysis.frames import SETTING, TASK

pytestmark = pytest.mark.any_backend


def summary_of(results):
    return Analysis.of(results).summary


def plain_accuracies(results):
    """By arm, the accuracy of the plain run of each run."""
    pairs = comparisons.paired(Analysis.of(results).runs, ["accuracy"], TASK)
    return dict(zip(pairs["arm"], pairs["accuracy_baseline"], strict=True))


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
    different = result_of(dataclasses.replace(SPEC, **other), accuracy=0.1)
    plain, wgd = (
        result_of(SPEC, accuracy=0.2),
        result_of(SPEC, arm="filters", accuracy=0.3),
    )
    assert plain_accuracies([different, plain, wgd])["filters"] == 0.2
    assert plain_accuracies([different, wgd]) == {"plain": None, "filters": None}


@pytest.mark.parametrize(
    "environment",
    [{"backend": "torch"}, {"backend": "jax", "settings": {"JAX_ENABLE_X64": "1"}}],
)
def test_runs_of_other_backends_and_settings_are_not_paired(environment):
    found = [result_of(SPEC, environment=environment), result_of(SPEC, arm="filters")]
    assert plain_accuracies(found) == {"plain": None, "filters": None}


def test_summary_of_runs():
    summary = summary_of(runs_of(ACCURACY, DIGITS))
    assert summary.select("optimizer", "arm").rows() == [
        ("sgdm", "plain"),
        ("adam", "plain"),
        ("adam", "filters"),
        ("adam", "fan_in"),
    ]
    row = summary.row(2, named=True)
    values, plain = ACCURACY["adam", "filters"], ACCURACY["adam", "plain"]
    assert (row["seeds"], row["pairs"], row["diverged"]) == (3, 3, 0)
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert [row[f"accuracy{end}"] for end in ("", "_low", "_high")] == pytest.approx(
        [np.mean(values), np.mean(values) - half, np.mean(values) + half]
    )
    test = stats.ttest_rel(values, plain)
    interval = test.confidence_interval()
    ends = ("", "_low", "_high", "_p")
    assert [row[f"accuracy_gain{end}"] for end in ends] == pytest.approx(
        [np.mean(np.subtract(values, plain)), *interval, test.pvalue]
    )
    # The other gain is 0 for every seed, and so has no p value.
    assert row["accuracy_gain_p_adjusted"] == pytest.approx(test.pvalue)
    last = summary.row(3, named=True)
    assert (last["accuracy_gain"], last["accuracy_gain_p"]) == (0.0, None)


def test_p_values_are_adjusted_within_a_setting():
    """For all of its optimizers and learning rates, and for no other setting's."""
    rows = {
        ("adam", "plain"): [0.5, 0.6, 0.7],
        ("adam", "filters"): [0.51, 0.615, 0.71],
        ("adam", "fan_in"): [0.5, 0.63, 0.69],
        ("sgdm", "plain"): [0.5, 0.6, 0.7],
        ("sgdm", "filters"): [0.52, 0.615, 0.73],
    }
    other = dataclasses.replace(DIGITS, epochs=3)
    more = rows | {("adam", "filters"): [0.6, 0.5, 0.7]}
    rate = dataclasses.replace(DIGITS, learning_rate=0.1)
    found = [*runs_of(rows, DIGITS), *runs_of(rows, rate), *runs_of(more, other)]
    families = summary_of(found).filter(pl.col("arm") != "plain").group_by("epochs")
    adjusted = {epochs: part for (epochs,), part in families}
    assert {epochs: len(part) for epochs, part in adjusted.items()} == {2: 6, 3: 3}
    for part in adjusted.values():
        assert part["accuracy_gain_p_adjusted"].to_list() == pytest.approx(
            stats.false_discovery_control(part["accuracy_gain_p"]).tolist()
        )


def test_seeds_with_other_settings_are_not_averaged():
    """Seed 0 with the usual settings and seed 1 with others, in both arms."""
    found = [
        result_of(
            dataclasses.replace(DIGITS, seed=seed),
            arm,
            environment={"backend": "jax", "settings": record},
            accuracy=accuracy,
        )
        for seed, record in enumerate(({}, {"JAX_ENABLE_X64": "1"}))
        for arm, accuracy in (("plain", 0.5), ("filters", 0.5 + 0.1 * seed))
    ]
    summary = summary_of(found)
    assert summary["settings"].to_list() == ["", "", *["JAX_ENABLE_X64=1"] * 2]
    assert summary["seeds"].to_list() == [1] * 4
    assert summary["pairs"].to_list() == [0, 1, 0, 1]
    gains = summary.filter(arm="filters")["accuracy_gain"].to_list()
    assert gains == pytest.approx([0, 0.1])


def test_roughness_is_compared_pair_by_pair():
    losses = {
        "plain": [[1.0, 0.0, 1.0, 0.0]] * 2,
        "filters": [[1.0, 0.5, 1.0, 0.5], [1.0, 0.5, 1.0 - 1 / 8, 0.5]],
    }
    found = [run for arm, rows in losses.items() for run in seeds(arm, rows)]
    row = summary_of(found).filter(arm="filters").row(0, named=True)
    plain, filters = (
        np.sqrt(np.mean(np.diff(rows, 2) ** 2, axis=1)) for rows in losses.values()
    )
    expected = stats.ttest_rel(filters, plain).pvalue
    assert row["train_roughness_gain_p"] == pytest.approx(expected)


def seeds(arm, losses, optimizer="radam"):
    return [
        result_of(dataclasses.replace(SPEC, seed=seed, optimizer=optimizer), arm, row)
        for seed, row in enumerate(losses)
    ]


def test_curves_are_compared_pair_by_pair():
    plain = np.array([[3.0, 2.0, 1.5, 1.0], [3.5, 2.5, 1.0, 0.5], [9.0, 9.0, 9.0, 9.0]])
    filters = np.array([[2.5, 2.25, 1.0, 0.5], [3.0, 2.0, 1.0, 1.0]])
    results = seeds("plain", plain.tolist()) + seeds("filters", filters.tolist())
    results += seeds("filters", filters.tolist(), "adam")  # without a plain run
    curves = Analysis.of(results).curves.drop_nulls("test_loss_gain")
    assert curves["epoch"].to_list() == [1, 2, 3, 4]
    assert curves.select("optimizer", "arm", "learning_rate").unique().rows() == [
        ("radam", "filters", SPEC.learning_rate)
    ]
    for row, ours, theirs in zip(
        curves.to_dicts(), filters.T, plain[:2].T, strict=True
    ):
        assert row["test_loss_gain"] == pytest.approx(np.mean(ours - theirs))
        ends = (row["test_loss_gain_low"], row["test_loss_gain_high"])
        if np.ptp(ours - theirs):
            interval = stats.ttest_rel(ours, theirs).confidence_interval()
            assert ends == pytest.approx(tuple(interval))
        else:
            assert ends == (None, None)


def test_diverged_run_is_left_out_of_a_curves_mean():
    nan = math.nan
    results = seeds("plain", [[1.0, 2.0, 3.0, nan], [3.0, 4.0, nan, nan]])
    curves = Analysis.of(results).curves
    means = curves.select("train_loss_n", "train_loss").rows()
    assert means == [(2, 2.0), (2, 3.0), (1, 3.0), (0, None)]


def verdicts_of(results, measure="accuracy", by=(*SETTING, "learning_rate")):
    measures = {measure: frames.MEASURES[measure]}
    return comparisons.verdicts(Analysis.of(results).runs, measures, by, TASK)


def test_verdict_averages_within_a_seed_first():
    found = runs_of(
        {
            ("sgdm", "plain"): [0.50, 0.50, 0.50],
            ("sgdm", "filters"): [0.51, 0.53, 0.50],
            ("adam", "plain"): [0.50, 0.50, 0.50],
            ("adam", "filters"): [0.53, 0.49, 0.56],
        }
    )
    (row,) = verdicts_of(found).to_dicts()
    assert (row["arm"], row["tasks"], row["diverged"]) == ("filters", 2, 0)
    counts = ("pairs", "higher", "lower", "equal")
    assert [row[name] for name in counts] == [6, 4, 1, 1]
    test = stats.ttest_1samp([0.02, 0.01, 0.03], 0)
    ends = ("_n", "", "_low", "_high", "_p")
    assert [row[f"gain{end}"] for end in ends] == pytest.approx(
        [3, 0.02, *test.confidence_interval(), test.pvalue]
    )


def test_verdict_is_over_tasks_of_every_seed():
    found = runs_of(
        {
            ("sgdm", "plain"): [0.50, 0.50],
            ("sgdm", "filters"): [0.51, 0.53],
            ("adam", "plain"): [0.50],
            ("adam", "filters"): [0.90],
        }
    )
    (row,) = verdicts_of(found).to_dicts()
    assert (row["pairs"], row["tasks"], row["gain_n"]) == (3, 1, 2)
    assert row["gain"] == pytest.approx(0.02)


def test_verdict_of_seeds_without_a_common_task():
    found = [
        result_of(dataclasses.replace(SPEC, seed=seed, optimizer=optimizer), arm)
        for seed, optimizer in enumerate(("adam", "radam"))
        for arm in ("plain", "filters")
    ]
    (row,) = verdicts_of(found).to_dicts()
    assert (row["pairs"], row["tasks"], row["gain_n"]) == (2, 0, 0)
    assert (row["gain"], row["verdict"]) == (None, "undecided")


def test_verdicts_of_groups_and_arms():
    own = dataclasses.replace(SPEC, learning_rate=0.1)
    other = dataclasses.replace(SPEC, image_size=None)
    found = [
        result_of(spec, arm)
        for spec in (other, own, SPEC)
        for arm in ("fan_in", "plain", "filters")
    ]
    judged = verdicts_of(found)
    assert judged.select("image_size", "learning_rate", "arm", "pairs").rows() == [
        *((32, 0.01, "filters", 1), (32, 0.01, "fan_in", 1)),
        *((32, 0.1, "filters", 1), (32, 0.1, "fan_in", 1)),
        *((None, 0.01, "filters", 1), (None, 0.01, "fan_in", 1)),
    ]
    assert verdicts_of([]).is_empty()


def test_verdict_counts_diverged_runs():
    found = [r for r in study() if (r.spec.dataset, r.spec.seed) == ("cifar100", 1)]
    judged = verdicts_of(found, "loss").filter(arm="filters")
    # RAdam's pair is equal; that of SGDM at 0.1 has a plain run without a loss.
    columns = ("pairs", "diverged", "equal", "tasks", "gain_n")
    assert set(judged.select(columns).rows()) == {(1, 0, 1, 1, 1), (1, 1, 0, 0, 0)}
    assert verdicts_of(found)["diverged"].sum() == 0


# A task, an arm and a seed that no study here has, and metrics of its own.
ARMS = pl.Enum(["adamw", "lion", "muon"])
LOSSES = {
    "adamw": [0.50, 0.51, 0.52, 0.53],
    "lion": [0.40, 0.412, 0.421, 0.43],
    "muon": [0.51, 0.50, 0.53, 0.52],
}


def any_frame():
    rows = [
        {"task": "photos", "arm": arm, "seed": seed, "val_loss": loss, "top5": -loss}
        for arm, losses in LOSSES.items()
        for seed, loss in enumerate(losses)
    ]
    schema = {"task": str, "arm": ARMS, "seed": int, "val_loss": float, "top5": float}
    return pl.DataFrame(rows, schema=schema).reverse()


def test_summary_of_any_frame():
    summary = comparisons.summarize(any_frame(), ["val_loss"], ["task"]).sort("arm")
    assert summary["arm"].to_list() == list(LOSSES)
    assert summary["pairs"].to_list() == [0, 4, 4]
    assert summary["val_loss"].to_list() == pytest.approx(
        [np.mean(losses) for losses in LOSSES.values()]
    )
    p = [stats.ttest_rel(LOSSES[arm], LOSSES["adamw"]).pvalue for arm in LOSSES][1:]
    assert summary["val_loss_gain_p"].to_list()[1:] == pytest.approx(p)


@pytest.mark.parametrize(("best", "verdict"), [("min", "better"), ("max", "worse")])
def test_verdicts_on_any_frame(best, verdict):
    measures = {"val_loss": best, "top5": best}
    judged = comparisons.verdicts(any_frame(), measures, ["task"], ["task"])
    opposite = {"better": "worse", "worse": "better"}[verdict]
    assert judged.select("measure", "arm", "lower", "verdict").rows() == [
        ("val_loss", "lion", 4, verdict),
        ("val_loss", "muon", 2, "undecided"),
        ("top5", "lion", 0, opposite),
        ("top5", "muon", 2, "undecided"),
    ]
