"""Pairs of runs: what makes two comparable, and which plain run each has beside it."""

from collections.abc import Sequence
from typing import Any

import polars as pl

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
