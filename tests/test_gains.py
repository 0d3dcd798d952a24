"""The forest plot and the table of gains, beside the files of the runs alone."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.charts import charts_of
from support.studies import SPEC, runs_of

from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.store import collection
from keras_wgd.report import verdict
from keras_wgd.report.dot_charts import POOLED

pytestmark = pytest.mark.any_backend

RESULTS = Path(__file__).parents[1] / "examples" / "results" / "cpu"
OPTIMIZERS = {"sgdm": "SGDM", "adam": "Adam", "nadam": "Nadam", "radam": "RAdam"}
PLACES = {
    ("cifar100", True): "resnet8 on CIFAR-100 at the paper's learning rate",
    ("cifar100", False): "resnet8 on CIFAR-100 at other learning rates",
    ("animals10", False): "resnet8 on Animals-10 at other learning rates",
}


def raw_gains():
    """{(place, arm): {block: {seed: gain in points}}}, from the files alone."""
    accuracies = {}
    for path in sorted(RESULTS.glob("*/spec.json")):
        spec = json.loads(path.read_text())
        result = json.loads(path.with_name("result.json").read_text())
        place = PLACES[spec["dataset"], spec["learning_rate"] == 0.01]
        block = f"{OPTIMIZERS[spec['optimizer']]} {spec['learning_rate']}"
        key = (place, block, spec["seed"])
        accuracies[*key, spec["mean_over"]] = 100 * result["metrics"]["accuracy"]
    found = defaultdict(lambda: defaultdict(dict))
    for (place, block, seed, arm), accuracy in accuracies.items():
        if arm is not None:
            gain = accuracy - accuracies[place, block, seed, None]
            found[place, f"WGD {arm}"][block][seed] = gain
    return found


def expected(values):
    test = stats.ttest_1samp(values, 0)
    interval = test.confidence_interval(0.95)
    return np.mean(values), interval.low, interval.high, test.pvalue


@pytest.fixture(scope="module")
def found():
    results, problems = collection.collect([RESULTS])
    assert problems == []
    return results


@pytest.fixture(scope="module")
def points(found):
    chart = charts_of(found)["gains"]
    rows = [row for part in chart["datasets"].values() for row in part]
    return {(row["panel"], row["arm"], row["block"]): row for row in rows}


def test_forest_plot(points):
    """Its points, intervals and p values, and nothing besides."""
    raw = raw_gains()
    blocks = {
        (*key, block): list(seeds.values())
        for key, of_block in raw.items()
        for block, seeds in of_block.items()
    }
    assert len(blocks) == 24
    pooled = {
        (*key, POOLED): [
            np.mean([of_seed[seed] for of_seed in of_block.values()])
            for seed in sorted(set.intersection(*map(set, of_block.values())))
        ]
        for key, of_block in raw.items()
    }
    assert set(points) == set(blocks) | set(pooled)
    for key, values in (blocks | pooled).items():
        row = points[key]
        numbers = [row[name] for name in ("mean", "low", "high", "p")]
        assert numbers == pytest.approx(expected(values), rel=1e-6, abs=1e-9), key
    for (place, _, block), row in points.items():
        family = [
            other["p"]
            for (panel, _, name), other in points.items()
            if (block == POOLED and name == POOLED)
            or (
                POOLED not in (block, name)
                and panel.split(" at ")[0] == place.split(" at ")[0]
            )
        ]
        order = family.index(row["p"])
        adjusted = stats.false_discovery_control(family)[order]
        assert row["p adjusted"] == pytest.approx(adjusted)
        assert row["significant"] == (adjusted < 0.05)


def test_rows_of_the_forest_plot(points):
    rows = [block for panel, arm, block in points if arm == "WGD filters"]
    names = [f"{label} 0.01" for label in OPTIMIZERS.values()]
    assert rows[:5] == [*names, POOLED]
    panels = list(dict.fromkeys(panel for panel, _, _ in points))
    assert panels == list(PLACES.values())  # 20 and 12 pairs of CIFAR-100, then 12


def test_table(found, points):
    """The numbers of the forest plot, which are those of the files, in its order."""
    judged = verdict.judge(Analysis.of(found).runs)
    (_, table), _ = verdict.sections(judged)
    rows = [row for block in table.blocks for row in block]
    assert len(rows) == 6
    raw = raw_gains()
    for row in rows:
        first, answer, gain, interval, p, p_adjusted, counts = row
        place, _, seeds = first.note.rpartition(", ")
        point = points[place, first.text, POOLED]
        assert gain.text == f"{point['mean']:+.2f}"
        assert interval.text == f"{point['low']:+.2f} to {point['high']:+.2f}"
        assert p.text == f"{point['p']:.3f}"
        assert p_adjusted.text == f"{point['p adjusted']:.3f}"
        assert answer.text == "undecided"
        gains = [
            g for of_seed in raw[place, first.text].values() for g in of_seed.items()
        ]
        assert seeds == f"{len({seed for seed, _ in gains})} seeds"
        signs = [np.sign(gain) for _, gain in gains]
        assert counts.text == " / ".join(str(signs.count(sign)) for sign in (1, 0, -1))


def test_one_pair_has_no_interval():
    found = runs_of({("radam", "plain"): [0.5], ("radam", "filters"): [0.6]})
    ((row,),) = charts_of(found)["gains"]["datasets"].values()
    assert row["mean"] == pytest.approx(10)
    assert {row[name] for name in ("low", "high", "p", "p adjusted")} == {None}
    assert row["pairs"] == 1
    assert row["significant"] is False


def test_no_pairs():
    found = runs_of({("radam", "plain"): [0.5, 0.6]})
    found += runs_of(
        {("adam", "filters"): [0.5, 0.6]}, dataclasses.replace(SPEC, learning_rate=0.1)
    )
    assert "gains" not in charts_of(found)
