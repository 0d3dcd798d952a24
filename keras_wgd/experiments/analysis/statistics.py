"""Means, intervals and paired tests over the seeds of a study."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from keras_wgd.experiments.spec import ARMS, RunSpec

CONFIDENCE = 0.95
# A difference is significant where its adjusted p value is below.
LEVEL = 0.05
# Of the largest number: values that differ by less are taken for the same.
_ROUNDING = 1e-12

# What makes two runs comparable: all that is left to differ is the optimizer, its
# learning rate, the arm and the seed.
SETTING = (
    "dataset",
    "model",
    "image_size",
    "stem",
    "epochs",
    "batch_size",
    "sampler",
    "train_size",
    "test_size",
    "momentum",
    "weight_decay",
    "epsilon",
    "backend",
    "settings",
)
BLOCK = ("optimizer", "learning_rate")
# The one of Table 1, whatever the optimizer.
PAPER_RATE = RunSpec.learning_rate

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


def by_evidence(runs: pl.DataFrame) -> pl.DataFrame:
    """Sort runs: the data sets, and their settings, with the most pairs first.

    Args:
        runs: As `frames.frame` gives them.

    Returns:
        The rows, those of a setting together, in their order. `place` counts the
        settings from 0.
    """
    seed, plain = [*SETTING, *BLOCK, "seed"], pl.col("arm") == "plain"
    counted = runs.with_columns(pair=~plain & plain.any().over(seed))
    pairs = [
        -pl.col("pair").sum().over(group).cast(pl.Int64)
        for group in ("dataset", SETTING)
    ]
    keys: list[Any] = [pairs[0], "dataset", pairs[1], *SETTING]
    ordered = counted.sort(keys, nulls_last=True, maintain_order=True)
    return ordered.drop("pair").with_columns(place=pl.struct(SETTING).rle_id())


def paired(
    runs: pl.DataFrame, measures: Sequence[str], within: Sequence[str] = ()
) -> pl.DataFrame:
    """Put beside each run the plain one that it is compared with.

    Args:
        runs: As `frames.frame` gives them.
        measures: Columns of it.
        within: Further columns that two rows of a pair have in common.

    Returns:
        The same rows, in their order, and for each measure `m` a column `m_plain`,
        null where there is no plain run of the same setting, optimizer, learning
        rate and seed; and in the plain runs themselves.

    Raises:
        ValueError: If a run is there twice: it would count as two seeds.
    """
    keys = [*SETTING, *BLOCK, "seed", *within]
    twice = runs.filter(runs.select(*keys, "arm").is_duplicated())
    if not twice.is_empty():
        run = twice.select(*keys, "arm").row(0, named=True)
        raise ValueError(f"runs must hold each run once. Received: twice {run}")
    plain = runs.filter(pl.col("arm") == "plain").select(
        *keys, pl.col(list(measures)).name.suffix("_plain")
    )
    joined = runs.join(
        plain, on=keys, how="left", nulls_equal=True, maintain_order="left"
    )
    is_plain = pl.col("arm") == "plain"
    return joined.with_columns(
        pl.when(~is_plain).then(pl.col(f"{name}_plain")).alias(f"{name}_plain")
        for name in measures
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the pairs of one group of runs say of one arm, for one measure.

    A group is a setting at the paper's learning rate, or at all others.

    Attributes:
        setting: What the runs have in common, by the names in `SETTING`.
        at_paper_rate: Whether the learning rate is that of Table 1.
        arm: The arm.
        pairs: How many pairs of an arm's run and its plain run there are.
        higher: In how many the arm's value is the higher one.
        lower: In how many it is the lower one.
        undecided: In how many one of the two is not finite.
        blocks: How many optimizers, each with a learning rate, have a finite
            pair for every seed.
        difference: The arm's value less the plain one's, averaged first over
            those within each seed: runs of one seed share weights and batches and
            are not independent. Its `n` is the number of seeds.
    """

    setting: dict[str, Any]
    at_paper_rate: bool
    arm: str
    pairs: int
    higher: int
    lower: int
    undecided: int
    blocks: int
    difference: Estimate

    @property
    def equal(self) -> int:
        """In how many pairs the two are the same."""
        return self.pairs - self.higher - self.lower - self.undecided


def verdicts(runs: pl.DataFrame, measure: str) -> list[Verdict]:
    """Judge each arm within each group of a study.

    Args:
        runs: As `frames.frame` gives them.
        measure: A column of it.

    Returns:
        One for each group and arm that has pairs, in the order of the settings,
        the paper's learning rate first.
    """
    plain = f"{measure}_plain"
    pairs = (
        paired(by_evidence(runs), [measure])
        .filter(pl.col(measure).is_not_null(), pl.col(plain).is_not_null())
        .with_columns(
            difference=pl.col(measure) - pl.col(plain),
            at_paper_rate=pl.col("learning_rate") == PAPER_RATE,
        )
        .sort(
            "place",
            ~pl.col("at_paper_rate"),
            pl.col("arm").cast(pl.Enum(ARMS)),
            maintain_order=True,
        )
    )
    groups = pairs.group_by(*SETTING, "at_paper_rate", "arm", maintain_order=True)
    return [_verdict(group) for _, group in groups]


def _verdict(pairs):
    first = pairs.row(0, named=True)
    finite = pairs.filter(pl.col("difference").is_finite())
    # A block that a seed lacks would make that seed's mean one of other things.
    shared = finite.filter(
        pl.col("seed").n_unique().over(BLOCK) == finite["seed"].n_unique()
    )
    by_seed = shared.group_by("seed", maintain_order=True)
    means = by_seed.agg(pl.col("difference").mean())["difference"].to_list()
    estimate = difference_of(means, [0.0] * len(means))
    undecided = len(pairs) - len(finite)
    return Verdict(
        setting={name: first[name] for name in SETTING},
        at_paper_rate=first["at_paper_rate"],
        arm=first["arm"],
        pairs=len(pairs),
        higher=finite.filter(pl.col("difference") > 0).height,
        lower=finite.filter(pl.col("difference") < 0).height,
        undecided=undecided,
        blocks=shared.select(BLOCK).n_unique() if means else 0,
        difference=dataclasses.replace(estimate, left_out=undecided),
    )


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
