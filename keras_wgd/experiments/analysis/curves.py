"""The curves of a study: a row for each run and epoch, and means over the seeds."""

from collections.abc import Sequence

import polars as pl

from keras_wgd.experiments.analysis import frames, pairing, statistics
from keras_wgd.experiments.analysis.frames import KEYS
from keras_wgd.experiments.analysis.pairing import BLOCK, SETTING
from keras_wgd.experiments.analysis.statistics import Estimate
from keras_wgd.experiments.metrics import CURVES
from keras_wgd.experiments.store.results import Result

SCHEMA = {
    **KEYS,
    "epoch": pl.Int64,
    **dict.fromkeys((*CURVES, "norm_ratio", "seconds"), pl.Float64),
}


def frame(results: Sequence[Result]) -> pl.DataFrame:
    """One row for each run and epoch.

    Args:
        results: Results of one or more studies.

    Returns:
        The columns that identify a run (`frames.KEYS`), `epoch` from 1, the
        columns of `metrics.CURVES`, `norm_ratio` (null in a plain run) and
        `seconds`, all as in the results.
    """
    curves: dict[str, list] = {
        "epoch": [list(range(1, result.spec.epochs + 1)) for result in results],
        **{name: [result.curves[name] for result in results] for name in CURVES},
        "norm_ratio": [
            result.norm_ratios or [None] * result.spec.epochs for result in results
        ],
        "seconds": [result.seconds for result in results],
    }
    columns = (
        pl.Series(name, rows, pl.List(SCHEMA[name]), strict=False)
        for name, rows in curves.items()
    )
    runs = frames.frame(results).select(list(KEYS))
    return runs.with_columns(columns).explode(list(curves))


def gains(epochs: pl.DataFrame) -> pl.DataFrame:
    """What WGD adds to each curve.

    Args:
        epochs: As `frame` gives it.

    Returns:
        The rows of the runs with WGD that have a plain run of the same setting,
        optimizer, learning rate and seed; their curves less its curves.
    """
    pairs = pairing.paired(epochs, CURVES, within=["epoch"])
    return pairs.filter(pl.col("test_loss_plain").is_not_null()).with_columns(
        pl.col(name) - pl.col(f"{name}_plain") for name in CURVES
    )


def means(epochs: pl.DataFrame, curve: str) -> list[tuple[dict, list[Estimate]]]:
    """The means over the seeds of one curve.

    Args:
        epochs: As `frame` or `gains` gives it.
        curve: A column of it; runs without it are left out.

    Returns:
        For each setting, optimizer, learning rate and arm, in their order: these,
        by name, and an estimate for each epoch.
    """
    runs = epochs.filter(pl.col(curve).is_not_null()).group_by(
        [*SETTING, *BLOCK, "arm", "seed"], maintain_order=True
    )
    found: dict[tuple, list] = {}
    for (*arm, _), rows in runs:
        found.setdefault(tuple(arm), []).append(rows[curve].to_list())
    names = (*SETTING, *BLOCK, "arm")
    return [
        (dict(zip(names, arm, strict=True)), statistics.means_of(curves))
        for arm, curves in found.items()
    ]
