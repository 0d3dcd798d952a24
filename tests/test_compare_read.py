"""A comparison that is read from its folder, and its report by the command line."""

import json

import pytest
from support.comparing import TWO, compared, dense

from keras_wgd import Comparison, cli
from keras_wgd.experiments.store import comparison

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "out"
    rates = {"adam": [0.01, 0.03], "sgd": [0.01, 0.1]}
    return compared(dense, TWO, out=out, learning_rates=rates, margin=0.02)


def test_read_gives_what_compare_gave(made):
    found = Comparison.read(made.out)
    assert found.verdicts == made.verdicts
    assert found.learning_rates == made.learning_rates
    assert found.stopped == "unknown"
    assert found.analysis.question == made.analysis.question
    for frame in ("runs", "epochs"):
        assert getattr(found, frame).equals(getattr(made, frame))
    assert found.table().equals(made.table())


def test_report_command(made, tmp_path, capsys):
    assert cli.app(["report", str(made.out), "--out", str(tmp_path)]) == 0
    assert made.analysis.sentences()[0][:30] in capsys.readouterr().out
    assert "<html" in (tmp_path / "report.html").read_text()
    assert cli.app(["report", str(made.out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(made.table().write_json())


def test_report_of_two_folders(made, tmp_path, capsys):
    assert cli.app(["report", str(made.out), str(tmp_path)]) == 2
    assert "one folder of compare" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"arms": ["adam"]},
        {"arms": ["adam", "adam"]},
        {"arms": "ab"},
        {"monitor": 1},
        {"tail": 2},
        {"tail": None},
        {"margin": "a"},
        {"sequential": 1},
    ],
)
def test_damaged_record(made, tmp_path, change):
    fields = json.loads((made.out / comparison.NAME).read_text())
    fields["question"] |= change
    (tmp_path / comparison.NAME).write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="not of this program"):
        Comparison.read(tmp_path)


def test_folder_without_trials(made, tmp_path):
    with pytest.raises(ValueError, match="missing"):
        Comparison.read(tmp_path)
    record = (made.out / comparison.NAME).read_text()
    (tmp_path / comparison.NAME).write_text(record)
    with pytest.raises(ValueError, match="must hold finished trials"):
        Comparison.read(tmp_path)
