"""Comparisons of arms with the baseline, seed by seed.

They work on any frame with a column `arm`, an enumeration whose first value is the
baseline; a column `seed`; columns that say what the runs have in common; and numbers.
"""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from keras_wgd.experiments.analysis.statistics import LEVEL, adjusted, estimates


def paired(
    frame: pl.DataFrame, measures: Iterable[str], by: Sequence[str]
) -> pl.DataFrame:
    """Put beside each row the row of the baseline.

    Args:
        frame: At most one row for each `by`, arm and seed.
        measures: Columns of numbers.
        by: Columns that the rows of a pair have in common besides the seed.

    Returns:
        The same rows, in their order, and for each measure `m` a column
        `m_baseline`: null if there is no such row, and in those of the baseline.
    """
    is_baseline = pl.col("arm").to_physical() == 0
    columns = pl.col([f"{name}_baseline" for name in measures])
    return frame.join(
        frame.filter(is_baseline).select(
            *by, "seed", pl.col(list(measures)).name.suffix("_baseline")
        ),
        on=[*by, "seed"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).with_columns(pl.when(~is_baseline).then(columns).name.keep())


def summarize(
    frame: pl.DataFrame, measures: Iterable[str], by: Sequence[str], **counts: pl.Expr
) -> pl.DataFrame:
    """Mean, interval and gain over the baseline of each arm.

    Args:
        frame: As for `paired`.
        measures: Likewise.
        by: Likewise.
        **counts: Further aggregations, by name.

    Returns:
        One row for each `by` and arm, in the order of the frame: `seeds`, the
        number of rows; `pairs`, how many of them have a baseline; `counts`; and for
        each measure `m`, as from `statistics.estimates`, the mean `m` over the
        seeds, and `m_gain`, the mean of the differences from the baseline.
    """
    measures = list(measures)
    terms = {}
    for name in measures:
        terms[name] = (pl.col(name), pl.lit(0.0))
        terms[f"{name}_gain"] = (pl.col(name), pl.col(f"{name}_baseline"))
    return estimates(
        paired(frame, measures, by),
        [*by, "arm"],
        terms,
        seeds=pl.len().cast(pl.Int64),
        pairs=pl.col(f"{measures[0]}_baseline").count().cast(pl.Int64),
        **counts,
    ).drop(f"{name}_p" for name in measures)


def verdicts(
    frame: pl.DataFrame,
    measures: Mapping[str, str],
    by: Sequence[str],
    task: Sequence[str],
) -> pl.DataFrame:
    """Judge each arm within each group of tasks.

    Args:
        frame: As for `paired`.
        measures: Columns of numbers; `"max"` if the largest is the best, or `"min"`.
        by: Columns that make a group.
        task: Columns that the rows of a pair have in common besides the seed.

    Returns:
        For each measure, group and arm with pairs, in the order of the frame and of
        the arms:

        - `measure`, the columns of `by`, and `arm`;
        - `pairs`, and in how many of them the measure is `higher` than in the
          baseline, `equal`, `lower`, and not finite (`diverged`);
        - `gain`, as from `statistics.estimates`: the mean over the seeds of the mean
          difference in a seed's pairs, because runs of one seed share weights and
          batches and are not independent. It is over those tasks that every seed
          has, or the seeds' means would be over different things;
        - `tasks`, the number of these;
        - `gain_p_adjusted`, adjusted for all comparisons of the measure;
        - `verdict`: "better", "worse" or, if that is not significant, "undecided".
    """
    pairs = paired(frame.with_row_index("row"), measures, task).sort(
        pl.col("row").min().over(by), "arm", maintain_order=True
    )
    return pl.concat(
        _verdicts(pairs, name, best, by, task) for name, best in measures.items()
    )


def _verdicts(pairs, name, best, by, task):
    """The verdicts on one measure."""
    group = [*by, "arm"]
    difference = pl.col("difference")
    is_finite = difference.is_finite()
    pairs = pairs.with_columns(
        difference=pl.col(name) - pl.col(f"{name}_baseline")
    ).drop_nulls("difference")
    outcomes = {
        "higher": is_finite & (difference > 0),
        "equal": difference == 0,
        "lower": is_finite & (difference < 0),
        "diverged": ~is_finite,
    }
    counts = pairs.group_by(group, maintain_order=True).agg(
        pairs=pl.len().cast(pl.Int64),
        **{count: outcome.sum().cast(pl.Int64) for count, outcome in outcomes.items()},
    )
    seeds = pl.col("seed").n_unique()
    by_seed = (
        pairs.filter(is_finite)
        .filter(seeds.over(*task, "arm") == seeds.over(group))
        .group_by(*group, "seed", maintain_order=True)
        .agg(difference.mean(), tasks=pl.len().cast(pl.Int64))
    )
    gains = estimates(
        by_seed,
        group,
        {"gain": (difference, pl.lit(0.0))},
        tasks=pl.col("tasks").first(),
    )
    is_significant = pl.col("gain_p_adjusted") < LEVEL
    is_better = pl.col("gain") > 0 if best == "max" else pl.col("gain") < 0
    return (
        counts.join(gains, group, how="left", nulls_equal=True, maintain_order="left")
        .with_columns(
            pl.col("tasks", "gain_n").fill_null(0),
            measure=pl.lit(name),
            gain_p_adjusted=pl.col("gain_p").map_batches(adjusted),
        )
        .with_columns(
            verdict=pl.when(is_significant & is_better)
            .then(pl.lit("better"))
            .when(is_significant)
            .then(pl.lit("worse"))
            .otherwise(pl.lit("undecided"))
        )
    )
