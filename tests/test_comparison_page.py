"""The report of a comparison in a browser, without a network."""

import dataclasses

import pytest
from support import browser
from support.hostile import HOSTILE
from support.trials import random_trials

from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.trial_frames import Question
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable
from keras_wgd.report import comparison

pytestmark = [pytest.mark.slow, pytest.mark.any_backend]

SEEDS, EPOCHS = 4, 10
PLAIN = ("adam", "wgd", "lion")
# Polars has no half letters.
NAMES = tuple(text for text in HOSTILE if not text.startswith("\ud800"))
BOX = "element => element.getBoundingClientRect().toJSON()"


def write(path, arms, logs=(), seeds=SEEDS):
    trials = random_trials(
        dict.fromkeys(arms, 0.0),
        seeds=seeds,
        epochs=EPOCHS,
        diverged=[(arms[1], 1)],
    )
    trials = [
        dataclasses.replace(
            trial, curves=trial.curves | dict.fromkeys(logs, trial.curves["loss"])
        )
        for trial in trials
    ]
    question = Question(
        arms=arms,
        monitor=logs[0] if logs else "val_accuracy",
        best="max",
        tail=0.3,
        design=Design((4,)),
        margin=0.005,
    )
    return comparison.write(TrialAnalysis(question, trials), path, HOSTILE)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    return {
        "usual": write(folder / "usual.html", PLAIN),
        "hostile": write(folder / "hostile.html", NAMES[:6], NAMES[6:]),
        "one pair": write(folder / "one.html", PLAIN[:2], seeds=1),
    }


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as found:
        yield found


@pytest.fixture
def open_page(chromium, written):
    with browser.pages(chromium, written["usual"]) as open_it:
        yield open_it


def marks(page, chart, kind):
    return page.locator(f"#chart-{chart} .mark-{kind}.role-mark path").count()


def test_marks(open_page):
    page = open_page()
    assert marks(page, "gains", "symbol") == 2 * SEEDS  # a dot for each pair
    assert marks(page, "running", "symbol") == 2 * (SEEDS - 1)  # from two pairs on
    # A line for each trial and a mean for each arm, in each of three panels. A trial
    # that diverges in the middle has no line in the second half.
    lines = 3 * len(PLAIN) * (SEEDS + 1)
    assert lines - 1 <= marks(page, "curves", "line") <= lines
    assert page.locator("#words p").count() >= len(PLAIN) - 1
    assert page.locator("#notes li").count() == len(HOSTILE)


def test_tooltip(open_page):
    page = open_page()
    page.locator("#chart-gains .mark-symbol.role-mark path").last.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert {"Arm", "Seed", "Gain"} <= set(
        tooltip.inner_text().replace(":", "\t").replace("\n", "\t").split("\t")
    )


@pytest.mark.parametrize("name", ["usual", "hostile", "one pair"])
@pytest.mark.parametrize("width", [360, 420, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_width(open_page, written, name, width, scheme):
    page = open_page(width=width, scheme=scheme, path=written[name])
    assert page.title() == "Comparison of optimizers: report"
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for figure in page.locator(".chart").all():
        box, svg = figure.evaluate(BOX), figure.locator("svg").evaluate(BOX)
        assert svg["right"] <= box["right"] + 1
        # Not because it is scaled down: its letters keep their size.
        scale = figure.locator("svg").evaluate(
            "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
        )
        assert scale > 0.9, figure.get_attribute("id")
    for table in page.locator("section.table").all():
        head = table.locator("tbody th").first.evaluate(BOX)
        assert head["width"] <= max(0.45 * width, 160)


def test_hostile_names_are_text(open_page, written):
    page = open_page(path=written["hostile"])
    text = page.inner_text("main")
    for name in NAMES[:6]:
        assert f"{printable(name)} " in text
    assert page.locator("main img, main b, main script").count() == 0
    assert page.locator("#chart-curves .role-legend-label text").count() == 6
    page.locator("#chart-gains .mark-symbol.role-mark path").nth(4).hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "<img src=x" in tooltip.inner_text()
    assert tooltip.locator("img").count() == 0
