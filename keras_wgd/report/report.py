"""The report of a study: one page that works without a network, and its files."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from keras_wgd import pictures
from keras_wgd.experiments.analysis import curves, frames
from keras_wgd.experiments.analysis.statistics import ROUGHNESS
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import REPORT_PAGE, Result
from keras_wgd.files import printable, write_text
from keras_wgd.paper import layout
from keras_wgd.report import figures, gains, markdown, verdict

_FIGURES = "figures"


def prepare(out: Path) -> None:
    """Make the folders of a report, and see that it can be written there.

    Args:
        out: The folder for it.

    Raises:
        ValueError: If it cannot, or the folder, or the one for the figures, is a
            link: it may be in a stranger's folder, and lead anywhere.
    """
    for folder in (out, out / _FIGURES):
        if folder.is_symlink():
            raise ValueError(
                "out must be a folder, and its figures another, and neither a link. "
                f"Received: {printable(folder)}, a link"
            )
        results.prepare(folder, [])


def write(out: Path, found: Sequence[Result], problems: Sequence[str]) -> list[Path]:
    """Write the report of some results; the same results give the same bytes.

    Args:
        out: The folder for it; it is made where it is missing.
        found: The results, at least one.
        problems: Lines on what was not used.

    Returns:
        What was written: `tables.md`, `report.html`, what `frames.write` does, and
        the figures, as PNG and as SVG.

    Raises:
        ValueError: As `prepare`.
    """
    prepare(out)
    version = pictures.vega_lite()
    with pictures.processes() as pool:
        vega = pool.submit(pictures.bundle, version)
        runs, epochs, summary = _numbers(found)
        drawn = figures.draw(runs, epochs, summary)
        drawings = [
            pool.submit(pictures.draw, out / _FIGURES, name, spec, version)
            for name, spec in drawn.items()
        ]
        words = _page(found, problems, drawn, runs, summary, vega.result())
        texts = {"tables.md": markdown.tables(runs, summary), REPORT_PAGE: words}
        for name, text in texts.items():
            write_text(out / name, text)
        written = frames.write(out, runs, epochs, summary)
        pairs = [drawing.result() for drawing in drawings]
    return [
        *(out / name for name in texts),
        *written,
        *(path for pair in pairs for path in pair),
    ]


def page(
    found: Sequence[Result],
    problems: Sequence[str],
    drawn: Mapping[str, dict[str, Any]],
) -> str:
    """The page, with all that it needs inside.

    Args:
        found: The results.
        problems: Lines on what was not used.
        drawn: The charts, as `figures.figures` gives them.
    """
    runs, _, summary = _numbers(found)
    vega = pictures.bundle(pictures.vega_lite())
    return _page(found, problems, drawn, runs, summary, vega)


def _numbers(found):
    """A row for each run, for each epoch of it, and for each arm."""
    runs = frames.frame(found)
    return runs, curves.frame(found), frames.summarize(runs)


def _page(found, problems, drawn, runs, summary, vega):
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_wgd.report", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    scripts = [vega, environment.get_template("report.js").render()]
    judged = verdict.judged(runs, "accuracy")
    metrics = layout.metric_tables(summary)
    return environment.get_template("report.html").render(
        policy=_policy(scripts),
        vega=scripts[0],
        script=scripts[1],
        style=environment.get_template("report.css").render(),
        runs=len(found),
        settings=len(metrics),
        verdict=verdict.words(runs),
        gains=gains.table(judged) if judged else None,
        paper=verdict.paper_words(),
        roughness=ROUGHNESS,
        metric_tables=metrics,
        roughness_tables=layout.roughness_tables(summary),
        captions=[
            _caption(number, name, spec)
            for number, (name, spec) in enumerate(drawn.items(), start=1)
        ],
        # The captions say what the titles would.
        specs={
            name: {key: part for key, part in spec.items() if key != "title"}
            for name, spec in drawn.items()
        },
        problems=[printable(problem) for problem in problems],
        environments=_environments(found),
    )


def _policy(scripts):
    """A content security policy: these scripts, and nothing from anywhere."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _caption(number, name, spec):
    """A figure's name, its title with its number, and what is said below that."""
    title = spec["title"]
    return name, f"Figure {number}. {title['text']}", ". ".join(title["subtitle"])


def _environments(found):
    """Each environment's entries as printable text, and how many runs are from it."""
    texts = Counter(
        json.dumps(result.environment, sort_keys=True, default=str) for result in found
    )
    return [
        (count, [tuple(map(printable, entry)) for entry in _entries(json.loads(text))])
        for text, count in sorted(texts.items())
    ]


def _entries(tree, prefix=""):
    for name, value in sorted(tree.items()):
        if isinstance(value, dict):
            yield from _entries(value, f"{prefix}{name} ")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}", text
