"""Group-sequential paired tests: when a comparison may stop, and what it has shown."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from keras_wgd.experiments.analysis.statistics import LEVEL, ROUNDING

Decision = Literal["better", "worse", "equivalent", "undecided"]

# The standard error of an error rate of 5 % is then 0.02 %.
STUDIES = 1_000_000


@dataclasses.dataclass(frozen=True)
class Design:
    """Looks at the data after set numbers of pairs, with one nominal level for all.

    At each look, Student's paired t test is made of all pairs so far. With the nominal
    level for an error rate `a`, a study of two equal arms calls a difference at any of
    its looks with probability `a`. (Pocock, 1977, does the same for a known variance.)

    Args:
        looks: The numbers of pairs, increasing, each at least 2.

    Raises:
        ValueError: If `looks` is empty, does not increase or begins below 2.

    References:
        - Pocock, 1977, Biometrika 64.
        - Jennison and Turnbull, 1999, Group Sequential Methods, chapters 2 and 9.
    """

    looks: tuple[int, ...]

    def __post_init__(self) -> None:
        increasing = all(
            a < b for a, b in zip(self.looks, self.looks[1:], strict=False)
        )
        if not self.looks or self.looks[0] < 2 or not increasing:
            raise ValueError(
                "looks must be increasing numbers of pairs, each at least 2. "
                f"Received: {self.looks}"
            )

    @classmethod
    def of(cls, pairs: int, sequential: bool = True) -> "Design":
        """Looks after 4, 6, 8, ... pairs and after the last; or after the last alone.

        Args:
            pairs: The most pairs that the study may have, at least 2.
            sequential: Whether it may stop early.
        """
        early = range(4, pairs, 2) if sequential else ()
        return cls((*early, pairs))

    def nominal_level(self, error_rate: float = LEVEL) -> float:
        """The level of each look at which the error rate over all of them is this."""
        if len(self.looks) == 1:
            return error_rate
        return float(_smallest_p(self.looks)[round(error_rate * STUDIES) - 1])

    def adjusted_p(self, p: float) -> float:
        """The error rate that has the p value of one look as its nominal level."""
        if len(self.looks) == 1:
            return p
        bound = min(1.0, len(self.looks) * p)
        smallest = _smallest_p(self.looks)
        rank = int(np.searchsorted(smallest, p, side="right"))
        # The simulation has too few studies to say more than the bound so far out.
        return bound if rank < 100 else min(bound, rank / len(smallest))

    def performance(
        self, effect: float, error_rate: float = LEVEL, studies: int = 100_000
    ) -> tuple[float, float]:
        """How often a true difference is called, and after how many pairs on average.

        Args:
            effect: The true difference, in standard deviations of the difference of a
                pair.
            error_rate: The error rate over all looks.
            studies: How many studies are simulated.

        Returns:
            The share of studies that call a difference, and the mean number of pairs
            when they stop.
        """
        p_values = np.array(list(_p_values(self.looks, effect, studies)))
        called = p_values < self.nominal_level(error_rate)
        at = np.where(called.any(axis=0), called.argmax(axis=0), len(self.looks) - 1)
        return float(called.any(axis=0).mean()), float(np.array(self.looks)[at].mean())


@functools.cache
def _smallest_p(looks: tuple[int, ...]) -> np.ndarray:
    """The smallest p value of each of many studies of two equal arms, sorted."""
    smallest = np.ones(STUDIES)
    for p in _p_values(looks, 0.0, STUDIES):
        np.minimum(smallest, p, out=smallest)
    return np.sort(smallest)


def _p_values(
    looks: Sequence[int], effect: float, studies: int
) -> Iterator[np.ndarray]:
    """Two-sided p values of normal differences: for each look those of the studies.

    The mean and the sum of squares of the pairs between two looks are drawn, not the
    pairs.
    """
    from scipy import special

    generator = np.random.default_rng(0)
    count, mean, squares = 0, np.zeros(studies), np.zeros(studies)
    for pairs in looks:
        new = pairs - count
        step = generator.normal(effect, new**-0.5, studies) - mean
        squares += step**2 * (count * new / pairs)
        if new > 1:
            squares += generator.chisquare(new - 1, studies)
        mean += step * (new / pairs)
        t = np.abs(mean) * np.sqrt(pairs * (pairs - 1) / squares)
        yield 2 * special.stdtr(pairs - 1, -t)
        count = pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgment:
    """What the pairs of one arm show.

    Attributes:
        decision: `"better"`, `"worse"`, `"equivalent"` or `"undecided"`.
        pairs: The number of pairs.
        look: The number of pairs at the last look that was reached; 0 before the first.
        gain: The mean difference to the baseline; positive is better.
        std: The standard deviation of the difference of a pair; `None` for one pair.
        low: Lower end of the interval of the gain, adjusted for looks and arms; `None`
            where the differences do not vary.
        high: Upper end.
        p: The two-sided p value, adjusted for looks and arms; `None` before the first
            look.
    """

    decision: Decision
    pairs: int
    look: int
    gain: float
    std: float | None
    low: float | None
    high: float | None
    p: float | None


def judge(
    differences: Mapping[str, Sequence[float]],
    design: Design,
    margin: float | None = None,
    error_rate: float = LEVEL,
    rounding: float = 0.0,
) -> dict[str, Judgment]:
    """Judge each arm by its differences to the baseline so far.

    Decisions are made at the looks alone. Pairs after the last look that was reached
    count for the gain and its interval; they count for a decision at the next look. So
    it does not matter how often a study is interrupted and continued.

    A difference is called where the p value, adjusted for the looks and by Holm's
    method for the arms, is at most `error_rate` at any look that was reached. It has
    the direction of the look with the smallest p value. An arm is equivalent where its
    interval lies within `margin` at any such look. The intervals hold for all looks
    and arms together with probability `1 - error_rate`; that of an arm whose
    difference is called excludes 0, as Holm's method does (Strassburger and Bretz,
    2008).

    Args:
        differences: For each arm the differences of its pairs, in the order of the
            seeds; positive is better. An arm that is decided needs no more of them.
            An arm without pairs counts as one of the arms that are compared.
        design: The looks.
        margin: The smallest difference that matters, in units of the differences;
            `None` for no test of equivalence.
        error_rate: The probability that any arm that equals the baseline is called
            better or worse.
        rounding: Differences that are this close are the same number.

    Returns:
        A judgment of each arm that has pairs.

    References:
        - Holm, 1979, Scandinavian Journal of Statistics 6.
        - Jennison and Turnbull, 1999, chapter 9 (repeated confidence intervals).
        - Strassburger and Bretz, 2008, Statistics in Medicine 27.
    """
    rows = {arm: np.asarray(row, "float64") for arm, row in differences.items()}
    smallest = {
        arm: _smallest_at_looks(row, design, rounding) for arm, row in rows.items()
    }
    adjusted = _holm({arm: design.adjusted_p(p) for arm, (p, _) in smallest.items()})
    level = design.nominal_level(error_rate / max(1, len(rows)))
    judgments = {}
    for arm, row in rows.items():
        if not len(row):
            continue
        look = max(_reached(row, design), default=0)
        low, high = _interval(row, level, rounding)
        decision: Decision = "undecided"
        if adjusted[arm] <= error_rate:
            sign = smallest[arm][1]
            decision = "better" if sign > 0 else "worse"
            if low is not None and high is not None:
                bound = max if sign > 0 else min
                low, high = bound(low, 0.0), bound(high, 0.0)
        if margin is not None and _is_within(margin, row, design, level, rounding):
            decision = "equivalent"
        judgments[arm] = Judgment(
            decision=decision,
            pairs=len(row),
            look=look,
            gain=float(row.mean()),
            std=_std(row, rounding),
            low=low,
            high=high,
            p=adjusted[arm] if look else None,
        )
    return judgments


def pairs_needed(
    gain: float, std: float, level: float, power: float = 0.8, limit: int = 1000
) -> int | None:
    """How many pairs show a gain of this size.

    Args:
        gain: The true difference, not 0.
        std: The standard deviation of the difference of a pair, in the same units.
        level: The nominal level of the look, as of `Design.nominal_level`.
        power: The probability that the paired t test calls the difference.
        limit: The largest number that is looked at.

    Returns:
        The smallest number of pairs, at least 2; `None` above `limit`.
    """
    from scipy import stats

    pairs = np.arange(2, limit + 1)
    if std == 0:
        return 2
    critical = stats.t.isf(level / 2, pairs - 1)
    shift = abs(gain) / std * np.sqrt(pairs)
    enough = stats.nct.sf(critical, pairs - 1, shift) >= power
    return int(pairs[enough.argmax()]) if enough.any() else None


def gain_seen(pairs: int, std: float, level: float, power: float = 0.8) -> float:
    """How large a gain is that so many pairs show: the reverse of `pairs_needed`.

    Args:
        pairs: The number of pairs, at least 2.
        std: The standard deviation of the difference of a pair.
        level: The nominal level of the look, as of `Design.nominal_level`.
        power: The probability that the paired t test calls the difference.

    Returns:
        The true difference, positive, in units of `std`'s.
    """
    from scipy import optimize, stats

    critical = stats.t.isf(level / 2, pairs - 1)
    # The power of a shift of twice the critical value and 5 more is nearly 1.
    shift = optimize.brentq(
        lambda shift: stats.nct.sf(critical, pairs - 1, shift) - power,
        0.0,
        2 * critical + 5,
    )
    return float(shift) * std / pairs**0.5


def _reached(row: np.ndarray, design: Design) -> list[int]:
    """The looks that are not ahead."""
    return [look for look in design.looks if look <= len(row)]


def _smallest_at_looks(
    row: np.ndarray, design: Design, rounding: float
) -> tuple[float, float]:
    """The smallest p value of the looks, and the sign of the gain at that look."""
    from scipy import stats

    parts = (row[:look] for look in _reached(row, design))
    seen = [part for part in parts if _vary(part, rounding)]
    p_values = [float(stats.ttest_1samp(part, 0.0).pvalue) for part in seen]
    if not p_values:
        return 1.0, 0.0
    first = int(np.argmin(p_values))
    return p_values[first], float(np.sign(seen[first].mean()))


def _interval(
    row: np.ndarray, level: float, rounding: float
) -> tuple[float | None, float | None]:
    """Student's interval of the mean, where other pairs can be told from these."""
    from scipy import stats

    if len(row) > 1 and not row.any():  # the runs are the same
        return 0.0, 0.0
    if not _vary(row, rounding):
        return None, None
    half = float(stats.t.isf(level / 2, len(row) - 1) * stats.sem(row))
    return float(row.mean()) - half, float(row.mean()) + half


def _is_within(
    margin: float, row: np.ndarray, design: Design, level: float, rounding: float
) -> bool:
    """Whether the interval of any look lies within the margin."""
    parts = (row[:look] for look in _reached(row, design))
    intervals = (_interval(part, level, rounding) for part in parts)
    return any(
        low is not None and high is not None and -margin < low and high < margin
        for low, high in intervals
    )


def _std(row: np.ndarray, rounding: float) -> float | None:
    if len(row) < 2:
        return None
    return float(row.std(ddof=1)) if _vary(row, rounding) else 0.0


def _vary(differences: np.ndarray, rounding: float) -> bool:
    """Whether there is a standard deviation that says something about other pairs."""
    if len(differences) < 2:
        return False
    least = max(rounding, ROUNDING * np.abs(differences).max())
    return bool(np.ptp(differences) > least)


def _holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values adjusted for their number, by Holm's method."""
    adjusted, largest = {}, 0.0
    for rank, arm in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[arm]))
        adjusted[arm] = largest
    return adjusted
