"""Writes the numbers of the study into the pages, from the committed results.

    python docs/results.py

It replaces the text between `<!-- NAME -->` and `<!-- end -->`, and writes the tables
and figures of examples/results. The test suite checks that all are up to date.
"""

import re
import tempfile
from pathlib import Path

import polars as pl

from keras_wgd import pictures
from keras_wgd.experiments import optimizers
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.analysis.statistics import adjusted
from keras_wgd.experiments.store import collection
from keras_wgd.paper import published
from keras_wgd.report import cells, layout, report, verdict
from keras_wgd.report.cells import Cell, Table
from keras_wgd.report.figures import figures

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "examples/results"
PAGES = ("results.md", "how-to/choose.md")
FIGURES = ("gains", "norm-ratio-resnet8-cifar100")
ARMS = ("plain", "filters", "fan_in")


def read() -> Analysis:
    """The numbers of the study on CPUs."""
    results, problems = collection.collect([RESULTS / "cpu"])
    assert not problems
    return Analysis.of(results)


def tables(analysis: Analysis) -> str:
    """The content of examples/results/tables.md."""
    return report.tables(analysis, verdict.judge(analysis.runs))


def drawings(analysis: Analysis) -> dict[str, str]:
    """The content of the SVG files in examples/results/figures, by name."""
    drawn = figures(analysis, verdict.judge(analysis.runs))
    with tempfile.TemporaryDirectory() as folder:
        some = {name: drawn[name] for name in FIGURES}
        written = pictures.write(Path(folder), some, pictures.vega_lite())
        files = [path for path in written if path.suffix == ".svg"]
        return {path.name: path.read_text("utf-8") for path in files}


def page(name: str, analysis: Analysis) -> str:
    """The content of a page.

    Args:
        name: One of `PAGES`.
        analysis: The numbers.
    """
    text = (DOCS / name).read_text("utf-8")
    for mark, part in parts(analysis).items():
        between = f"<!-- {mark} -->\n\n{part}\n\n<!-- end -->"
        pattern = f"<!-- {mark} -->.*?<!-- end -->"
        text = re.sub(pattern, lambda _, new=between: new, text, flags=re.DOTALL)
    return text


def parts(analysis: Analysis) -> dict[str, str]:
    """What is written into the pages, by name."""
    (gain, gains), (change, changes) = verdict.sections(verdict.judge(analysis.runs))
    cifar100, animals10 = layout.metric_tables(analysis.summary)
    return {
        "accuracy": f"{gain}\n\n{gains.grid()}",
        "smoothness": f"{change}\n\n{changes.grid()}",
        "test-roughness": _test_roughness(analysis.runs).grid(),
        "cifar100": cifar100.grid(),
        "animals10": animals10.grid(),
        "tuned": _tuned(analysis.summary).grid(),
    }


def _tuned(summary: pl.DataFrame) -> Table:
    """Accuracy on CIFAR-100 at the tuned rates, a row for each optimizer."""
    tuned = summary.filter(
        pl.col("dataset") == "cifar100",
        pl.col("learning_rate") != published.LEARNING_RATE,
    )
    rows = []
    for block in layout.blocks(tuned):
        by_arm = {row["arm"]: row for row in block}
        gain, interval, *_ = cells.gain_cells(
            by_arm["fan_in"], "accuracy_gain", "accuracy"
        )
        plain = by_arm["plain"]
        rows.append(
            (
                Cell(text=optimizers.of(plain["optimizer"]).label),
                Cell(text=f"{plain['learning_rate']:g}"),
                *(Cell(text=f"{100 * by_arm[arm]['accuracy']:.2f}") for arm in ARMS),
                Cell(text=gain.text, note=interval.text),
            )
        )
    heads = ("optimizer", "rate", "plain", "`filters`", "`fan_in`")
    last = "gain of `fan_in` (95 % interval)"
    return Table(title="", heads=(*heads, last), blocks=(tuple(rows),), notes=())


def _test_roughness(runs: pl.DataFrame) -> Table:
    """The roughness of the test loss on CIFAR-100 at the tuned rates."""
    verdicts = verdict.judge(runs, ["test_roughness", "train_roughness"])
    verdicts = verdicts.with_columns(p_both=pl.col("gain_p").map_batches(adjusted))
    rows = []
    for row in verdicts.filter(
        measure="test_roughness", dataset="cifar100", at_paper_rate=False
    ).iter_rows(named=True):
        numbers = cells.gain_cells(row, "gain", "test_roughness")
        texts = [f"`{row['arm']}`", *(number.text for number in numbers)]
        texts.append(cells.p_text(row["p_both"]))
        rows.append(tuple(Cell(text=text) for text in texts))
    return Table(
        title="",
        heads=(
            *("WGD", "change in roughness of the test loss", "95 % interval", "p"),
            *("p adjusted for 6", "p adjusted for 12"),
        ),
        blocks=(tuple(rows),),
        notes=(),
    )


def main() -> None:
    """Write the pages, the tables and the figures."""
    analysis = read()
    for name in PAGES:
        (DOCS / name).write_text(page(name, analysis), "utf-8")
    (RESULTS / "tables.md").write_text(tables(analysis), "utf-8")
    for name, text in drawings(analysis).items():
        (RESULTS / "figures" / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
