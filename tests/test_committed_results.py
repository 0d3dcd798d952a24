"""The results that are committed in examples/results."""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from keras_wgd import pictures, presets
from keras_wgd.bench import growth
from keras_wgd.experiments.store import collection
from keras_wgd.paper import published
from keras_wgd.report import verdict

pytestmark = pytest.mark.any_backend

DOCS = Path(__file__).parents[1] / "docs"
KEPT = DOCS.parent / "examples/results"


@pytest.mark.parametrize("name", ["cpu", "cpu-sweep"])
def test_committed_runs_are_those_of_their_preset(name):
    found, problems = collection.collect([KEPT / name])
    assert problems == []
    assert {result.spec for result in found} == set(presets.preset(name).runs())


@pytest.fixture(scope="module")
def script():
    """The script that writes the numbers of the study into the pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield __import__("results")
    sys.modules.pop("results")


@pytest.fixture(scope="module")
def analysis(script):
    return script.read()


def test_committed_tables_and_pages_are_up_to_date(script, analysis):
    assert (KEPT / "tables.md").read_text("utf-8") == script.tables(analysis)
    texts = {name: (DOCS / name).read_text("utf-8") for name in script.PAGES}
    assert texts == {name: script.page(name, analysis) for name in script.PAGES}
    # No part is left out.
    pattern = re.compile(r"<!-- ([\w-]+) -->\n\n.+?\n\n<!-- end -->", re.DOTALL)
    marks = pattern.findall("".join(texts.values()))
    assert sorted(marks) == sorted(script.parts(analysis))


def test_committed_figures_are_up_to_date(script, analysis):
    figures = {p.name: p.read_text("utf-8") for p in (KEPT / "figures").iterdir()}
    assert figures == script.drawings(analysis)


def words_of(name):
    """The text of a page in one line."""
    return " ".join((DOCS.parent / name).read_text("utf-8").split())


def test_quoted_averages(analysis):
    """Numbers in sentences about all gains of an arm."""
    judged = verdict.judge(analysis.runs).filter(measure="accuracy")
    gains = 100 * judged.filter(arm="fan_in")["gain"]
    span = f"{gains.min():.1f} to {gains.max():.1f} points"
    for name in ("README.md", "docs/index.md", "docs/results.md"):
        assert f"{len(analysis.runs)} small runs" in words_of(name)
        assert span in words_of(name)
    tuned = judged.filter(dataset="cifar100", at_paper_rate=False)
    for row in tuned.to_dicts():
        gain, low, high = (100 * row[f"gain{end}"] for end in ("", "_low", "_high"))
        quoted = (
            f"in {row['higher']} of {row['pairs']} pairs. Its average gain is "
            f"{gain:.2f} points (95 % interval {low:+.2f} to {high:+.2f}; p "
            f"{row['gain_p']:.3f}, or {row['gain_p_adjusted']:.3f} adjusted"
        )
        assert quoted in words_of("docs/how-to/choose.md")


def test_quoted_gain_of_adam(analysis):
    adam = {"dataset": "cifar100", "optimizer": "adam", "arm": "fan_in"}
    row = analysis.summary.filter(**adam, seeds=5).row(0, named=True)
    assert row["accuracy_gain_p"] == analysis.summary["accuracy_gain_p"].min()
    gain, low, high = (
        100 * row[f"accuracy_gain{end}"] for end in ("", "_low", "_high")
    )
    p, p_adjusted = (row[f"accuracy_gain_p{end}"] for end in ("", "_adjusted"))
    assert (
        f"it gained {gain:.1f} points of accuracy (95 % interval {low:.1f} to "
        f"{high:.1f}, five seeds, p {p:.3f}, adjusted {p_adjusted:.3f})"
    ) in words_of("README.md")
    quoted = f"smallest p value: {p:.3f}, or {p_adjusted:.3f} adjusted"
    assert quoted in words_of("docs/how-to/choose.md")


def test_quoted_norm_ratios(analysis):
    curves = analysis.curves.filter(dataset="cifar100")
    for name in ("docs/results.md", "docs/how-to/choose.md"):
        for arm in ("filters", "fan_in"):
            ratios = curves.filter(arm=arm)["norm_ratio"]
            assert f"{ratios.min():.2f} to {ratios.max():.2f}" in words_of(name)


def test_quoted_gain_of_the_paper():
    mean = re.search(r"by (\d\.\d\d) percentage points", published.claim())[1]
    for name in ("docs/results.md", "docs/explanation.md"):
        assert f"{float(mean):.1f} points" in words_of(name)


def rows(page):
    """The cells of each row of the tables of a page."""
    lines = page.read_text("utf-8").splitlines()
    return [[c.strip() for c in li.split("|")[1:-1]] for li in lines if li[:1] == "|"]


def test_gains_on_the_page_are_those_of_the_runs():
    """The gains on the page, from the files of the runs alone."""
    accuracies = {}
    for path in (KEPT / "cpu").glob("*/result.json"):
        spec = json.loads(path.with_name("spec.json").read_text("utf-8"))
        rate = "the paper's" if spec["learning_rate"] == 0.01 else "other"
        data = {"cifar100": "CIFAR-100", "animals10": "Animals-10"}[spec["dataset"]]
        task = (data, rate, spec["optimizer"], spec["seed"])
        result = json.loads(path.read_text("utf-8"))
        accuracies[*task, spec["mean_over"]] = result["metrics"]["accuracy"]
    gains = defaultdict(lambda: defaultdict(list))
    for (data, rate, optimizer, seed, arm), accuracy in accuracies.items():
        if arm is not None:
            plain = accuracies[data, rate, optimizer, seed, None]
            gains[arm, data, rate][seed].append(100 * (accuracy - plain))
    expected = {}
    for (arm, data, rate), by_seed in gains.items():
        means = [np.mean(of_seed) for of_seed in by_seed.values()]
        interval = stats.ttest_1samp(means, 0).confidence_interval()
        signs = [np.sign(gain) for of_seed in by_seed.values() for gain in of_seed]
        expected[arm, data, rate, f"{len(means)} seeds"] = (
            f"{np.mean(means):+.2f}",
            f"{interval.low:+.2f} to {interval.high:+.2f}",
            " / ".join(str(signs.count(sign)) for sign in (1, 0, -1)),
        )
    rates = r"(the paper's|other) learning rates?"
    name = rf"WGD (\w+) \(resnet8 on (\S+) at {rates}, (\d seeds)\)"
    found = {}
    for row in rows(DOCS / "results.md"):
        place = re.fullmatch(name, row[0])
        if place and "." in row[2] and len(row[2]) == 5:  # points, and not nats
            found[place.groups()] = (row[2], row[3], row[6])
    assert found == expected
    assert len(found) == 6


def test_committed_growth_plot_is_that_of_the_measurements(tmp_path):
    rows = growth.read(KEPT / "growth")
    assert {row["backend"] for row in rows} == {"jax", "tensorflow", "torch"}
    drawn = {"growth": growth.chart(rows).to_dict()}
    pictures.write(tmp_path, drawn, pictures.vega_lite())
    kept = (KEPT / "growth" / "growth.svg").read_text("utf-8")
    assert (tmp_path / "growth.svg").read_text("utf-8") == kept
