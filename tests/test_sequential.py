"""Group-sequential tests, against tables in the literature, SciPy and simulation."""

import numpy as np
import pytest
from scipy import stats

from keras_wgd.experiments.analysis import sequential
from keras_wgd.experiments.analysis.sequential import (
    Design,
    gain_seen,
    judge,
    pairs_needed,
)

pytestmark = pytest.mark.any_backend

LOOKS = (4, 6, 8, 10)


@pytest.fixture(scope="module")
def design():
    return Design(LOOKS)


@pytest.mark.parametrize(
    ("looks", "level"), [(1, 0.05), (2, 0.0294), (3, 0.0221), (4, 0.0182), (5, 0.0158)]
)
def test_nominal_levels_of_many_pairs_are_those_of_pocock(looks, level):
    """Table 2.1 of Jennison and Turnbull, 1999, for a known variance."""
    large = Design(tuple(2000 * look for look in range(1, looks + 1)))
    assert large.nominal_level() == pytest.approx(level, abs=2e-4)


def test_error_rate_of_paired_t_tests_at_the_nominal_level(design):
    studies = 20_000
    differences = np.random.default_rng(1).normal(size=(studies, LOOKS[-1]))
    called = np.zeros(studies, dtype=bool)
    for look in LOOKS:
        p = stats.ttest_1samp(differences[:, :look], 0.0, axis=1).pvalue
        called |= p < design.nominal_level()
    standard_error = np.sqrt(0.05 * 0.95 / studies)
    assert called.mean() == pytest.approx(0.05, abs=3.5 * standard_error)


def test_performance_against_paired_t_tests(design):
    studies, effect = 20_000, 0.81
    differences = np.random.default_rng(2).normal(effect, size=(studies, LOOKS[-1]))
    stop = np.full(studies, LOOKS[-1])
    called = np.zeros(studies, dtype=bool)
    for look in LOOKS:
        p = stats.ttest_1samp(differences[:, :look], 0.0, axis=1).pvalue
        now = ~called & (p < design.nominal_level())
        stop[now], called = look, called | now
    power, pairs = design.performance(effect)
    assert power == pytest.approx(called.mean(), abs=0.015)
    assert pairs == pytest.approx(stop.mean(), abs=0.07)


def test_adjusted_p_is_the_inverse_of_the_nominal_level(design):
    for error_rate in (0.01, 0.05, 0.2):
        level = design.nominal_level(error_rate)
        assert design.adjusted_p(level) == pytest.approx(error_rate, rel=1e-3)
    p_values = np.geomspace(1e-9, 1, 200)
    adjusted = [design.adjusted_p(p) for p in p_values]
    assert adjusted == sorted(adjusted)
    assert all(
        p <= a <= len(LOOKS) * p for p, a in zip(p_values, adjusted, strict=True)
    )
    single = Design((5,))
    assert single.adjusted_p(0.03) == single.nominal_level(0.03) == 0.03


def test_looks_of_a_number_of_pairs():
    assert Design.of(10).looks == LOOKS
    assert Design.of(7).looks == (4, 6, 7)
    assert Design.of(3).looks == (3,)
    assert Design.of(10, sequential=False).looks == (10,)


@pytest.mark.parametrize("looks", [(), (1, 4), (4, 4), (6, 4)])
def test_looks_that_do_not_increase_are_refused(looks):
    with pytest.raises(ValueError, match="looks must be increasing"):
        Design(looks)


def test_judgment_of_one_arm_against_scipy(design):
    differences = [1.1, 0.4, 0.9, 0.7, 1.3, 0.2]
    judgment = judge({"wgd": differences}, design)["wgd"]
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(1 - design.nominal_level())
    assert judgment.decision == "better"
    assert judgment.gain == pytest.approx(np.mean(differences))
    assert judgment.std == pytest.approx(np.std(differences, ddof=1))
    assert (judgment.low, judgment.high) == pytest.approx(tuple(interval))
    first = stats.ttest_1samp(differences[:4], 0.0).pvalue
    assert judgment.p == design.adjusted_p(min(first, test.pvalue))


def test_p_values_of_several_arms_are_those_of_holm():
    single = Design((4,))
    rows = {
        "a": [1.0, 1.2, 0.9, 1.1],
        "b": [0.5, 1.0, 0.2, 0.9],
        "c": [-0.3, 0.4, 0.1, 0.0],
    }
    p = [single.adjusted_p(stats.ttest_1samp(row, 0.0).pvalue) for row in rows.values()]
    got = [judgment.p for judgment in judge(rows, single).values()]
    assert got == pytest.approx([3 * p[0], 2 * p[1], p[2]])
    tied = sequential._holm({"a": 0.04, "b": 0.03, "c": 0.01})
    assert tied == pytest.approx({"a": 0.06, "b": 0.06, "c": 0.03})


def test_interval_of_a_called_arm_excludes_zero():
    """Holm calls what the simultaneous interval alone would not."""
    single = Design((6,))
    rows = {"a": [5.0, 5.1, 4.9, 5.0, 5.2, 5.1], "b": [0.9, 0.2, 0.5, 0.2, 0.7, -0.1]}
    assert 0.025 < stats.ttest_1samp(rows["b"], 0.0).pvalue < 0.05
    judged = judge(rows, single)
    assert judged["b"].decision == "better"
    assert judged["b"].low == 0.0


@pytest.mark.parametrize(
    ("margin", "decision"), [(1.0, "equivalent"), (0.1, "undecided")]
)
def test_equivalence_within_the_margin(design, margin, decision):
    row = [0.1, -0.2, 0.15, -0.1]
    judgment = judge({"a": row}, design, margin)["a"]
    assert judgment.decision == decision
    assert judge({"a": row}, design)["a"].decision == "undecided"


def test_worse_and_units():
    row = np.array([-1.1, -0.8, -0.9, -1.2])
    for unit in (1e-6, 1.0, 1e6):
        judgment = judge({"a": row * unit}, Design((4,)))["a"]
        assert judgment.decision == "worse"
        assert judgment.low < judgment.high < 0


def test_identical_runs(design):
    judgment = judge({"a": [0.0] * 4}, design, margin=0.5)["a"]
    assert (judgment.gain, judgment.low, judgment.high) == (0.0, 0.0, 0.0)
    assert (judgment.decision, judgment.p) == ("equivalent", 1.0)
    assert judge({"a": [0.0] * 4}, design)["a"].decision == "undecided"


def test_constant_differences_say_nothing_about_other_pairs(design):
    judgment = judge({"a": [0.1 + 0.2, 0.3, 0.3, 0.3]}, design, margin=1.0)["a"]
    assert (judgment.decision, judgment.low, judgment.p) == ("undecided", None, 1.0)


@pytest.mark.parametrize(("gain", "std"), [(0.5, 0.46), (0.5, 1.03), (-2.0, 1.0)])
def test_pairs_needed_have_the_power(gain, std):
    level = 0.018
    pairs = pairs_needed(gain, std, level)
    generator = np.random.default_rng(3)

    def power(count):
        rows = generator.normal(gain, std, size=(20_000, count))
        return (stats.ttest_1samp(rows, 0.0, axis=1).pvalue < level).mean()

    assert power(pairs) > 0.785
    assert power(pairs - 1) < 0.815


def test_pairs_needed_has_a_limit():
    assert pairs_needed(0.001, 1.0, 0.05, limit=100) is None


def test_gain_seen_is_the_reverse_of_pairs_needed():
    for pairs in (2, 4, 10, 50):
        gain = gain_seen(pairs, 0.7, 0.018)
        assert pairs_needed(1.0001 * gain, 0.7, 0.018) == pairs
        assert pairs_needed(0.9999 * gain, 0.7, 0.018) == pairs + 1


# Clear after four pairs, and not any more after six.
REVERSED = [1.0, 1.1, 0.9, 1.0, -4.0, -5.0]


def test_call_has_the_direction_of_the_look_that_made_it(design):
    for sign, decision in ((1, "better"), (-1, "worse")):
        judgment = judge({"a": sign * np.array(REVERSED)}, design)["a"]
        assert judgment.decision == decision
        assert judgment.gain * sign < 0
        assert judgment.p == design.adjusted_p(
            stats.ttest_1samp(REVERSED[:4], 0).pvalue
        )
        low, high = sorted((sign * judgment.low, sign * judgment.high))
        assert low == 0
        assert high > 0


def test_decisions_are_made_at_the_looks_alone(design):
    clear = [1.0, 1.1, 0.9, 1.0, 1.1]
    noisy = [0.1, 1.9, -0.5, 0.7, 1.1, 0.9, 1.0, 1.1]
    for pairs, row in ((3, clear), (5, noisy), (7, noisy)):
        judgment = judge({"a": row[:pairs]}, design)["a"]
        assert judgment.gain == pytest.approx(np.mean(row[:pairs]))
        assert judgment.decision == "undecided"
    before, at, after = (judge({"a": clear[:n]}, design)["a"] for n in (3, 4, 5))
    assert (before.look, before.p) == (0, None)
    assert (at.decision, at.look, at.pairs) == ("better", 4, 4)
    assert (after.decision, after.look, after.pairs) == ("better", 4, 5)
    assert after.p == at.p


def test_equivalence_of_a_look_stays(design):
    row = [0.1, -0.2, 0.15, -0.1]
    assert judge({"a": row[:3]}, design, 5.0)["a"].decision == "undecided"
    for more in ([], [9.0], [9.0, -9.0]):
        assert judge({"a": row + more}, design, 1.0)["a"].decision == "equivalent"


def test_arm_without_pairs_counts_as_one_that_is_compared(design):
    row = [1.1, 0.4, 0.9, 0.7]
    alone = judge({"a": row}, design)["a"]
    judged = judge({"a": row, "b": []}, design)
    assert list(judged) == ["a"]
    assert judged["a"].p == pytest.approx(2 * alone.p)


def test_intervals_hold_for_all_looks_and_arms(design):
    """Two arms with a common baseline, one of which equals it."""
    studies, effects = 400, (0.0, 1.0)
    values = np.random.default_rng(4).normal(size=(3, studies, LOOKS[-1]))
    outside = 0
    for study in range(studies):
        gains = [
            values[arm + 1, study] - values[0, study] + effects[arm] for arm in (0, 1)
        ]
        found = [
            judge(dict(enumerate(g[:look] for g in gains)), design) for look in LOOKS
        ]
        outside += any(
            not judged[arm].low <= effects[arm] <= judged[arm].high
            for judged in found
            for arm in (0, 1)
        )
    assert outside / studies < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert outside > 0
