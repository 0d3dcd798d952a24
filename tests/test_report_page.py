"""The report in a browser, without a network."""

from pathlib import Path

import pytest
from support import browser
from support.charts import charts_of
from support.studies import study

from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.store import collection
from keras_wgd.presets import preset
from keras_wgd.report import report

pytestmark = [pytest.mark.slow, pytest.mark.any_backend]

RESULTS = Path(__file__).parents[1] / "examples" / "results"

LINES = "#chart-accuracy-densenet121-cifar100"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report.write(folder, Analysis.of(study()), ["<b>folder</b> is missing"])
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as found:
        yield found


@pytest.fixture
def open_page(chromium, path):
    """Opens the report, and sees at the end that nothing went wrong in it."""
    with browser.pages(chromium, path) as open_it:
        yield open_it


def test_charts(open_page, path):
    page = open_page()
    pictures = {found.stem for found in (path.parent / "figures").glob("*.svg")}
    marks = page.eval_on_selector_all(
        ".chart",
        """charts => charts.map(chart => [
            chart.id,
            chart.querySelectorAll(".mark-symbol.role-mark path").length,
        ])""",
    )
    found = charts_of(study())
    rows = {
        f"chart-{name}": sum(map(len, chart["datasets"].values()))
        for name, chart in found.items()
    }
    for row in found["accuracy-all-cifar100"]["datasets"]["rows_0"]:
        rows["chart-accuracy-all-cifar100"] += row["paper"] is not None
    assert dict(marks) == rows  # a dot for each row, and for each of the paper's
    assert {name for name, _ in marks} == {f"chart-{name}" for name in pictures}
    assert page.title() == "Whitened gradient descent: report"


def test_committed_results(open_page, tmp_path):
    found, problems = collection.collect(sorted(RESULTS.glob("cpu*")))
    assert problems == []
    wanted = {spec for name in ("cpu", "cpu-sweep") for spec in preset(name).runs()}
    assert {result.spec for result in found} == wanted
    report.write(tmp_path, Analysis.of(found), problems)
    page = open_page(path=tmp_path / "report.html")
    assert page.locator(".chart:has(svg path)").count() >= 10
    text = page.inner_text("body")
    assert "WGD filters" in text
    assert "resnet8 on CIFAR-100" in text


def opacities(page, color):
    """Of the lines of a color, in the first chart."""
    return page.eval_on_selector_all(
        f"{LINES} .mark-line path[stroke='{color}']",
        "lines => lines.map(line => Number(line.getAttribute('opacity') ?? 1))",
    )


def test_legend_click_hides_lines(open_page):
    page = open_page()
    grey, blue = "#7a7a7a", "#0072b2"
    lines = (len(opacities(page, grey)), len(opacities(page, blue)))
    assert lines[0] > 0
    assert lines[1] > 0
    entry = page.locator(f"{LINES} .role-legend-label text", has_text="WGD filters")
    for blue_opacity in (0.06, 1.0):
        entry.click()
        page.wait_for_timeout(100)
        assert opacities(page, grey) == [1.0] * lines[0]
        assert opacities(page, blue) == [blue_opacity] * lines[1]


def test_tooltip(open_page):
    page = open_page()
    page.locator(f"{LINES} .mark-symbol.role-mark path").last.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert {"Arm", "Epoch", "Mean", "Seeds"} <= set(
        tooltip.inner_text().replace(":", "\t").replace("\n", "\t").split("\t")
    )


TABLE = "section[aria-labelledby=metrics-1]"


def column(page, number):
    return page.eval_on_selector_all(
        f"{TABLE} tbody tr > :nth-child({number})",
        "cells => cells.map(cell => cell.innerText.split('\\n')[0])",
    )


def test_sorting(open_page):
    page = open_page()
    order = column(page, 1)
    heads = page.locator(f"{TABLE} thead th")
    accuracy = heads.nth(3)
    accuracy.locator("button").focus()
    for direction, reverse in (("ascending", False), ("descending", True)):
        page.keyboard.press("Enter")
        values = [float(text.split(" ")[0]) for text in column(page, 4)]
        assert values == sorted(values, reverse=reverse)
        assert accuracy.get_attribute("aria-sort") == direction
    assert page.locator(f"{TABLE} [aria-sort]").count() == 1
    gain = heads.nth(4).locator("button")
    for _ in range(2):
        gain.click()
        gains = column(page, 5)
        assert gains[0] != ""
        assert gains[-1] == ""
    heads.first.locator("button").click()
    assert column(page, 1) == order


def colors(page):
    """Of the page, of its text, and of all texts in its charts."""
    texts = page.eval_on_selector_all(
        ".chart svg text", "texts => texts.map(text => getComputedStyle(text).fill)"
    )
    (fill,) = set(texts)
    return [
        page.evaluate("getComputedStyle(document.body).backgroundColor"),
        page.evaluate("getComputedStyle(document.body).color"),
        fill,
    ]


def test_light_and_dark(open_page):
    page = open_page()
    light = colors(page)
    assert light[0] == "rgb(255, 255, 255)"
    assert light[1] == light[2]
    dark = colors(open_page(scheme="dark"))
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.locator("#theme").click()
    assert colors(page) == dark
    page.emulate_media(media="print")
    assert colors(page) == light
    page.emulate_media(media="screen")
    page.locator("#theme").click()
    assert colors(page) == light


BOX = "element => element.getBoundingClientRect().toJSON()"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The page of the results that are kept: the widest tables, eight panels a row."""
    folder = tmp_path_factory.mktemp("kept")
    results, problems = collection.collect([RESULTS / "cpu"])
    report.write(folder, Analysis.of(results), problems)
    return folder / "report.html"


@pytest.mark.parametrize("width", [360, 420, 800, 1400])
def test_width(open_page, kept, width):
    page = open_page(width=width, path=kept)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for figure in page.locator(".chart").all():
        box, svg = figure.evaluate(BOX), figure.locator("svg").evaluate(BOX)
        assert svg["right"] <= box["right"] + 1
        assert box["right"] <= width
        # Not because it is scaled down: its letters keep their size.
        scale = figure.locator("svg").evaluate(
            "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
        )
        assert scale > 0.9, figure.get_attribute("id")


def test_resize(open_page, kept):
    page = open_page(width=1400, path=kept)
    chart = page.locator("#chart-accuracy-resnet8-cifar100 svg")
    wide = chart.evaluate(BOX)
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_function(
        "name => document.querySelector(name).viewBox.baseVal.width < 420",
        arg="#chart-accuracy-resnet8-cifar100 svg",
    )
    page.wait_for_selector("html[data-drawn]", state="attached")
    narrow = chart.evaluate(BOX)
    assert narrow["width"] < 420 < 1000 < wide["width"]
    assert narrow["height"] > 1.5 * wide["height"]  # fewer panels in a row


def test_first_screen(open_page, kept):
    page = open_page(width=1400, path=kept)
    page.set_viewport_size({"width": 1400, "height": 900})
    for place in ("#words p", "#first table", "#chart-gains .mark-symbol"):
        for element in page.locator(place).all():
            box = element.evaluate(BOX)
            assert 0 <= box["top"] < box["bottom"] <= 900, place
    assert page.locator("#words p").count() == 1
    assert page.locator("#words p").inner_text().count(".") == 2  # one, and of 0.05
    assert page.locator("#first tbody tr").count() == 6


def test_numbers_of_figures(open_page, kept):
    page = open_page(path=kept)
    titles = page.locator("figcaption strong").all_inner_texts()
    assert [title.partition(".")[0] for title in titles] == [
        f"Figure {number}" for number in range(1, len(titles) + 1)
    ]
    assert titles[0] == "Figure 1. Gain in accuracy with WGD"
    assert not any("of the paper" in title for title in titles)  # it has no resnet8
    order = [name for title in titles for name in ("CIFAR", "Animals") if name in title]
    assert order == [*sorted(order[:-2], reverse=True), "CIFAR", "Animals"]


def test_narrow_table(open_page, kept):
    page = open_page(width=420, path=kept)
    table = page.locator(TABLE)
    scroll, head = table.locator(".scroll"), table.locator("tbody th").first
    before = head.evaluate(BOX)
    hint = table.locator(".hint")
    assert hint.is_visible()
    assert table.locator(".edges.more").count() == 1
    heads = table.locator("thead th")
    assert heads.nth(3).inner_text() == "Accuracy"
    gain = heads.nth(4)
    assert gain.inner_text() == "Gain"
    assert gain.evaluate(BOX)["right"] <= scroll.evaluate(BOX)["right"] + 1
    scroll.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    page.wait_for_timeout(100)
    assert head.evaluate(BOX)["left"] == before["left"]
    assert heads.last.evaluate(BOX)["right"] <= scroll.evaluate(BOX)["right"] + 1
    head.scroll_into_view_if_needed()
    assert head.evaluate(
        """head => {
            const { left, top, width, height } = head.getBoundingClientRect();
            const at = [left + width / 2, top + height / 2];
            return head.contains(document.elementFromPoint(...at));
        }"""
    )
    assert table.locator(".edges.more").count() == 0
    wide = open_page(width=1400, path=kept).locator(TABLE)
    assert not wide.locator(".hint").is_visible()
    assert wide.locator(".edges.more").count() == 0


def test_hostile_problems_are_text(open_page):
    page = open_page()
    assert page.locator("#problems").inner_text() == "<b>folder</b> is missing"
