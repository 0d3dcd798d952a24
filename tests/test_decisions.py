"""How often `compare` is right: the simulated studies of docs/decisions.md."""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from keras_wgd.experiments.analysis.sequential import judge

pytestmark = pytest.mark.any_backend

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def script():
    """The script that writes the tables of the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield __import__("decisions")
    sys.modules.pop("decisions")


def standard_error(rate, studies):
    return np.sqrt(rate * (1 - rate) / studies)


def judged(gains, design, margin):
    """The decisions and pairs of a study that `judge` ends, arm by arm."""
    rows = {arm: [] for arm in range(len(gains))}
    found = {}
    for pairs in range(1, design.looks[-1] + 1):
        for arm, row in rows.items():
            if arm not in found or found[arm].decision == "undecided":
                row.append(gains[arm, pairs - 1])
        found = judge(rows, design, margin)  # between the looks as well
    return [(found[arm].decision, found[arm].pairs) for arm in rows]


@pytest.mark.parametrize("effects", [[0.0], [0.9], [0.0, 1.2], [0.2, 0.9, -1.3, 0.0]])
def test_simulated_decisions_are_those_of_judge(script, effects):
    studies = 60
    gains = script.differences(effects, studies, seed=1)
    counts = defaultdict(int)
    for design in script.DESIGNS:
        decision, pairs = script.decide(gains, design, 1.1)
        for study in range(studies):
            of_study = [
                (script.DECISIONS[code], count)
                for code, count in zip(decision[:, study], pairs[:, study], strict=True)
            ]
            assert judged(gains[:, study], design, 1.1) == of_study
            for name, _ in of_study:
                counts[name] += 1
    assert counts["undecided"] > 0
    assert counts["equivalent"] > 0


def test_simulated_pairs_have_the_effects_and_a_common_baseline(script):
    gains = script.differences([0.0, 2.0], 20_000)
    assert gains.mean(axis=(1, 2)) == pytest.approx([0, 2], abs=0.01)
    assert gains.std(axis=(1, 2)) == pytest.approx([1, 1], abs=0.01)
    assert np.corrcoef(*gains.reshape(2, -1))[0, 1] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("arms", [1, 2, 4])
def test_error_rate_of_better_and_worse(script, arms):
    studies = 10_000
    gains = script.differences([0.0] * arms, studies, seed=2)
    for design in script.DESIGNS:
        decision, _ = script.decide(gains, design)
        wrong = (decision != script.UNDECIDED).any(axis=0).mean()
        assert wrong <= 0.05 + 3 * standard_error(0.05, studies)
        assert wrong >= 0.04  # and no power is wasted


def test_error_rate_where_some_arms_differ(script):
    """Holm's method allows more to the others once an arm is called."""
    studies = 10_000
    gains = script.differences([0.0, 2.0, 2.0], studies, seed=3)
    decision, _ = script.decide(gains, script.LOOKS)
    assert (decision[1:] == script.BETTER).mean() > 0.95
    wrong = (decision[0] != script.UNDECIDED).mean()
    assert wrong <= 0.05 + 3 * standard_error(0.05, studies)


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("arms", [1, 2, 4])
def test_error_rate_of_equivalent(script, arms, margin):
    studies = 10_000
    gains = script.differences([margin, *[-margin] * (arms - 1)], studies, seed=4)
    decision, _ = script.decide(gains, script.LOOKS, margin)
    assert (decision == script.EQUIVALENT).any(axis=0).mean() <= 0.05


def test_power_and_pairs(script):
    """Against the figures of `Design.performance`, which draws no pairs."""
    for effect in script.EFFECTS:
        gains = script.differences([effect], 20_000, seed=5)
        decision, pairs = script.decide(gains, script.LOOKS)
        power, mean = script.LOOKS.performance(effect)
        assert (decision != script.UNDECIDED).mean() == pytest.approx(power, abs=0.012)
        assert pairs.mean() == pytest.approx(mean, abs=0.06)


NUMBER = re.compile(r"\d+\.\d+(?= %| \|)")


def test_committed_page_is_what_the_script_makes(script):
    """But for the error of the simulation, which has fewer studies here."""
    studies = 10_000
    kept, made = script.PAGE.read_text("utf-8"), script.page(studies)
    assert NUMBER.sub("N", kept) == NUMBER.sub("N", made)
    marks = re.findall(r"<!-- (\w+) -->\n\n\|", kept)
    assert sorted(marks) == sorted(script.parts(10))
    pairs = list(zip(NUMBER.findall(kept), NUMBER.findall(made), strict=True))
    assert len(pairs) > 30
    for wanted, got in pairs:
        # Percent, or mean pairs, whose standard deviation is below 3.
        limit = 400 * standard_error(min(float(wanted) / 100, 0.5), studies)
        assert float(got) == pytest.approx(float(wanted), abs=0.1 + limit)


@pytest.mark.slow
def test_committed_page_is_exactly_what_the_script_makes(script):
    kept = script.PAGE.read_text("utf-8")
    for wanted, got in zip(
        NUMBER.findall(kept), NUMBER.findall(script.page()), strict=True
    ):
        assert float(got) == pytest.approx(float(wanted), abs=0.1001)


def test_quoted_level_is_that_of_the_looks(script):
    text = " ".join(script.PAGE.read_text("utf-8").split())
    level = f"{100 * script.LOOKS.nominal_level():.1f} %"
    assert f"stricter **nominal level**: {level} for looks after 4, 6, 8 and 10" in text


def test_quoted_noise_is_that_of_the_runs(script):
    """Pooled over the settings, from the files of the runs alone."""
    curves = defaultdict(dict)
    runs = 0
    for path in (DOCS.parent / "examples/results/cpu").glob("*/result.json"):
        spec = json.loads(path.with_name("spec.json").read_text("utf-8"))
        if spec["dataset"] != "cifar100":
            continue
        runs += 1
        curve = json.loads(path.read_text("utf-8"))["curves"]["test_accuracy"]
        task = (spec["optimizer"], spec["learning_rate"], spec["seed"])
        curves[task][spec["mean_over"]] = curve
    stds = []
    for tail in (1, 5):
        gains = defaultdict(list)
        for (*setting, _), arms in curves.items():
            for mean in set(arms) - {None}:
                ours, theirs = (np.mean(arms[key][-tail:]) for key in (mean, None))
                gains[*setting, mean].append(100 * (ours - theirs))
        squares = sum(len(row) * np.var(row) for row in gains.values())
        stds.append(np.sqrt(squares / sum(len(row) - 1 for row in gains.values())))
    text = " ".join(script.PAGE.read_text("utf-8").split())
    assert f"In the {runs} runs on CIFAR-100" in text
    assert f"was {stds[0]:.2f} points for the last of 10 epochs" in text
    assert f"and {stds[1]:.2f} points for the mean over the last 5" in text
