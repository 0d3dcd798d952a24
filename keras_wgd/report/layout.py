"""The tables of a study: in the paper's layout, with its figures where it has any."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from keras_wgd.experiments import optimizers
from keras_wgd.experiments.analysis.frames import SETTING
from keras_wgd.experiments.analysis.statistics import LEVEL, ROUGHNESS
from keras_wgd.paper import published
from keras_wgd.report import cells, display_names
from keras_wgd.report.cells import Cell, Table

METRIC_HEADS = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "mean_recall": "Mean recall",
    "mean_precision": "Mean precision",
    "kappa": "CKS",
}
ROUGHNESS_HEADS = {"train_roughness": "Training loss", "test_roughness": "Test loss"}
BOLD = (
    f"Bold: a significant difference (p adjusted below {LEVEL:g}), and the mean that "
    "is better by it. Without bold, these runs do not tell which mean is better."
)


def metric_tables(summary: pl.DataFrame) -> list[Table]:
    """Tables 3 to 8 of the paper, or similar ones: one for each setting."""
    return [_metric_table(part) for part in _settings(summary)]


def roughness_tables(summary: pl.DataFrame) -> list[Table]:
    """How smooth training was: a table for each setting of three epochs or more."""
    return [
        _table(
            part,
            f"Roughness: {display_names.plain_title(part.row(0, named=True))}",
            ROUGHNESS_HEADS,
            dict.fromkeys(ROUGHNESS_HEADS, "Change"),
            [f"{ROUGHNESS} A lower value is smoother. {BOLD}"],
        )
        for part in _settings(summary.filter(pl.col("epochs") >= 3))
    ]


def blocks(part: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """The rows of a setting's summary, by optimizer and learning rate."""
    groups = part.group_by("optimizer", "learning_rate", maintain_order=True)
    return [group.to_dicts() for _, group in groups]


def _settings(summary):
    return summary.partition_by(SETTING, maintain_order=True)


def _metric_table(part):
    setting = part.row(0, named=True)
    gains = part["accuracy_gain_p"].count()
    printed = published.table_of(setting["dataset"], setting["model"])
    notes = [
        "Mean ± half of the 95 % interval over the seeds (Student's t; none if all "
        "seeds are equal); all but the loss in percent. Recall and precision are means "
        "over the classes, CKS is Cohen's kappa. Gain: accuracy minus that of the "
        "plain run of the same seed, in percentage points, with its 95 % interval and "
        "the p value of a paired t test."
    ]
    if gains:
        notes[0] += (
            f" P adjusted: for the {gains} gains in accuracy of this table (Benjamini "
            "and Hochberg). The tests of each other metric are adjusted in the same "
            f"way. {BOLD}"
        )
    if printed:
        notes += [
            f"The second number is the paper's (Table {printed.number}: one run at a "
            "learning rate of 0.01, 224 px, 50 epochs). The paper does not define its "
            "mean, so every mean has the same figure beside it.",
            *printed.notes,
        ]
    if part["diverged"].sum():
        notes.append(
            f"{part['diverged'].sum()} of {part['seeds'].sum()} runs diverged: a loss "
            "is not finite. Their accuracy counts. A mean of losses is over the other "
            "runs, and says how many they are."
        )
    title = display_names.title(setting)
    return _table(part, title, METRIC_HEADS, {"accuracy": "Gain"}, notes)


def _table(
    part: pl.DataFrame,
    title: str,
    heads: Mapping[str, str],
    gains: Mapping[str, str],
    notes: list[str],
) -> Table:
    """A row for each arm, and columns for measures and some of their gains."""
    columns = ["Optimizer", "Rate", "Seeds"]
    for measure, head in heads.items():
        columns.append(head)
        if measure in gains:
            columns += [gains[measure], "95 % interval", "p", "p adjusted"]
    return Table(
        title=title,
        heads=tuple(columns),
        blocks=tuple(
            tuple(_cells(row, rows, heads, gains) for row in rows)
            for rows in blocks(part)
        ),
        notes=tuple(notes),
    )


def _cells(row, rows, heads, gains):
    is_plain = row["arm"] == "plain"
    label = optimizers.of(row["optimizer"]).label
    printed = published.figures_of(
        row["dataset"], row["model"], row["optimizer"], not is_plain
    )
    found = [
        Cell(text=label if is_plain else f"WGD {label} ({row['arm']})"),
        Cell(text=f"{row['learning_rate']:g}", value=row["learning_rate"]),
        Cell(text=str(row["seeds"]), value=row["seeds"]),
    ]
    for measure in heads:
        found.append(cells.mean_cell(row, rows, measure, printed.get(measure)))
        if measure in gains and is_plain:
            found += [Cell()] * 4
        elif measure in gains:
            found += cells.gain_cells(row, f"{measure}_gain", measure)
    return tuple(found)
