"""Tables, from results alone."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from keras_wgd.metrics import METRICS
from keras_wgd.study.results import Result, write_text
from keras_wgd.study.spec import ARMS, OPTIMIZERS

_NAMES = {"sgdm": "SGDM", "adam": "Adam", "nadam": "Nadam", "radam": "RAdam"}
_HEADS = {
    "accuracy": "accuracy",
    "loss": "loss",
    "mean_recall": "recall",
    "mean_precision": "precision",
    "kappa": "kappa",
}


def frame(results: Sequence[Result]) -> pl.DataFrame:
    """One row for each run: what it was, and its metrics.

    Args:
        results: Results of one or more studies.

    Returns:
        The columns `dataset`, `model`, `optimizer`, `arm`, `seed` and those of
        `METRICS`, as in the results: fractions, and nats.
    """
    return pl.DataFrame(
        [
            {
                "dataset": r.spec.dataset,
                "model": r.spec.model,
                "optimizer": r.spec.optimizer,
                "arm": r.spec.arm,
                "seed": r.spec.seed,
                **{name: float(r.metrics[name]) for name in METRICS},
            }
            for r in results
        ]
    )


def summarize(runs: pl.DataFrame) -> pl.DataFrame:
    """Mean and deviation over the seeds, for each optimizer and arm.

    Args:
        runs: As `frame` gives it.

    Returns:
        One row for each data set, model, optimizer and arm, in the order of
        the paper, the plain optimizer first. For each metric `m`, the columns
        `m` (the mean) and `m_std` (the standard deviation, n - 1, null for one
        seed); `seeds`, how many there are; `accuracy_gain`, the mean over the
        seeds of the accuracy less the plain one's of the same seed, and
        `accuracy_gain_std`.
    """
    keys = ["dataset", "model", "optimizer"]
    plain = runs.filter(pl.col("arm") == "plain")
    paired = runs.join(
        plain.select(*keys, "seed", plain_accuracy="accuracy"),
        on=[*keys, "seed"],
        how="left",
    ).with_columns(accuracy_gain=pl.col("accuracy") - pl.col("plain_accuracy"))
    columns = [*METRICS, "accuracy_gain"]
    order = {
        name: pl.col(name).replace_strict({value: i for i, value in enumerate(values)})
        for name, values in {"optimizer": OPTIMIZERS, "arm": ARMS}.items()
    }
    return (
        paired.group_by([*keys, "arm"], maintain_order=True)
        .agg(
            pl.len().alias("seeds"),
            pl.col(columns).mean(),
            pl.col(columns).std().name.suffix("_std"),
        )
        .sort("dataset", "model", *order.values())
    )


def rich_tables(runs: pl.DataFrame) -> list:
    """A `rich` table for each data set and model.

    The best mean of each optimizer and metric is bold, as in the paper.
    """
    from rich import box
    from rich.table import Table

    tables = []
    for (dataset, model), part in summarize(runs).group_by(
        ["dataset", "model"], maintain_order=True
    ):
        seeds = " or ".join(map(str, part["seeds"].unique().sort()))
        table = Table(
            title=f"{model} on {dataset}, mean±deviation over seeds: {seeds}",
            caption="All but the loss in percent; recall and precision are means over "
            "the classes; gain is accuracy less plain accuracy, seed by seed.",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=0,
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("optimizer", no_wrap=True)
        for head in (*_HEADS.values(), "gain"):
            table.add_column(head, justify="right", no_wrap=True)
        for _, group in part.group_by("optimizer", maintain_order=True):
            for row in group.iter_rows(named=True):
                cells = [_cell(row, m, _best(group, m) == row[m]) for m in _HEADS]
                gain = "" if row["arm"] == "plain" else _cell(row, "accuracy_gain")
                table.add_row(_label(row), *cells, gain)
            table.add_section()
        tables.append(table)
    return tables


def write(out: Path, runs: pl.DataFrame) -> list[Path]:
    """Write `runs.csv`, a row for each run, and `summary.csv`, as `summarize`.

    Returns:
        The two files.
    """
    tables = {out / "runs.csv": runs, out / "summary.csv": summarize(runs)}
    for path, table in tables.items():
        write_text(path, table.write_csv())
    return list(tables)


def _label(row):
    name = _NAMES[row["optimizer"]]
    return name if row["arm"] == "plain" else f"WGD {row['arm']}"


def _best(group, metric):
    return group[metric].min() if metric == "loss" else group[metric].max()


def _cell(row, metric, bold=False):
    mean, deviation = row[metric], row[f"{metric}_std"]
    if mean is None:
        return "-"
    scale, form = (1, ".3f") if metric == "loss" else (100, ".2f")
    text = f"{scale * mean:{'+' if metric == 'accuracy_gain' else ''}{form}}"
    if deviation is not None:
        text += f"±{scale * deviation:{form}}"
    return f"[bold]{text}[/bold]" if bold else text
