"""The tables of a study as Markdown."""

import polars as pl

from keras_wgd.paper import layout
from keras_wgd.report import gains, verdict


def tables(runs: pl.DataFrame, summary: pl.DataFrame) -> str:
    """Every table, the paper's figures in brackets.

    Args:
        runs: As `frames.frame` gives them.
        summary: As `frames.summarize` gives it.
    """
    judged = verdict.judged(runs, "accuracy")
    found = [gains.table(judged)] if judged else []
    found += [*layout.metric_tables(summary), *layout.roughness_tables(summary)]
    return "\n".join(table.markdown() for table in found)
