"""Pages in a browser, without a network."""

import contextlib
import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

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


@contextlib.contextmanager
def launched():
    """A browser; without one the test is skipped, or fails where tests must run."""
    if CHROMIUM is None:
        reason = "needs chromium on the PATH: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS])
        yield chromium
        chromium.close()


@contextlib.contextmanager
def pages(chromium, usual_path=None):
    """What opens a page with drawn charts; at the end nothing went wrong in any."""
    contexts, wrong = [], []

    def open_it(width=1280, scheme="light", path=usual_path):
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda line: (
                wrong.append(line.text) if line.type in ("error", "warning") else None
            ),
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
