import dataclasses
import functools
import json
import math

import altair as alt
import numpy as np
import pytest
from rich.cells import cell_len
from support.hostile import HOSTILE
from support.markup import Reader
from support.trials import random_trials, trial_of, trials_of

from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.trial_frames import Question
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable
from keras_wgd.report import comparison
from keras_wgd.report.trials import curve_charts, gain_charts, tables
from keras_wgd.report.trials.shared import labels

pytestmark = pytest.mark.any_backend

GAINS = {"adam": 0.0, "wgd": 0.008, "lion": -0.002}
NOTES = ["The batches of a seed are the same for all arms.", "warning: <b>a rate</b>"]
# Polars has no half letters.
NAMES = [text for text in HOSTILE if not text.startswith("\ud800")]


def question(arms=tuple(GAINS), looks=(4, 6), **changes):
    fields = {"monitor": "val_accuracy", "best": "max", "tail": 0.3, "margin": 0.005}
    fields |= {"arms": tuple(arms), "design": Design(looks)}
    return Question(**fields | changes)


@functools.cache
def usual():
    """Six seeds of three arms; one trial of `lion` diverges in its eleventh epoch."""
    return TrialAnalysis(
        question(), random_trials(GAINS, seeds=6, diverged=[("lion", 2)])
    )


def curve_of(analysis, arm, seed, name="val_accuracy"):
    (found,) = (
        result.curves[name]
        for result in analysis.results
        if (result.spec.arm, result.spec.seed) == (arm, seed)
    )
    return np.array(found)


def values_of(analysis, arm):
    """The means over the last six of twenty epochs, by seed; the worst for NaN."""
    found = np.array([curve_of(analysis, arm, seed)[-6:].mean() for seed in range(6)])
    every = [
        curve_of(analysis, other, seed)[-6:].mean()
        for other in GAINS
        for seed in range(6)
    ]
    return np.where(np.isfinite(found), found, np.nanmin(every))


def rows_of(chart, panel=None):
    """The rows behind a chart, or behind the panel with this title."""
    return [
        row
        for number, part in enumerate(chart["concat"])
        if panel in (None, part["title"]["text"])
        for row in chart["datasets"][f"rows_{number}"]
    ]


def names_of(analysis):
    return labels(analysis.question.arms)


def page_of(analysis, folder, notes=NOTES):
    path = comparison.write(analysis, folder / "page.html", notes)
    return Reader(path.read_text("utf-8"))


def charts_of(reader):
    """The charts in a page, by name."""
    return json.loads(reader.scripts[0])


def test_dots_are_the_differences_of_pairs():
    chart = gain_charts.dots(usual(), names_of(usual()))
    for arm in ("wgd", "lion"):
        rows = rows_of(chart, arm)
        gains = 100 * (values_of(usual(), arm) - values_of(usual(), "adam"))
        assert [row["seed"] for row in rows] == list(range(6))
        assert [row["gain"] for row in rows] == pytest.approx(gains)
        assert [row["mean"] for row in rows] == pytest.approx([gains.mean()] * 6)
        low, high = rows[0]["low"], rows[0]["high"]
        # Two looks and two arms: wider than a plain interval of 95 %.
        half = 2.571 * gains.std(ddof=1) / math.sqrt(6)
        assert low < gains.mean() - half < gains.mean() + half < high
    assert [row["seed"] for row in rows_of(chart) if row["diverged"]] == [2]
    assert "Hollow: a trial of the pair diverged" in chart["title"]["subtitle"]


def test_a_smaller_loss_is_a_gain():
    found = trials_of({"a": [3.0, 4.0], "b": [2.0, 3.5]}, monitor="val_loss")
    asked = question("ab", monitor="val_loss", best="min", margin=None)
    analysis = TrialAnalysis(asked, found)
    rows = rows_of(gain_charts.dots(analysis, names_of(analysis)))
    assert [row["gain"] for row in rows] == [1.0, 0.5]
    cells = tables.arms(analysis).blocks[1][0]
    assert cells[2].value == 0.75


def test_running_estimate():
    chart = gain_charts.running(usual(), names_of(usual()))
    rows = rows_of(chart, "wgd")
    gains = 100 * (values_of(usual(), "wgd") - values_of(usual(), "adam"))
    assert [row["pairs"] for row in rows] == [2, 3, 4, 5, 6]
    assert [row["is_look"] for row in rows] == [False, False, True, False, True]
    means = [gains[:pairs].mean() for pairs in range(2, 7)]
    assert [row["gain"] for row in rows] == pytest.approx(means)
    assert all(row["low"] < row["gain"] < row["high"] for row in rows)
    drawn = json.dumps(chart)
    assert '{"place": 4}, {"place": 6}' in drawn  # the looks
    assert '{"place": -0.5}, {"place": 0.5}' in drawn  # the margin


def test_curves_are_those_of_the_trials_and_their_means():
    chart = curve_charts.of_monitor(usual(), names_of(usual()))
    titles = [part["title"]["text"] for part in chart["concat"]]
    assert titles == ["val_accuracy", "val_accuracy: second half", "loss"]
    for name in ("val_accuracy", "loss"):
        rows = rows_of(chart, name)
        for arm in GAINS:
            curves = [curve_of(usual(), arm, seed, name) for seed in range(6)]
            for seed, curve in enumerate(curves):
                drawn = [
                    math.nan if row["value"] is None else row["value"]
                    for row in rows
                    if (row["kind"], row["arm"]) == ("trial", arm)
                    and row["seed"] == seed
                ]
                assert np.array_equal(drawn, curve, equal_nan=True)
            means = [r for r in rows if (r["kind"], r["arm"]) == ("mean", arm)]
            values = [row["value"] for row in means]
            assert values == pytest.approx(np.nanmean(curves, axis=0))
            assert [row["trials"] for row in means][-1] == (5 if arm == "lion" else 6)
    (end,) = (row for row in rows if row["kind"] == "end")
    assert (end["arm"], end["seed"], end["epoch"]) == ("lion", 2, 10)
    late = rows_of(chart, "val_accuracy: second half")
    assert {row["epoch"] for row in late} == set(range(11, 21))


def test_other_curves():
    chart = curve_charts.of_others(usual(), names_of(usual()))
    titles = [part["title"]["text"] for part in chart["concat"]]
    assert titles == ["accuracy", "val_loss"]


def test_one_epoch_is_a_dot():
    analysis = TrialAnalysis(question("ab"), CASES["one epoch"])
    chart = curve_charts.of_monitor(analysis, names_of(analysis))
    panels = {part["title"]["text"]: part for part in chart["concat"]}
    assert list(panels) == ["val_accuracy", "loss"]
    trials = panels["loss"]["layer"][0]
    assert trials["encoding"]["x"]["scale"]["domain"] == [0.5, 1.5]
    assert trials["mark"]["point"]


def test_long_curves_are_thinned():
    curve = list(np.linspace(1, 0, 1501))
    found = [trial_of(arm, 0, {"loss": curve, "val_accuracy": curve}) for arm in "ab"]
    analysis = TrialAnalysis(question("ab"), found)
    chart = curve_charts.of_monitor(analysis, names_of(analysis))
    rows = [r for r in rows_of(chart, "loss") if r["arm"] == "a"]
    for kind in ("trial", "mean"):
        epochs = [row["epoch"] for row in rows if row["kind"] == kind]
        assert len(epochs) <= 202
        assert (epochs[0], epochs[-1]) == (1, 1501)


def test_outliers_do_not_set_the_scale():
    curve = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    found = [
        trial_of(arm, seed, {"loss": curve, "val_accuracy": curve})
        for arm in "ab"
        for seed in range(4)
    ]
    found[-1].curves["loss"][5:] = [1e30, math.inf, math.nan, -math.inf, 1.0]
    analysis = TrialAnalysis(question("ab"), found)
    chart = curve_charts.of_monitor(analysis, names_of(analysis))
    json.dumps(chart, allow_nan=False)
    loss = next(part for part in chart["concat"] if part["title"]["text"] == "loss")
    low, high = loss["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert -5 < low < 0.1
    assert 1 < high < 5


def test_tables_have_the_numbers():
    table = tables.arms(usual())
    assert table.heads[2] == "Gain (points)"
    for arm, ((name, verdict, gain, interval, _, n, mean, std, _),) in zip(
        GAINS, table.blocks, strict=True
    ):
        values = values_of(usual(), arm)
        assert name.text == arm
        assert n.text == "6"
        assert mean.text == f"{100 * values.mean():.2f}"
        assert std.text == f"{100 * values.std(ddof=1):.2f}"
        difference = 100 * (values - values_of(usual(), "adam")).mean()
        assert gain.text == ("-" if arm == "adam" else f"{difference:+.2f}")
        assert verdict.text == usual().verdicts.get(arm, "")
        assert (interval.text == "-") == (arm == "adam")
    assert table.blocks[0][0][0].note == "the baseline"
    assert table.blocks[2][0][0].note == "1 of 6 diverged"
    trials = [cells for block in tables.trials(usual()).blocks for cells in block]
    assert [cells[1].text for cells in trials if "diverged" in cells[1].text] == [
        f"diverged ({100 * values_of(usual(), 'lion')[2]:.2f})"
    ]
    assert [cells[2].text for cells in trials].count("not finite") == 1


def test_charts_are_valid_vega_lite(tmp_path):
    for chart in charts_of(page_of(usual(), tmp_path)).values():
        alt.ConcatChart.from_dict(chart)  # validates


def hostile():
    """Six arms, eleven logged values and the monitor, each with a hostile name."""
    arms, logs = NAMES[:6], NAMES[6:]
    found = []
    for result in random_trials(dict.fromkeys(arms, 0.0), seeds=4, epochs=4):
        curves = result.curves | dict.fromkeys(logs, result.curves["loss"])
        found.append(dataclasses.replace(result, curves=curves))
    return TrialAnalysis(question(arms, monitor=logs[0]), found)


def test_hostile_names_are_text(tmp_path):
    reader = page_of(hostile(), tmp_path, HOSTILE)
    kinds = [tag for tag, _ in reader.tags]
    assert kinds.count("script") == 3
    assert kinds.count("style") == 1
    assert not {"img", "b"} & set(kinds)
    assert not any(name.startswith("on") for _, found in reader.tags for name in found)
    assert "".join(reader.texts).replace("\n", "").isprintable()
    for text in HOSTILE:
        assert printable(text) in reader.texts  # a note
    charts = charts_of(reader)
    arms = list(labels(NAMES[:6]).values())
    for name, chart in charts.items():
        shown = arms if name in ("curves", "others") else arms[1:]
        assert list(dict.fromkeys(row["arm"] for row in rows_of(chart))) == shown
        assert all(text.isprintable() for text in json.dumps(chart).split("\n"))
    titles = [part["title"]["text"] for part in charts["others"]["concat"]]
    assert titles[3:] == list(labels(NAMES[7:]).values())


def test_labels_are_short_printable_and_distinct():
    long = [f"{'x' * 50}{number}{'x' * 50}" for number in range(3)]
    found = labels([*NAMES, *long])
    assert list(found) == [*NAMES, *long]
    assert len(set(found.values())) == len(found)
    assert all(label.isprintable() and len(label) < 50 for label in found.values())


def test_page_loads_nothing(tmp_path):
    for tag, attributes in page_of(usual(), tmp_path).tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes), tag


CASES = {
    "no trial": [],
    "baseline only": trials_of({"a": [0.5]}),
    "one pair": trials_of({"a": [0.5], "b": [0.6]}),
    "no pair": trials_of({"a": [0.5], "b": [None, 0.6]}),
    "the same": trials_of({"a": [0.5] * 4, "b": [0.5] * 4}),
    "one epoch": trials_of({"a": [0.5, 0.6], "b": [0.6, 0.8]}, epochs=1),
    "all diverged": trials_of({"a": [math.nan] * 3, "b": [math.inf] * 3}),
    "one diverged": trials_of({"a": [0.5] * 3, "b": [0.6, math.nan, -math.inf]}),
    "huge": trials_of({"a": [1e38, 2e38], "b": [-1e38, 1e37]}),
    "tiny": trials_of({"a": [1e-38, 2e-38], "b": [3e-38, 5e-38]}),
}


@pytest.mark.parametrize("name", CASES)
def test_degenerate_comparisons(name, tmp_path):
    analysis = TrialAnalysis(question("ab", looks=(4,)), CASES[name])
    reader = page_of(analysis, tmp_path)
    for sentence in analysis.sentences():
        assert sentence in reader.texts
    charts = charts_of(reader)
    for chart in charts.values():
        alt.ConcatChart.from_dict(chart)
    pairs = {"no trial": 0, "baseline only": 0, "no pair": 0, "all diverged": 0}
    assert ("gains" in charts) == pairs.get(name, 1)
    assert ("running" in charts) == (pairs.get(name, 2) and name != "one pair")
    text = comparison.as_text(analysis, NOTES)
    assert analysis.sentences()[0].split()[0] in text
    assert ("diverged" in text) == ("diverged" in name)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("analysis", [usual, hostile])
def test_text(analysis, width):
    text = comparison.as_text(analysis(), NOTES, width)
    lines = text.split("\n")
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isprintable() and line == line.rstrip() for line in lines)
    words = " ".join(text.split())
    for sentence in [*analysis().sentences(), *NOTES]:
        if " " in sentence and len(max(sentence.split(), key=len)) < width:
            assert " ".join(printable(sentence).split()) in words
    if analysis is usual:
        (line,) = (line for line in lines if line.startswith("wgd  "))
        gain = (values_of(usual(), "wgd") - values_of(usual(), "adam")).mean()
        assert line.split()[1:3] == [usual().verdicts["wgd"], f"{100 * gain:+.2f}"]
        assert " to " in line
        assert ("Seconds" in text) == (width > 60)


def test_text_has_whole_cells():
    whole = {"Arm", "Verdict", "(points)", "p", "Trials", "(%)", "SD", "Seconds"}
    whole |= {"95", "%", "interval"}
    (low, high), unit = usual().table.select("low", "high").row(1), usual().unit
    interval = f"{unit.number(low, '+')} to {unit.number(high, '+')}"
    for width in range(60, 121, 3):
        lines = comparison.as_text(usual(), [], width).split("\n")
        (line,) = (line for line in lines if line.startswith("wgd  "))
        assert interval in line, width
        heads = next(line for line in lines if line.startswith("Arm")).split()
        assert set(heads) <= whole, width


def test_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "link.html").symlink_to(tmp_path / "elsewhere")

    def fail(*_):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(tables, "trials", fail)
        with pytest.raises(RuntimeError):
            comparison.write(usual(), path, [])
    assert path.read_text() == "before"
    assert comparison.write(usual(), tmp_path / "link.html", []).is_file()
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("elsewhere", "link.html", "page.html")
    ]
