"""The results that are committed in examples/results."""

from pathlib import Path

import pytest

from keras_wgd import pictures
from keras_wgd.bench import growth
from keras_wgd.experiments.analysis import frames
from keras_wgd.experiments.store import collection
from keras_wgd.paper import presets
from keras_wgd.report import markdown

KEPT = Path(__file__).parents[1] / "examples/results"


@pytest.mark.parametrize("name", ["cpu", "cpu-sweep"])
def test_committed_runs_are_those_of_their_preset(name):
    found, problems = collection.collect([KEPT / name])
    assert problems == []
    assert {result.spec for result in found} == set(presets.preset(name).runs())


def test_committed_tables_are_those_of_the_runs():
    found, _ = collection.collect([KEPT / "cpu"])
    runs = frames.frame(found)
    text = markdown.tables(runs, frames.summarize(runs))
    assert (KEPT / "tables.md").read_text("utf-8") == text


def test_committed_growth_plot_is_that_of_the_measurements(tmp_path):
    rows = growth.read(KEPT / "growth")
    assert {row["backend"] for row in rows} == {"jax", "tensorflow", "torch"}
    drawn = {"growth": growth.chart(rows).to_dict()}
    pictures.write(tmp_path, drawn, pictures.vega_lite())
    kept = (KEPT / "growth" / "growth.svg").read_text("utf-8")
    assert (tmp_path / "growth.svg").read_text("utf-8") == kept
