"""The forest plot and the table of gains, against the files of the runs alone."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.studies import SPEC, runs_of

from keras_wgd.experiments.analysis import frames
from keras_wgd.experiments.store import collection
from keras_wgd.report import figures, gains, verdict

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
    chart = figures.figures(found)["gains"]
    rows = [row for part in chart["datasets"].values() for row in part]
    return {(row["panel"], row["arm"], row["block"]): row for row in rows}


def test_the_forest_plot_is_that_of_the_files(points):
    """Its points, intervals and p values, and nothing besides."""
    raw = raw_gains()
    blocks = {
        (*key, block): list(seeds.values())
        for key, of_block in raw.items()
        for block, seeds in of_block.items()
    }
    assert len(blocks) == 24
    pooled = {
        (*key, gains.POOLED): [
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
            if (block == gains.POOLED and name == gains.POOLED)
            or (
                gains.POOLED not in (block, name)
                and panel.split(" at ")[0] == place.split(" at ")[0]
            )
        ]
        order = family.index(row["p"])
        adjusted = stats.false_discovery_control(family)[order]
        assert row["p adjusted"] == pytest.approx(adjusted)
        assert row["significant"] == (adjusted < 0.05)


def test_rows_are_grouped_by_optimizer(points):
    rows = [block for panel, arm, block in points if arm == "WGD filters"]
    names = [f"{label} 0.01" for label in OPTIMIZERS.values()]
    assert rows[:5] == [*names, gains.POOLED]
    panels = list(dict.fromkeys(panel for panel, _, _ in points))
    assert panels == list(PLACES.values())  # 20 and 12 pairs of CIFAR-100, then 12


def test_the_table_has_the_numbers_of_the_plot_and_of_the_words(found, points):
    runs = frames.frame(found)
    table = gains.table(verdict.judged(runs, "accuracy"))
    words = verdict.words(runs)[1:]
    rows = [row for block in table.blocks for row in block]
    assert len(rows) == len(words) == 6
    for row, paragraph in zip(rows, words, strict=True):
        first, gain, interval, p, *_, counts = row
        point = points[first.note, first.text, gains.POOLED]
        assert gain.text == f"{point['mean']:+.2f}"
        assert interval.text == f"{point['low']:+.2f} to {point['high']:+.2f}"
        assert p.text == f"{point['p adjusted']:.3f}"
        assert f"With {first.note}, {first.text}: of" in paragraph
        assert f"the gain is {gain.text} percentage points" in paragraph
        higher, same, lower = counts.text.split(" / ")
        assert f"in {higher}, lower in {lower} and the same in {same}." in paragraph


def test_results_of_the_table_are_those_of_the_verdict():
    rows = {
        ("radam", "plain"): [0.50, 0.51, 0.52],
        ("radam", "filters"): [0.52, 0.535, 0.545],
        ("radam", "fan_in"): [0.48, 0.485, 0.505],
        ("radam", "kernels"): [0.50, 0.53, 0.50],
    }
    judged = verdict.judged(frames.frame(runs_of(rows)), "accuracy")
    ((*cells,),) = gains.table(judged).blocks
    found = {row[0].text: (row[4].text, row[1].bold, row[4].bold) for row in cells}
    assert found == {
        "WGD filters": ("gain", True, True),
        "WGD fan_in": ("loss", True, True),
        "WGD kernels": ("open", False, False),
    }
    assert [row[6].text for row in cells] == ["3 / 0 / 0", "0 / 0 / 3", "1 / 1 / 1"]


def test_one_pair_is_a_point_without_an_interval():
    found = runs_of({("radam", "plain"): [0.5], ("radam", "filters"): [0.6]})
    ((row,),) = figures.figures(found)["gains"]["datasets"].values()
    assert row["mean"] == pytest.approx(10)
    assert {row[name] for name in ("low", "high", "p", "p adjusted")} == {None}
    assert row["pairs"] == 1
    assert row["significant"] is False


def test_without_pairs_there_is_no_plot():
    found = runs_of({("radam", "plain"): [0.5, 0.6]})
    found += runs_of(
        {("adam", "filters"): [0.5, 0.6]}, dataclasses.replace(SPEC, learning_rate=0.1)
    )
    assert "gains" not in figures.figures(found)
