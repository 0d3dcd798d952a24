import subprocess
import sys
from pathlib import Path

import pytest

from keras_wgd.bench import growth
from keras_wgd.study import figures, presets, report, tables

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
KEPT = FOLDER / "results"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs_as_it_is(path):
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("test loss") == 2
    assert "2 of 6 trainable variables centred" in done.stdout
    assert "loaded at step 225, went on to step 270" in done.stdout


@pytest.mark.parametrize("name", ["cpu", "cpu-sweep"])
def test_the_results_that_are_kept_are_those_of_their_study(name):
    found, problems = report.collect([KEPT / name])
    assert problems == []
    assert {result.spec for result in found} == set(presets.preset(name).runs())


def test_the_tables_that_are_kept_are_those_of_the_results():
    found, _ = report.collect([KEPT / "cpu"])
    text = tables.markdown(tables.frame(found))
    assert (KEPT / "tables.md").read_text("utf-8") == text


def test_the_plot_of_growth_that_is_kept_is_that_of_the_measurements(tmp_path):
    rows = growth.read(KEPT / "growth")
    assert {row["backend"] for row in rows} == {"jax", "tensorflow", "torch"}
    figures.write(tmp_path, {"growth": growth.chart(rows)})
    kept = (KEPT / "growth" / "growth.svg").read_text("utf-8")
    assert (tmp_path / "growth.svg").read_text("utf-8") == kept
