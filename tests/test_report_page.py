"""The report in a browser, without a network."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from studies import study

from keras_wgd.study import report
from keras_wgd.study.presets import preset

pytestmark = pytest.mark.any_backend

RESULTS = Path(__file__).parents[1] / "examples" / "results"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LINES = "#chart-figure-7-accuracy-densenet121-cifar100"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report.write(folder, study(), ["<b>folder</b> is missing"])
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        reason = "needs chromium on the PATH: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, path):
    """Opens the report, and sees at the end that nothing went wrong in it."""
    contexts, wrong = [], []

    def open_it(width=1280, scheme="light", path=path):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda line: wrong.append(line.text) if line.type == "error" else None,
        )
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith("file:") else wrong.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert wrong == []


def test_every_chart_is_drawn(open_page, path):
    page = open_page()
    pictures = {found.stem for found in (path.parent / "figures").glob("*.svg")}
    drawn = page.eval_on_selector_all(
        ".chart:has(svg path)", "charts => charts.map(chart => chart.id)"
    )
    assert sorted(drawn) == sorted(f"chart-{name}" for name in pictures)
    assert page.title() == "Whitened gradient descent: report"


def test_the_committed_results_make_a_page(open_page, tmp_path):
    found, problems = report.collect(sorted(RESULTS.glob("cpu*")))
    assert problems == []
    wanted = {spec for name in ("cpu", "cpu-sweep") for spec in preset(name).runs()}
    assert {result.spec for result in found} == wanted
    report.write(tmp_path, found, problems)
    page = open_page(path=tmp_path / "report.html")
    assert page.locator(".chart:has(svg path)").count() >= 10
    text = page.inner_text("body")
    assert "WGD filters" in text
    assert "resnet8 on CIFAR-100" in text


def opacities(page, colour):
    """Of the lines of a colour, in the first chart."""
    return page.eval_on_selector_all(
        f"{LINES} .mark-line path[stroke='{colour}']",
        "lines => lines.map(line => Number(line.getAttribute('opacity') ?? 1))",
    )


def test_a_legend_entry_switches_its_lines_off_and_on(open_page):
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


def test_a_point_shows_its_numbers(open_page):
    page = open_page()
    page.locator(f"{LINES} .mark-symbol.role-mark path").last.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert {"Arm", "Epoch", "Accuracy (%)", "Seeds"} <= set(
        tooltip.inner_text().replace(":", "\t").replace("\n", "\t").split("\t")
    )


def column(page, number):
    return page.eval_on_selector_all(
        f"section.table:first-of-type tbody tr > :nth-child({number})",
        "cells => cells.map(cell => cell.innerText.split('\\n')[0])",
    )


def test_a_table_is_sorted_by_a_head(open_page):
    page = open_page()
    order = column(page, 1)
    heads = page.locator("section.table").first.locator("thead th")
    accuracy = heads.nth(3)
    accuracy.locator("button").focus()
    for direction, reverse in (("ascending", False), ("descending", True)):
        page.keyboard.press("Enter")
        values = [float(text.split(" ")[0]) for text in column(page, 4)]
        assert values == sorted(values, reverse=reverse)
        assert accuracy.get_attribute("aria-sort") == direction
    assert page.locator("section.table").first.locator("[aria-sort]").count() == 1
    gain = heads.nth(8).locator("button")
    for _ in range(2):
        gain.click()
        gains = column(page, 9)
        assert gains[0] != ""
        assert gains[-1] == ""
    heads.first.locator("button").click()
    assert column(page, 1) == order


def colours(page):
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
    light = colours(page)
    assert light[0] == "rgb(255, 255, 255)"
    assert light[1] == light[2]
    dark = colours(open_page(scheme="dark"))
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.locator("#theme").click()
    assert colours(page) == dark
    page.emulate_media(media="print")
    assert colours(page) == light
    page.emulate_media(media="screen")
    page.locator("#theme").click()
    assert colours(page) == light


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_is_no_wider_than_its_window(open_page, width):
    page = open_page(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    if width == 375:
        assert page.eval_on_selector_all(".scroll", wide) > 0


def test_problems_are_text(open_page):
    page = open_page()
    assert page.locator("#problems").inner_text() == "<b>folder</b> is missing"
