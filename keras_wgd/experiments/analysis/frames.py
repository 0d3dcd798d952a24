"""From results to one long frame, and what its columns are."""

import json
import typing
from collections.abc import Sequence

import polars as pl

from keras_wgd import settings
from keras_wgd.experiments.metrics import CURVES, METRICS
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import ARMS, RunSpec
from keras_wgd.experiments.store.results import Result

_TYPES: dict[str, typing.Any] = {
    **typing.get_type_hints(RunSpec),
    "backend": str,
    "settings": str,
    "arm": pl.Enum(ARMS),
}
# The fields of a run that are compared, or tell runs of one setting apart.
_COMPARED = ("optimizer", "learning_rate", "mean_over", "placement", "seed", "arm")
SETTING = tuple(name for name in _TYPES if name not in _COMPARED)
# What the runs of a pair have in common besides the seed.
TASK = (*SETTING, "optimizer", "learning_rate")
# What identifies a run.
KEYS = (*TASK, "arm", "seed")

EPOCH = (*CURVES, "norm_ratio", "seconds")
# What is compared, and whether the smallest or the largest value is the best.
MEASURES = {name: "min" if name == "loss" else "max" for name in METRICS} | {
    "train_roughness": "min",
    "test_roughness": "min",
}


def long(results: Sequence[Result]) -> pl.DataFrame:
    """The numbers of a study in one frame: a row for each run and epoch.

    Args:
        results: Results of one or more studies.

    Returns:
        The columns that identify a run (`KEYS`); `environment` as JSON; the
        columns of `METRICS`, the same in all rows of a run; `epoch` from 1; and
        the columns of `EPOCH`, with `norm_ratio` null in a plain run. `optimizer`
        and `arm` are enumerations. The data sets and settings with the most pairs
        come first; the rows of a setting are sorted by the other columns.

    Raises:
        ValueError: If a run is there twice: it would count as two seeds.
    """
    lists = {"epoch": pl.List(pl.Int64)} | dict.fromkeys(EPOCH, pl.List(pl.Float64))
    rows = [_row(result) for result in results]
    used = sorted({row["optimizer"] for row in rows})
    runs = pl.DataFrame(
        rows,
        schema={
            **{name: _TYPES[name] for name in KEYS},
            "optimizer": pl.Enum(list(dict.fromkeys([*OPTIMIZERS, *used]))),
            "environment": str,
            **dict.fromkeys(METRICS, float),
            **lists,
        },
        strict=False,
    )
    twice = runs.select(KEYS).filter(runs.select(KEYS).is_duplicated())
    if not twice.is_empty():
        run = twice.row(0, named=True)
        raise ValueError(f"results must hold each run once. Received: twice {run}")
    return _by_evidence(runs).explode(list(lists))


def _row(result):
    return {
        **result.spec.to_dict(),
        "arm": result.spec.arm,
        "backend": result.backend,
        "settings": settings.as_text(result.settings),
        "environment": json.dumps(result.environment, sort_keys=True, default=str),
        **result.metrics,
        "epoch": list(range(1, result.spec.epochs + 1)),
        **result.curves,
        "norm_ratio": result.norm_ratios or [None] * result.spec.epochs,
        "seconds": result.seconds,
    }


def _by_evidence(runs):
    """Sort runs: the data sets, and their settings, with the most pairs first."""
    is_plain = pl.col("arm") == "plain"
    counted = runs.with_columns(pair=~is_plain & is_plain.any().over(*TASK, "seed"))
    of_dataset, of_setting = (
        -pl.col("pair").sum().over(group).cast(pl.Int64)
        for group in ("dataset", SETTING)
    )
    order = (of_dataset, "dataset", of_setting, *SETTING, *KEYS[len(SETTING) :])
    return counted.sort(order, nulls_last=True).drop("pair")
