"""Figures 4 to 9 of the paper, and more like them, from results alone."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from keras_wgd.experiments.analysis import curves, frames
from keras_wgd.experiments.analysis.pairing import SETTING
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import ARMS
from keras_wgd.experiments.store.results import Result
from keras_wgd.paper import labels, layout, published
from keras_wgd.report import charts, dot_charts, gains, line_charts, verdict

_CURVES = {
    "accuracy": ("train_accuracy", "test_accuracy"),
    "loss": ("train_loss", "test_loss"),
}
_PERCENT = {"scale": 100.0, "most": 100.0}
# Letters of a name; a file's may have 255, and that of its draft is longer.
_LONGEST_NAME = 200
_BAND = "Mean over the seeds, with its 95 % interval"


def figures(
    results: Sequence[Result],
) -> dict[str, dict[str, Any]]:
    """Draw what the results hold.

    Args:
        results: Results of one or more studies.

    Returns:
        Charts, as `charts.whole`, by names that do for files: the paired gains;
        for each setting accuracy and loss by epoch and their differences from
        plain, how smooth training was, `||h|| / ||g||` by epoch (Eq. 17) and,
        where an optimizer has three learning rates or more, what they led to; for
        each data set, all accuracies. The data sets and settings with the most
        pairs come first. A chart that would be empty, as all losses are of runs
        that have diverged, is left out.
    """
    runs = frames.frame(results)
    return draw(runs, curves.frame(results), frames.summarize(runs))


def draw(
    runs: pl.DataFrame, epochs: pl.DataFrame, summary: pl.DataFrame
) -> dict[str, dict[str, Any]]:
    """As `figures`, of what is known already.

    Args:
        runs: As `frames.frame` gives them.
        epochs: As `curves.frame` gives them.
        summary: As `frames.summarize` gives it.
    """
    gained = gains.forest(summary, verdict.judged(runs, "accuracy"))
    found: dict[str, dict[str, Any] | None] = {
        "gains": dot_charts.forest(
            gained,
            title="Gain in accuracy with WGD",
            subtitle=[
                "Accuracy less that of the plain run of the same seed: mean over the "
                "pairs, with its 95 % interval",
                f"Filled: significant (p adjusted below {LEVEL:g}); “{gains.POOLED}”: "
                "averaged over the optimizers first",
            ],
        )
    }
    settings = summary.partition_by(SETTING, maintain_order=True)
    ends = _name_ends([part.row(0, named=True) for part in settings])
    for part, end in zip(settings, ends, strict=True):
        found |= _figures_of(part, _of_setting(epochs, part), end)
    for part in summary.partition_by("dataset", maintain_order=True):
        found[f"accuracy-all-{part['dataset'][0]}"] = _all_accuracies(part)
    return {_cut(name): chart for name, chart in found.items() if chart is not None}


def _of_setting(epochs, part):
    """The curves of a setting, in the order of the tables."""
    return epochs.join(
        part.select(SETTING).unique(), on=SETTING, how="semi", nulls_equal=True
    ).sort(
        pl.col("optimizer").cast(pl.Enum(list(OPTIMIZERS))),
        "learning_rate",
        pl.col("arm").cast(pl.Enum(ARMS)),
        *("seed", "epoch"),
    )


def _figures_of(summary, epochs, end):
    """The charts of one setting."""
    setting = summary.row(0, named=True)
    name = labels.name(setting)
    subtitle = [", ".join(labels.differences(setting))]
    diverged = summary["diverged"].sum()
    if diverged:
        subtitle.append(
            f"{diverged} of {summary['seeds'].sum()} runs diverged: losses are those "
            "of the others"
        )
    found = {}
    gained = curves.gains(epochs)
    for quantity, (training, test) in _CURVES.items():
        number = None
        if setting["model"] == published.CURVE_MODEL:
            number = published.CURVE_FIGURES.get((setting["dataset"], training))
        unit, gain_unit, bounds = "nats", "nats", {}
        if quantity == "accuracy":
            unit, gain_unit, bounds = "%", "percentage points", _PERCENT
        of_gains = {"scale": bounds.get("scale", 1), "least": -math.inf}
        sections = []
        for place, curve in (("training", training), ("test", test)):
            head = f"{place.capitalize()} {quantity}"
            sections += [
                _section(f"{head} ({unit})", epochs, curve, bounds),
                _section(
                    f"{head}: WGD less plain, pair by pair ({gain_unit})",
                    gained,
                    curve,
                    of_gains,
                ),
            ]
        found[f"{quantity}-{end}"] = line_charts.lines(
            sections,
            x="epoch",
            title=f"{quantity.capitalize()} of {name}{_of_paper(number)}",
            subtitle=[*subtitle, f"{_BAND}; in training and on the test images"],
        )
    if setting["epochs"] >= 3:
        found[f"smoothness-{end}"] = dot_charts.dots(
            [
                dot_charts.dot(head, row, measure)
                for measure, head in layout.ROUGHNESS_HEADS.items()
                for row in summary.iter_rows(named=True)
                if row[measure] is not None
            ],
            x_title="Roughness (nats per epoch)",
            columns=2,
            title=f"Roughness of the loss curves of {name}",
            subtitle=[
                *subtitle,
                "Root mean square of how much the change of the loss from one epoch to "
                "the next itself changes; less is smoother",
                _BAND,
            ],
        )
    found[f"norm-ratio-{end}"] = line_charts.lines(
        [_section("||h|| / ||g||", epochs, "norm_ratio", {"most": 1})],
        x="epoch",
        title=f"What WGD leaves of the gradient's norm: {name}",
        subtitle=[*subtitle, f"{_BAND}; centred kernels alone (Eq. 17)"],
    )
    rates = pl.col("learning_rate").n_unique().over("optimizer")
    found[f"learning-rates-{end}"] = line_charts.lines(
        [
            line_charts.Section(
                title="Test accuracy (%)",
                rows=_rate_rows(summary.filter(rates >= 3)),
            )
        ],
        x="learning rate",
        title=f"Accuracy of {name} by learning rate",
        subtitle=[*subtitle, f"{_BAND}; test images, after the last epoch"],
    )
    return found


def _section(title, epochs, curve, bounds):
    """The panels of one curve: one for each optimizer and learning rate."""
    return line_charts.Section(
        title=title,
        rows=[
            charts.point(labels.block_name(arm), arm["arm"], epoch, estimate, **bounds)
            for arm, estimates in curves.means(epochs, curve)
            for epoch, estimate in enumerate(estimates, start=1)
            if estimate.mean is not None
        ],
    )


def _all_accuracies(summary):
    dataset = summary["dataset"][0]
    rows = []
    for row in summary.iter_rows(named=True):
        printed = published.figures_of(
            row["dataset"], row["model"], row["optimizer"], row["arm"] != "plain"
        )
        rows.append(
            dot_charts.dot(labels.title(row), row, "accuracy", **_PERCENT)
            | {"paper": printed.get("accuracy")}
        )
    subtitle, number = [f"{_BAND}; test images, after the last epoch"], None
    if any(row["paper"] is not None for row in rows):
        subtitle[0] += "; hollow diamonds: the paper's figures"
        number = published.ACCURACY_FIGURES.get(dataset)
    return dot_charts.dots(
        rows,
        x_title="Accuracy (%)",
        columns=1,
        title="Accuracy of all experiments on "
        f"{published.DATASETS.get(dataset, dataset)}{_of_paper(number)}",
        subtitle=subtitle,
    )


def _rate_rows(summary):
    rows = []
    for row in summary.iter_rows(named=True):
        panel = OPTIMIZERS[row["optimizer"]].label
        rows.append(dot_charts.dot(panel, row, "accuracy", **_PERCENT))
    return rows


def _name_ends(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each setting, with the fields that tell it from its likes."""
    ends = []
    for setting in settings:
        pair = (setting["model"], setting["dataset"])
        likes = [s for s in settings if (s["model"], s["dataset"]) == pair]
        fields = [f for f in SETTING if len({like[f] for like in likes}) > 1]
        values = {f: "own" if setting[f] is None else setting[f] for f in fields}
        if "settings" in values:  # a stranger's text, with slashes perhaps
            text = setting["settings"]
            values["settings"] = _digest(text) if text else "usual"
        parts = [f"{f}-{value}".replace("_", "-") for f, value in values.items()]
        ends.append("-".join((*pair, *parts)))
    return ends


def _cut(name):
    """A name that does for a file: of a very long one the beginning, and a digest."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{_digest(name)}"


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _of_paper(number):
    return "" if number is None else f" (Figure {number} of the paper)"
