"""The tables of a study in the paper's layout, whatever prints them."""

import itertools
from typing import Any

import polars as pl

from keras_wgd.experiments.analysis.pairing import BLOCK, SETTING
from keras_wgd.experiments.analysis.statistics import LEVEL, ROUGHNESS
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.paper import cells, labels, published
from keras_wgd.paper.cells import Cell, Table

METRIC_HEADS = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "mean_recall": "Mean recall",
    "mean_precision": "Mean precision",
    "kappa": "CKS",
}
ROUGHNESS_HEADS = {"train_roughness": "Training loss", "test_roughness": "Test loss"}

_GAIN_HEADS = ("Gain", "95 % interval", "p", "p adjusted")
BOLD = (
    "Bold: a significant difference (p adjusted below "
    f"{LEVEL:g}), and the mean that is better by it; without bold, these runs do not "
    "tell the two apart."
)


def metric_tables(summary: pl.DataFrame) -> list[Table]:
    """Tables 3 to 8 of the paper, or what is like them: one for each setting.

    Args:
        summary: As `frames.summarize` gives it.
    """
    return [_metric_table(part) for part in _settings(summary)]


def roughness_tables(summary: pl.DataFrame) -> list[Table]:
    """How smooth training was: one table for each setting of three epochs or more.

    Args:
        summary: As `frames.summarize` gives it.
    """
    measured = summary.filter(pl.col("epochs") >= 3)
    return [_roughness_table(part) for part in _settings(measured)]


def blocks(part: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """The rows of a setting's summary, by optimizer and learning rate."""
    groups = part.group_by(BLOCK, maintain_order=True)
    return [group.to_dicts() for _, group in groups]


def _settings(summary):
    return [part for _, part in summary.group_by(SETTING, maintain_order=True)]


def _metric_table(part):
    setting = part.row(0, named=True)
    accuracy, *others = METRIC_HEADS.values()
    gains = part["accuracy_gain_p"].count()
    printed = published.table_of(setting["dataset"], setting["model"])
    notes = [
        "All but the loss in percent: mean ± half of the 95 % interval over the seeds "
        "(Student's t; none where all seeds are the same). Recall and precision are "
        "means over the classes, CKS is Cohen's kappa. Gain: accuracy less that of the "
        "plain run of the same seed, in percentage points, with its 95 % interval and "
        "the p value of a paired t test."
    ]
    if gains:
        notes[0] += (
            f" P adjusted: for the {gains} gains in accuracy of this table (Benjamini "
            "and Hochberg); the tests of each other metric are adjusted in the same "
            f"way. {BOLD}"
        )
    if printed:
        notes += [
            f"The second number is the paper's (Table {printed.number}: one run at a "
            "learning rate of 0.01, 224 px, 50 epochs). The paper does not say over "
            "what it takes the mean, so each reading stands beside the same figure.",
            *printed.notes,
        ]
    if part["diverged"].sum():
        notes.append(
            f"{part['diverged'].sum()} of {part['seeds'].sum()} runs diverged: a loss "
            "of theirs is not finite. Their accuracy counts; a mean of losses is over "
            "the other runs, whose number is given."
        )
    return Table(
        title=labels.title(setting),
        heads=("Optimizer", "Rate", "Seeds", accuracy, *_GAIN_HEADS, *others),
        blocks=tuple(
            tuple(
                (
                    *_first_cells(row),
                    first,
                    *cells.gain_cells(row, "accuracy"),
                    *rest,
                )
                for row in rows
                for first, *rest in [_metric_cells(row, rows)]
            )
            for rows in blocks(part)
        ),
        notes=tuple(notes),
    )


def _roughness_table(part):
    setting = part.row(0, named=True)
    heads = []
    for head in ROUGHNESS_HEADS.values():
        heads += [head, "WGD less plain", *_GAIN_HEADS[1:]]
    return Table(
        title=f"Roughness: {labels.plain_title(setting)}",
        heads=("Optimizer", "Rate", "Seeds", *heads),
        blocks=tuple(
            tuple(
                (
                    *_first_cells(row),
                    *itertools.chain.from_iterable(
                        (cells.mean_cell(row, rows, name), *cells.gain_cells(row, name))
                        for name in ROUGHNESS_HEADS
                    ),
                )
                for row in rows
            )
            for rows in blocks(part)
        ),
        notes=(f"{ROUGHNESS} Less is smoother. {BOLD}",),
    )


def _metric_cells(row, rows):
    printed = _printed(row)
    return [
        cells.mean_cell(row, rows, metric, printed.get(metric))
        for metric in METRIC_HEADS
    ]


def _first_cells(row):
    label = OPTIMIZERS[row["optimizer"]].label
    if row["arm"] != "plain":
        label = f"WGD {label} ({row['arm']})"
    rate, seeds = row["learning_rate"], row["seeds"]
    return (
        Cell(text=label),
        Cell(text=f"{rate:g}", value=rate),
        Cell(text=str(seeds), value=seeds),
    )


def _printed(row):
    """What the paper prints of an experiment."""
    return published.figures_of(
        row["dataset"], row["model"], row["optimizer"], row["arm"] != "plain"
    )
