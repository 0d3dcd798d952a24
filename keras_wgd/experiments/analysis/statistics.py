"""Means, intervals and paired tests over the seeds of a study."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

CONFIDENCE = 0.95
# A difference is significant if its adjusted p value is lower.
LEVEL = 0.05
# Relative to the largest value: smaller differences are due to rounding.
ROUNDING = 1e-12

ROUGHNESS = (
    "Roughness is the root mean square of the second difference of a loss curve: with "
    "l(t) the loss after epoch t and d(t) = l(t) - l(t-1), it is the root of the mean "
    "of (d(t+1) - d(t))^2, in nats per epoch. It is 0 for a straight line, and needs "
    "three epochs."
)


def estimates(
    frame: pl.DataFrame,
    by: Sequence[str],
    differences: Mapping[str, tuple[pl.Expr, pl.Expr]],
    **counts: pl.Expr,
) -> pl.DataFrame:
    """Mean differences with Student's 95 % intervals and tests, for each group.

    Args:
        frame: A row for each value.
        by: The columns that make a group.
        differences: By name, what is subtracted from what; zero gives plain means.
        **counts: Further aggregations, by name.

    Returns:
        One row for each group, in the order of the frame: `by`, `counts`, and for
        each name `m` the mean of the finite differences, `m`; its interval,
        `m_low` and `m_high`; their number, `m_n`; and `m_p`, of the two-sided t
        test that the mean is zero. There is no interval and no p value for fewer
        than two differences, nor if all are the same but for rounding: they do not
        tell how much others would differ. What is missing or overflows is null.
    """
    from scipy import stats

    found = frame.group_by(by, maintain_order=True).agg(
        *(count.alias(name) for name, count in counts.items()),
        *(
            moment
            for name, terms in differences.items()
            for moment in _moments(name, *terms)
        ),
    )
    columns: list[str | pl.Series] = [*by, *counts]
    for name in differences:
        mean, n, std = (found[f"{name}{end}"].to_numpy() for end in ("", "_n", "_std"))
        with np.errstate(all="ignore"):  # numbers near 1e308 overflow
            error = std / np.sqrt(n)
            low, high = stats.t.interval(CONFIDENCE, n - 1, mean, error)
            p = 2 * stats.t.sf(np.abs(mean / error), n - 1)
        for end, numbers in {"": mean, "_low": low, "_high": high, "_p": p}.items():
            finite = np.where(np.isfinite(numbers), numbers, np.nan)
            columns.append(pl.Series(f"{name}{end}", finite).fill_nan(None))
        columns.append(f"{name}_n")
    return found.select(columns)


def adjusted(p_values: pl.Series) -> pl.Series:
    """P values adjusted for their number, by Benjamini and Hochberg.

    Args:
        p_values: Those of one family of tests; null where there was no test.

    Returns:
        In the same order. Of the differences whose adjusted p value is below 0.05,
        at most one in twenty is false on average.
    """
    from scipy import stats

    found = p_values.cast(pl.Float64).to_numpy().copy()
    tested = ~np.isnan(found)
    found[tested] = stats.false_discovery_control(found[tested], method="bh")
    return pl.Series(p_values.name, found).fill_nan(None)


def roughness(curve: str) -> pl.Expr:
    """The roughness of a loss curve (see `ROUGHNESS`), in nats per epoch.

    Args:
        curve: The column of the losses after each epoch, in nats.

    Returns:
        An aggregation: null for fewer than three epochs, and not finite if a loss
        is not.
    """
    return pl.col(curve).diff().diff().pow(2).mean().sqrt()


def _moments(name, value, subtracted):
    """Mean, number and standard deviation of the finite differences."""
    difference = value - subtracted
    is_finite = difference.is_finite()
    finite = difference.filter(is_finite)
    size = pl.max_horizontal(value.abs(), subtracted.abs()).filter(is_finite).max()
    varies = finite.max() - finite.min() > ROUNDING * size
    return (
        finite.mean().alias(name),
        finite.len().cast(pl.Int64).alias(f"{name}_n"),
        pl.when(varies).then(finite.std()).alias(f"{name}_std"),
    )
