"""The paired gains: what WGD adds to the accuracy of a plain run of the same seed."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from keras_wgd.experiments.analysis.comparisons import PAPER_RATE
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.paper import cells, labels
from keras_wgd.paper.cells import Cell, Table
from keras_wgd.report.verdict import Judged

# What the outcome of a comparison is called in a table.
_RESULTS = {"higher": "gain", "lower": "loss", "open": "open"}
# What the mean over all optimizers of a comparison is called in the forest plot.
POOLED = "all"


def table(judged: Sequence[Judged]) -> Table:
    """One row for each comparison: does this WGD help with these runs?

    Args:
        judged: The verdicts on the accuracy.
    """
    groups: dict[str, list[tuple[Cell, ...]]] = {}
    for found in judged:
        groups.setdefault(found.group, []).append(_row(found))
    return Table(
        title="Gain in accuracy, by comparison",
        heads=(
            *("Comparison", "Gain", "95 % interval", "p adjusted", "Result"),
            *("Pairs", "Higher / same / lower"),
        ),
        blocks=tuple(map(tuple, groups.values())),
        notes=(
            "Gain: accuracy less that of the plain run of the same seed, in percentage "
            "points, averaged first over the optimizers and learning rates that every "
            "seed has; with its 95 % interval over the seeds. P adjusted: of a paired "
            "t test, for all comparisons (Benjamini and Hochberg). Result: "
            f"gain or loss where p adjusted is below {LEVEL:g}; else open: these runs "
            "do not tell. Higher, same and lower: in how many pairs of runs the "
            "accuracy with WGD is so.",
        ),
    )


def forest(summary: pl.DataFrame, judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """The rows of the forest plot: each optimizer, then all of a comparison.

    Args:
        summary: As `frames.summarize` gives it.
        judged: The verdicts on the accuracy.

    Returns:
        A row for each optimizer, learning rate and arm that has pairs, with the
        numbers of `summary`, and one for each comparison, with those of `judged`;
        in percentage points.
    """
    found: list[tuple[tuple, dict[str, Any]]] = []
    groups = list(dict.fromkeys(one.group for one in judged))
    for one in judged:
        group = groups.index(one.group)
        verdict = one.verdict
        of_group = {**verdict.setting, "arm": verdict.arm}
        part = summary.filter(
            *(pl.col(name).eq_missing(value) for name, value in of_group.items()),
            (pl.col("learning_rate") == PAPER_RATE) == verdict.at_paper_rate,
            pl.col("pairs") > 0,
        )
        ends = ("", "_low", "_high", "_p", "_p_adjusted")
        for row in part.iter_rows(named=True):
            numbers = [row[f"accuracy_gain{end}"] for end in ends]
            place = (list(OPTIMIZERS).index(row["optimizer"]), row["learning_rate"])
            point = _point(one, labels.block_name(row), row["pairs"], numbers)
            found.append(((group, *place), point))
        mean = verdict.difference
        if verdict.blocks > 1:
            pooled = (mean.mean, mean.low, mean.high, mean.p, one.p)
            point = _point(one, POOLED, verdict.pairs, pooled)
            found.append(((group, len(OPTIMIZERS), 0), point))
    return [point for _, point in sorted(found, key=lambda pair: pair[0])]


def _row(found):
    verdict, mean = found.verdict, found.verdict.difference
    gain, interval, _, p = cells.number_cells(
        (mean.mean, mean.low, mean.high, mean.p, found.p), "accuracy"
    )
    counts = (verdict.higher, verdict.equal, verdict.lower)
    return (
        Cell(text=labels.arm_name(verdict.arm), note=found.group),
        *(gain, interval, p),
        Cell(text=_RESULTS[found.outcome], bold=gain.bold),
        Cell(text=str(verdict.pairs), value=verdict.pairs),
        Cell(text=" / ".join(map(str, counts)), value=verdict.higher),
    )


def _point(judged, block, pairs, numbers):
    mean, low, high, p, p_adjusted = numbers
    scaled = (None if n is None else 100 * n for n in (mean, low, high))
    return {
        **{"panel": judged.group, "block": block},
        "arm": labels.arm_name(judged.verdict.arm),
        **dict(zip(("mean", "low", "high"), scaled, strict=True)),
        **{"pairs": pairs, "p": p, "p adjusted": p_adjusted},
        "significant": cells.is_significant(p_adjusted),
    }
