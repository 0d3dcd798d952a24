"""The numbers of a study: a row for each run, and a row for each arm."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from keras_wgd import settings
from keras_wgd.experiments.analysis import pairing, statistics
from keras_wgd.experiments.analysis.pairing import BLOCK, SETTING
from keras_wgd.experiments.metrics import CURVES, METRICS
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import ARMS
from keras_wgd.experiments.store.results import Result
from keras_wgd.files import write_text

ROUGHNESS = ("train_roughness", "test_roughness")
MEASURES = (*METRICS, *ROUGHNESS)

_MEAN_ENDS = ("", "_low", "_high", "_n")
_GAIN_ENDS = ("_gain", "_gain_low", "_gain_high", "_gain_p")
# What identifies a run.
KEYS = {
    "dataset": pl.String,
    "model": pl.String,
    "image_size": pl.Int64,
    "stem": pl.String,
    "epochs": pl.Int64,
    "batch_size": pl.Int64,
    "sampler": pl.String,
    "train_size": pl.Int64,
    "test_size": pl.Int64,
    "momentum": pl.Float64,
    "weight_decay": pl.Float64,
    "epsilon": pl.Float64,
    "backend": pl.String,
    "settings": pl.String,
    "optimizer": pl.String,
    "learning_rate": pl.Float64,
    "arm": pl.String,
    "seed": pl.Int64,
}
SCHEMA = {
    **KEYS,
    **dict.fromkeys(MEASURES, pl.Float64),
    "diverged": pl.Boolean,
    **dict.fromkeys((*CURVES, "norm_ratio", "seconds"), pl.Float64),
}


def frame(results: Sequence[Result]) -> pl.DataFrame:
    """One row for each run: what it was, and what was measured.

    Args:
        results: Results of one or more studies.

    Returns:
        What makes a setting (`pairing.SETTING`), `optimizer`,
        `learning_rate`, `arm` and `seed`; the columns of `METRICS`, as in the
        results: fractions, and nats; `train_roughness` and `test_roughness`
        (`statistics.roughness`), in nats per epoch; `diverged`, whether a loss
        is not finite, in training or on the test images; the columns of
        `metrics.CURVES` and `norm_ratio` in the last epoch (no `norm_ratio` in a
        plain run); `seconds` of training, over all epochs.
    """
    rows = [_row(result) for result in results]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def summarize(runs: pl.DataFrame) -> pl.DataFrame:
    """Mean and interval over the seeds, and what WGD adds, for each arm.

    Args:
        runs: As `frame` gives it.

    Returns:
        One row for each setting, optimizer, learning rate and arm, optimizers
        in the order of the paper, the plain one first. `seeds`, `diverged` and
        `pairs` say how many runs it stands for, how many of them diverged, and
        how many have a plain run of the same seed beside them. For each metric
        and roughness `m`, over the runs in which it is finite: `m` (the mean),
        `m_low` and `m_high` (its 95 % interval) and `m_n` (how many runs); over
        the pairs: `m_gain` (the mean of `m` less the plain `m`), `m_gain_low`,
        `m_gain_high` and `m_gain_p`. What cannot be had from so few runs is
        null. `m_gain_p_adjusted` is the p value adjusted for the number of gains
        in `m` of the same setting (Benjamini and Hochberg).

    Raises:
        ValueError: If a run is there twice.
    """
    keys = [*SETTING, *BLOCK, "arm"]
    pairs = pairing.paired(pairing.by_evidence(runs), MEASURES)
    rows = [
        dict(zip(keys, values, strict=True)) | _summary(group)
        for values, group in pairs.group_by(keys, maintain_order=True)
    ]
    summary = pl.DataFrame(rows, schema=_summary_schema(), orient="row")
    parts = [
        _adjusted(part).sort(
            pl.col("optimizer").cast(pl.Enum(list(OPTIMIZERS))),
            "learning_rate",
            pl.col("arm").cast(pl.Enum(ARMS)),
        )
        for _, part in summary.group_by(SETTING, maintain_order=True)
    ]
    return pl.concat(parts) if parts else _adjusted(summary)


def write(
    out: Path, runs: pl.DataFrame, epochs: pl.DataFrame, summary: pl.DataFrame
) -> list[Path]:
    """Write the numbers of a study, for a program to read.

    Args:
        out: The folder for them.
        runs: As `frame` gives them.
        epochs: As `curves.frame` gives them.
        summary: As `summarize` gives it.

    Returns:
        `runs.csv`, a row for each run; `epochs.csv`, a row for each run and epoch;
        and `summary.csv`, a row for each arm.
    """
    written = {
        out / "runs.csv": runs,
        out / "epochs.csv": epochs,
        out / "summary.csv": summary,
    }
    for path, table in written.items():
        write_text(path, table.write_csv())
    return list(written)


def _row(result):
    spec, curves = result.spec.to_dict(), result.curves
    losses = (result.metrics["loss"], *curves["train_loss"], *curves["test_loss"])
    row = {
        **{name: spec[name] for name in (*SETTING, *BLOCK, "seed") if name in spec},
        "backend": result.backend,
        "settings": settings.as_text(result.settings),
        "arm": result.spec.arm,
        **{name: float(result.metrics[name]) for name in METRICS},
        "train_roughness": statistics.roughness(curves["train_loss"]),
        "test_roughness": statistics.roughness(curves["test_loss"]),
        "diverged": not pl.Series(losses, dtype=pl.Float64).is_finite().all(),
        **{name: curves[name][-1] for name in CURVES},
        "norm_ratio": result.norm_ratios[-1] if result.norm_ratios else None,
        "seconds": sum(result.seconds),
    }
    return {name: row[name] for name in SCHEMA}


def _summary(group):
    row = {"seeds": len(group), "diverged": group["diverged"].sum()}
    means = statistics.means_of(group.select(MEASURES).to_numpy())
    for name, mean in zip(MEASURES, means, strict=True):
        row |= {
            name: mean.mean,
            f"{name}_low": mean.low,
            f"{name}_high": mean.high,
            f"{name}_n": mean.n,
        }
    row["pairs"] = group["accuracy_plain"].count()
    for name in MEASURES:
        pairs = group.select(name, f"{name}_plain").drop_nulls()
        gain = statistics.difference_of(pairs[name], pairs[f"{name}_plain"])
        row |= {
            f"{name}_gain": gain.mean,
            f"{name}_gain_low": gain.low,
            f"{name}_gain_high": gain.high,
            f"{name}_gain_p": gain.p,
        }
    return row


def _adjusted(summary):
    """The rows of a setting, with the p values adjusted for their number."""
    return summary.with_columns(
        pl.Series(
            f"{name}_gain_p_adjusted",
            statistics.adjusted(summary[f"{name}_gain_p"].to_list()),
            pl.Float64,
        )
        for name in MEASURES
    )


def _summary_schema():
    keys = {name: SCHEMA[name] for name in (*SETTING, *BLOCK, "arm")}
    numbers = {
        f"{name}{end}": pl.Int64 if end == "_n" else pl.Float64
        for ends in (_MEAN_ENDS, _GAIN_ENDS)
        for name in MEASURES
        for end in ends
    }
    counts = dict.fromkeys(("seeds", "diverged", "pairs"), pl.Int64)
    return keys | counts | numbers
