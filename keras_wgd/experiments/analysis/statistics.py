"""Means, intervals and paired tests over the seeds of a study."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
# A difference is significant where its adjusted p value is below.
LEVEL = 0.05
# Of the largest number: values that differ by less are taken for the same.
_ROUNDING = 1e-12


ROUGHNESS = (
    "Roughness is the root mean square of how much a loss curve's change from one "
    "epoch to the next itself changes: with l(t) the loss after epoch t and "
    "d(t) = l(t) - l(t-1), it is the root of the mean of (d(t+1) - d(t))^2, in nats "
    "per epoch. It is 0 where the loss falls or rises in a straight line, and needs "
    "three epochs."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its uncertainty.

    Attributes:
        n: How many finite values it is over.
        left_out: How many values were not finite: of runs that diverged.
        mean: Their mean; `None` where there are none.
        low: Lower end of the 95 % interval by Student's t; `None` for fewer than
            two values, and where all are the same: they do not say how much others
            would differ.
        high: Upper end.
        p: Of the two-sided test that the mean is zero, for differences; `None`
            for fewer than two, and where all are the same.
    """

    n: int
    left_out: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2


def means_of(rows: Sequence[Sequence[float]]) -> list[Estimate]:
    """The means of several values for each seed, and their 95 % intervals.

    Args:
        rows: One for each seed, all of the same length of one or more.

    Returns:
        One for each column: `mean -+ t * s / sqrt(n)`, with `s` the standard
        deviation (n - 1) and `t` the 97.5 % quantile of Student's t. Values that
        are the same but for rounding have no interval.
    """
    from scipy import stats

    table = np.asarray(rows, dtype="float64")
    if not table.size:
        return [Estimate(n=0)]
    table = np.where(np.isfinite(table), table, np.nan)
    n = np.isfinite(table).sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.nansum(table, axis=0) / n
        spread = np.sqrt(np.nansum((table - mean) ** 2, axis=0) / (n - 1) / n)
        half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * spread
        span = np.fmax.reduce(table) - np.fmin.reduce(table)
        noise = _ROUNDING * np.fmax.reduce(np.abs(table))
        half[~(span > noise)] = np.nan
        columns = zip(n.tolist(), mean, mean - half, mean + half, strict=True)
    return [
        _estimate(n, len(table) - n, mean, low, high) for n, mean, low, high in columns
    ]


def difference_of(values: Sequence[float], plain: Sequence[float]) -> Estimate:
    """The mean of `values - plain`, pair by pair: Student's paired t test.

    Args:
        values: One for each pair, of the runs with WGD.
        plain: Of the same pairs, without.

    Returns:
        The mean difference, its 95 % interval and its p value. Pairs of which
        one value is not finite are left out, and counted.
    """
    from scipy import stats

    pairs = np.asarray([values, plain], dtype="float64").reshape(2, -1)
    finite = pairs[:, np.isfinite(pairs).all(axis=0)]
    left_out = pairs.shape[1] - finite.shape[1]
    n = finite.shape[1]
    if n == 0:
        return Estimate(n=0, left_out=left_out)
    with np.errstate(all="ignore"):  # a stranger's file may hold 1e308
        differences = finite[0] - finite[1]
        mean = differences.mean()
        # Where rounding alone tells the differences apart, t would be noise.
        noise = _ROUNDING * np.abs(finite).max()
        if n < 2 or not np.ptp(differences) > noise:
            return _estimate(n, left_out, mean)
        test = stats.ttest_rel(*finite)
        interval = test.confidence_interval(CONFIDENCE)
    return _estimate(n, left_out, mean, interval.low, interval.high, test.pvalue)


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """P values adjusted for their number, by Benjamini and Hochberg.

    Args:
        p_values: Those of one family of tests; `None` where there was no test.

    Returns:
        In the same order. Calling those below 0.05 gains makes, on average, at
        most one in twenty of them a false one.
    """
    from scipy import stats

    tested = [p for p in p_values if p is not None]
    if not tested:
        return list(p_values)
    found = iter(stats.false_discovery_control(tested, method="bh").tolist())
    return [None if p is None else next(found) for p in p_values]


def roughness(losses: Sequence[float]) -> float | None:
    """How unsteadily a loss curve runs: see `ROUGHNESS`.

    Args:
        losses: After each epoch, in nats.

    Returns:
        In nats per epoch; `None` for fewer than three epochs, NaN where a loss is
        not finite.
    """
    if len(losses) < 3:
        return None
    if not all(map(math.isfinite, losses)):
        return math.nan
    turns = [
        last - 2 * middle + first
        for first, middle, last in zip(losses, losses[1:], losses[2:], strict=False)
    ]
    return math.hypot(*turns) / math.sqrt(len(turns))


def _estimate(n, left_out, mean, low=None, high=None, p=None):
    """An estimate of plain floats, `None` for what is not finite."""
    numbers = {"mean": mean, "low": low, "high": high, "p": p}
    return Estimate(
        n=n,
        left_out=left_out,
        **{
            name: float(number)
            for name, number in numbers.items()
            if number is not None and math.isfinite(number)
        },
    )
