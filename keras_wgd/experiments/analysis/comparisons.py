"""What the pairs of a group of runs say of an arm."""

import dataclasses
from typing import Any

import polars as pl

from keras_wgd.experiments.analysis.pairing import BLOCK, SETTING, by_evidence, paired
from keras_wgd.experiments.analysis.statistics import Estimate, difference_of
from keras_wgd.experiments.spec import ARMS, RunSpec

# The one of Table 1, whatever the optimizer.
PAPER_RATE = RunSpec.learning_rate


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
