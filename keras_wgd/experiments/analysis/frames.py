"""The numbers of a study: a row for each run, a row for each arm, and their tables."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from keras_wgd import settings
from keras_wgd.experiments.analysis import statistics
from keras_wgd.experiments.analysis.statistics import BLOCK, SETTING
from keras_wgd.experiments.metrics import METRICS
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import ARMS
from keras_wgd.experiments.store.results import CURVES, Result
from keras_wgd.files import write_text
from keras_wgd.paper import cells, labels, layout
from keras_wgd.report import gains, verdict

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
        What makes a setting (`statistics.SETTING`), `optimizer`,
        `learning_rate`, `arm` and `seed`; the columns of `METRICS`, as in the
        results: fractions, and nats; `train_roughness` and `test_roughness`
        (`statistics.roughness`), in nats per epoch; `diverged`, whether a loss
        is not finite, in training or on the test images; the columns of
        `results.CURVES` and `norm_ratio` in the last epoch (no `norm_ratio` in a
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
    pairs = statistics.paired(statistics.by_evidence(runs), MEASURES)
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


def rich_tables(runs: pl.DataFrame) -> list:
    """A `rich` table for each setting, for a terminal of 80 columns.

    A mean is bold where it is significantly better: see `cells.is_better`.
    """
    from rich import box
    from rich.table import Table

    tables = []
    for _, part in summarize(runs).group_by(SETTING, maintain_order=True):
        table = Table(
            title=f"{labels.title(part.row(0, named=True))}: {_seeds(part)}",
            caption="All but the loss in percent; recall and precision are means over "
            "the classes; gain is accuracy less plain accuracy, seed by seed, and p "
            "that of a paired t test; *: of the runs that did not diverge.",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=0,
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("optimizer")
        for head in ("accuracy", "loss", "recall", "prec.", "kappa", "gain", "p"):
            table.add_column(head, justify="right", no_wrap=True)
        for rows in layout.blocks(part):
            for row in rows:
                table.add_row(*_terminal_cells(row, rows))
            table.add_section()
        tables.append(table)
    return tables


def markdown(runs: pl.DataFrame, summary: pl.DataFrame) -> str:
    """The tables as Markdown, the paper's figures in brackets.

    Args:
        runs: As `frame` gives them.
        summary: As `summarize` gives it.
    """
    judged = verdict.judged(runs, "accuracy")
    found = [gains.table(judged)] if judged else []
    found += [*layout.metric_tables(summary), *layout.roughness_tables(summary)]
    return "\n".join(table.markdown() for table in found)


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
        "settings": settings.in_words(result.settings),
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


def _seeds(part):
    """What the means of a setting are over, in words."""
    seeds = part["seeds"].unique().sort().to_list()
    if seeds == [1]:
        return "one seed"
    return f"mean±half of the 95 % interval over {' or '.join(map(str, seeds))} seeds"


def _terminal_cells(row, rows):
    """The cells of a line of 80 columns: intervals where most depends on them."""
    plain = row["arm"] == "plain"
    label = labels.block_name(row) if plain else labels.arm_name(row["arm"])
    found = [label]
    for name in METRICS:
        digits = 3 if name == "loss" else None
        text = cells.spread(row, name, digits, "±", "*")
        if name not in ("accuracy", "loss"):
            text = text.partition("±")[0]
        better = cells.is_better(row, rows, name)
        found.append(f"[bold]{text}[/bold]" if better else text)
    if plain:
        return [*found, "", ""]
    gain = cells.spread(row, "accuracy_gain", None, "±")
    return [*found, gain, cells.p_text(row["accuracy_gain_p"]).replace("0.", ".")]
