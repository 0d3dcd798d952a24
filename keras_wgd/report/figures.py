"""Figures 4 to 9 of the paper, and similar ones, from the frames of a study."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from keras_wgd.experiments import optimizers
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.analysis.frames import SETTING
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.spec import ARMS
from keras_wgd.paper import published
from keras_wgd.report import cells, display_names, dot_charts, layout, line_charts
from keras_wgd.report.charts import Chart, point
from keras_wgd.report.dot_charts import POOLED
from keras_wgd.report.verdict import AT_PAPER_RATE, GROUP, group_names

# The scale of a measure, and the limits of its intervals.
_PERCENT = {"scale": 100.0, "lowest": 0.0, "highest": 100.0}
_POSITIVE = {"lowest": 0.0}
# All arms, in the order of their looks.
_ARMS = [display_names.arm_name(arm) for arm in ARMS]
# A file name may have 255 letters, and that of its draft is longer.
_MAX_NAME = 200
_BAND = "Mean over the seeds, with its 95 % interval"


def figures(analysis: Analysis, verdicts: pl.DataFrame) -> dict[str, Chart]:
    """The charts of a study, by names that are valid for files.

    The data sets and settings with the most pairs come first. Charts without points
    are left out.
    """
    summary = analysis.summary
    found = {"gains": _gains(summary, verdicts)}
    settings = summary.partition_by(SETTING, maintain_order=True)
    ends = _name_ends([part.row(0, named=True) for part in settings])
    curves = analysis.curves.partition_by(SETTING, maintain_order=True)
    for part, of_epochs, end in zip(settings, curves, ends, strict=True):
        found |= _of_setting(part, of_epochs, end)
    for part in summary.partition_by("dataset", maintain_order=True):
        found[f"accuracy-all-{part['dataset'][0]}"] = _accuracies(part)
    return {_cut(name): chart for name, chart in found.items() if chart is not None}


def _gains(summary: pl.DataFrame, verdicts: pl.DataFrame) -> Chart | None:
    """The forest plot: each optimizer, then the mean over all, of each comparison."""
    verdicts = verdicts.filter(measure="accuracy")
    panels = pl.Series(group_names(verdicts), dtype=pl.String)
    verdicts = verdicts.with_columns(panel=panels)
    gains = summary.filter(pl.col("pairs") > 0).with_columns(
        at_paper_rate=AT_PAPER_RATE
    )
    rows = []
    for (panel,), group in verdicts.group_by("panel", maintain_order=True):
        members = gains.join(
            group, on=GROUP, how="semi", nulls_equal=True, maintain_order="left"
        )
        rows += [
            _gain(panel, display_names.block_name(row), row, "accuracy_gain")
            for row in members.iter_rows(named=True)
        ]
        rows += [
            _gain(panel, POOLED, row, "gain")
            for row in group.filter(pl.col("tasks") > 1).iter_rows(named=True)
        ]
    return dot_charts.forest(
        rows,
        order=_ARMS,
        title="Gain in accuracy with WGD",
        subtitle=[
            "Accuracy minus that of the plain run of the same seed: mean over the "
            "pairs, with its 95 % interval",
            f"Filled: significant (p adjusted below {LEVEL:g}); “{POOLED}”: "
            "averaged over the optimizers first",
        ],
    )


def _gain(panel: str, block: str, row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The point of a gain in accuracy, in percentage points."""
    p_adjusted = row[f"{name}_p_adjusted"]
    numbers = {"pairs": row["pairs"], "p": row[f"{name}_p"], "p adjusted": p_adjusted}
    significant = cells.is_significant(p_adjusted)
    numbers |= {"block": block, "significant": significant}
    arm = display_names.arm_name(row["arm"])
    return point(panel, arm, row, name, 100, **numbers)


def _of_setting(
    summary: pl.DataFrame, curves: pl.DataFrame, end: str
) -> dict[str, Chart | None]:
    """The charts of one setting."""
    setting = summary.row(0, named=True)
    name = display_names.name(setting)
    subtitle = [", ".join(display_names.differences(setting))]
    diverged = summary["diverged"].sum()
    if diverged:
        subtitle.append(
            f"{diverged} of {summary['seeds'].sum()} runs diverged: losses are means "
            "over the others"
        )
    found: dict[str, Chart | None] = {}
    for quantity in ("accuracy", "loss"):
        number = None
        if setting["model"] == published.CURVE_MODEL:
            key = (setting["dataset"], f"train_{quantity}")
            number = published.CURVE_FIGURES.get(key)
        found[f"{quantity}-{end}"] = line_charts.lines(
            _sections(curves, quantity),
            order=_ARMS,
            x="epoch",
            title=f"{quantity.capitalize()} of {name}{_of_paper(number)}",
            subtitle=[*subtitle, f"{_BAND}; in training and on the test images"],
        )
    if setting["epochs"] >= 3:
        found[f"smoothness-{end}"] = dot_charts.dots(
            [
                _point(head, row, measure, **_POSITIVE)
                for measure, head in layout.ROUGHNESS_HEADS.items()
                for row in summary.iter_rows(named=True)
                if row[measure] is not None
            ],
            order=_ARMS,
            x_title="Roughness (nats per epoch)",
            columns=2,
            title=f"Roughness of the loss curves of {name}",
            subtitle=[
                *subtitle,
                "Root mean square of the second difference of the loss; a lower value "
                "is smoother",
                _BAND,
            ],
        )
    found[f"norm-ratio-{end}"] = line_charts.lines(
        {"||h|| / ||g||": _curve(curves, "norm_ratio", highest=1, **_POSITIVE)},
        order=_ARMS,
        x="epoch",
        title=f"What WGD leaves of the gradient's norm: {name}",
        subtitle=[*subtitle, f"{_BAND}; centered kernels alone (Eq. 17)"],
    )
    sweep = summary.filter(pl.col("learning_rate").n_unique().over("optimizer") >= 3)
    found[f"learning-rates-{end}"] = line_charts.lines(
        {
            "Test accuracy (%)": [
                _point(
                    optimizers.of(row["optimizer"]).label, row, "accuracy", **_PERCENT
                )
                for row in sweep.iter_rows(named=True)
            ]
        },
        order=_ARMS,
        x="learning rate",
        title=f"Accuracy of {name} by learning rate",
        subtitle=[*subtitle, f"{_BAND}; test images, after the last epoch"],
    )
    return found


def _sections(curves: pl.DataFrame, quantity: str) -> dict[str, list[dict[str, Any]]]:
    """A quantity by epoch and its gain, in training and on the test images."""
    unit, gain_unit, bounds = "nats", "nats", _POSITIVE
    if quantity == "accuracy":
        unit, gain_unit, bounds = "%", "percentage points", _PERCENT
    found = {}
    for place, start in (("Training", "train"), ("Test", "test")):
        head, curve = f"{place} {quantity}", f"{start}_{quantity}"
        gain_head = f"{head}: WGD minus plain, pair by pair ({gain_unit})"
        found[f"{head} ({unit})"] = _curve(curves, curve, **bounds)
        scale = bounds.get("scale", 1.0)
        found[gain_head] = _curve(curves, f"{curve}_gain", scale=scale)
    return found


def _curve(curves: pl.DataFrame, name: str, **bounds: float) -> list[dict[str, Any]]:
    """The points of one curve, in a panel for each optimizer and learning rate."""
    return [
        _point(display_names.block_name(row), row, name, **bounds)
        for row in curves.drop_nulls(name).iter_rows(named=True)
    ]


def _point(
    panel: str, row: Mapping[str, Any], name: str, **more: Any
) -> dict[str, Any]:
    """The point of an arm, at its epoch or at its learning rate."""
    x = row.get("epoch", row["learning_rate"])
    arm, block = display_names.arm_name(row["arm"]), display_names.block_name(row)
    return point(panel, arm, row, name, block=block, x=x, **more)


def _accuracies(summary: pl.DataFrame) -> Chart | None:
    """The accuracies of all settings of a data set, beside the paper's."""
    dataset = summary["dataset"][0]
    rows = []
    for row in summary.iter_rows(named=True):
        printed = published.figures_of(
            row["dataset"], row["model"], row["optimizer"], row["arm"] != "plain"
        )
        paper = printed.get("accuracy")
        title = display_names.title(row)
        rows.append(_point(title, row, "accuracy", **_PERCENT, paper=paper))
    subtitle, number = [f"{_BAND}; test images, after the last epoch"], None
    if any(row["paper"] is not None for row in rows):
        subtitle[0] += "; hollow diamonds: the paper's figures"
        number = published.ACCURACY_FIGURES.get(dataset)
    name = published.DATASETS.get(dataset, dataset)
    return dot_charts.dots(
        rows,
        order=_ARMS,
        x_title="Accuracy (%)",
        columns=1,
        title=f"Accuracy of all experiments on {name}{_of_paper(number)}",
        subtitle=subtitle,
    )


def _name_ends(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each setting, with the fields that differ in similar settings."""
    ends = []
    for setting in settings:
        pair = (setting["model"], setting["dataset"])
        similar = [s for s in settings if (s["model"], s["dataset"]) == pair]
        fields = [f for f in SETTING if len({other[f] for other in similar}) > 1]
        values = {f: "own" if setting[f] is None else setting[f] for f in fields}
        if "settings" in values:  # free text from a file; it may have slashes
            text = setting["settings"]
            values["settings"] = _digest(text) if text else "usual"
        parts = [f"{f}-{value}".replace("_", "-") for f, value in values.items()]
        ends.append("-".join((*pair, *parts)))
    return ends


def _cut(name):
    """A valid file name: of a very long name the beginning, and a digest."""
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 9]}-{_digest(name)}"


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _of_paper(number):
    return "" if number is None else f" (Figure {number} of the paper)"
