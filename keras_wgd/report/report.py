"""The report of a study: one page that works without a network, and its files."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from keras_wgd import pictures
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.analysis.frames import KEYS
from keras_wgd.experiments.analysis.statistics import ROUGHNESS
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import REPORT_PAGE
from keras_wgd.files import printable, write_text
from keras_wgd.paper import published
from keras_wgd.report import html, layout, verdict
from keras_wgd.report.charts import Chart
from keras_wgd.report.figures import figures

_FIGURES = "figures"


def _prepare(out: Path) -> None:
    """Make the folders of a report, and check that it can be written there.

    Links are refused: in a stranger's folder they may lead anywhere.
    """
    for folder in (out, out / _FIGURES):
        if folder.is_symlink():
            raise ValueError(
                "out must be a folder, and its figures another, and neither a link. "
                f"Received: {printable(folder)}, a link"
            )
        results.prepare(folder, [])


def write(out: Path, analysis: Analysis, problems: Sequence[str]) -> list[Path]:
    """Write the report of a study, and return the files: texts, numbers and figures.

    `problems` says what was not used. The same results give the same bytes.
    """
    _prepare(out)
    version = pictures.vega_lite()
    with pictures.processes() as pool:
        vega = pool.submit(pictures.bundle, version)
        verdicts = verdict.judge(analysis.runs)
        drawn = figures(analysis, verdicts)
        drawings = [
            pool.submit(pictures.draw, out / _FIGURES, name, spec, version)
            for name, spec in drawn.items()
        ]
        texts = {
            "verdict.md": verdict.markdown(analysis.runs, verdicts),
            "tables.md": tables(analysis, verdicts),
            REPORT_PAGE: page(analysis, verdicts, problems, drawn, vega.result()),
        }
        for name, text in texts.items():
            write_text(out / name, text)
        written = analysis.write(out)
        pairs = [drawing.result() for drawing in drawings]
    return [
        *(out / name for name in texts),
        *written,
        *(path for pair in pairs for path in pair),
    ]


def tables(analysis: Analysis, verdicts: pl.DataFrame) -> str:
    """Every table in Markdown, the paper's figures in brackets."""
    found = [
        *(table for _, table in verdict.sections(verdicts)),
        *layout.metric_tables(analysis.summary),
        *layout.roughness_tables(analysis.summary),
    ]
    return "\n".join(table.markdown() for table in found)


def page(
    analysis: Analysis,
    verdicts: pl.DataFrame,
    problems: Sequence[str],
    drawn: Mapping[str, Chart],
    vega: str,
) -> str:
    """The page, with all that it needs inside: `vega` is that of `pictures.bundle`."""
    metrics = layout.metric_tables(analysis.summary)
    return html.render(
        "report.html",
        drawn,
        vega,
        runs=len(analysis.runs),
        settings=len(metrics),
        headline=verdict.headline(verdicts),
        diverged=verdict.diverged(analysis.runs),
        verdicts=verdict.sections(verdicts),
        paper=published.claim(),
        roughness=ROUGHNESS,
        metric_tables=metrics,
        roughness_tables=layout.roughness_tables(analysis.summary),
        problems=[printable(problem) for problem in problems],
        environments=_environments(analysis.long),
    )


def _environments(long):
    """Each environment's entries as printable text, and how many runs are from it."""
    counts = Counter(long.unique(KEYS)["environment"])
    return [
        (count, [tuple(map(printable, entry)) for entry in _entries(json.loads(text))])
        for text, count in sorted(counts.items())
    ]


def _entries(tree: dict[str, Any], prefix: str = ""):
    for name, value in sorted(tree.items()):
        if isinstance(value, dict):
            yield from _entries(value, f"{prefix}{name} ")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}", text
