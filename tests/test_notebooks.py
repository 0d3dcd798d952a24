"""The notebooks run from the first cell to the last, twice in the same folder."""

import json
from pathlib import Path

import keras
import pytest

from keras_wgd.experiments.training.custom.task import CustomTraining

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))


def cells(path):
    """The source of each code cell."""
    found = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(c["source"]) for c in found if c["cell_type"] == "code"]


def run(path):
    """What the cells define."""
    names = {"__name__": "__main__"}
    for number, source in enumerate(cells(path)):
        exec(compile(source, f"{path.name}, cell {number}", "exec"), names)
    return names


@pytest.mark.any_backend
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_outputs_are_stripped(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_comparison_of_images(tmp_path, monkeypatch, capsys):
    """After a restart of the kernel no trial is made again."""
    monkeypatch.chdir(tmp_path)
    first = run(DOCS / "compare.ipynb")
    assert (
        "420 images to train on, 180 to validate on: 0 1 2" in capsys.readouterr().out
    )
    assert set(first["comparison"].verdicts) == {"wgd"}
    assert (tmp_path / "compare.html").is_file()

    def refuse(*_):
        raise AssertionError("a trial was made again")

    keras.utils.clear_session()
    monkeypatch.setattr(CustomTraining, "fit", refuse)
    again = run(DOCS / "compare.ipynb")
    assert again["comparison"].runs.equals(first["comparison"].runs)
