"""Figures 4 to 9 of the paper, and more like them, from results alone."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from keras_wgd.files import atomic
from keras_wgd.study import charts, labels, layout, paper, tables
from keras_wgd.study.optimizers import OPTIMIZERS
from keras_wgd.study.results import Result
from keras_wgd.study.spec import ARMS
from keras_wgd.study.statistics import SETTING, means_of

# The version of Vega-Lite that Altair writes, as vl-convert names it.
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])

_CURVES = {
    "accuracy": ("train_accuracy", "test_accuracy"),
    "loss": ("train_loss", "test_loss"),
}
_PANELS_IN_A_ROW = 4
# Letters of a name; a file's may have 255, and that of its draft is longer.
_LONGEST_NAME = 200
_BAND = "Mean over the seeds, with its 95 % interval"


def figures(results: Sequence[Result]) -> dict[str, alt.TopLevelMixin]:
    """Draw what the results hold.

    Args:
        results: Results of one or more studies.

    Returns:
        Charts by their names, which do for files and begin with the number of
        the paper's figure where it has one. For each setting: accuracy and loss
        by epoch, how smooth training was, `||h|| / ||g||` by epoch (Eq. 17) and,
        where an optimizer has three learning rates or more, what they led to;
        for each data set, all accuracies. A chart that would be empty, as all
        losses are of runs that have diverged, is left out.
    """
    runs = tables.frame(results).with_row_index()
    settings = [
        (part.row(0, named=True), part, [results[i] for i in part["index"]])
        for _, part in runs.sort(
            SETTING, nulls_last=True, maintain_order=True
        ).group_by(SETTING, maintain_order=True)
    ]
    ends = _name_ends([setting for setting, _, _ in settings])
    found: dict[str, alt.TopLevelMixin | None] = {}
    for (setting, part, group), end in zip(settings, ends, strict=True):
        found |= _figures_of(setting, part, group, end)
    for dataset in runs["dataset"].unique().sort():
        number = paper.ACCURACY_FIGURES.get(dataset)
        name = f"{_figure(number)}accuracy-all-{dataset}"
        found[name] = _all_accuracies(
            tables.summarize(runs.filter(dataset=dataset)), dataset, number
        )
    return {_cut(name): chart for name, chart in found.items() if chart is not None}


def write(folder: Path, drawn: Mapping[str, alt.TopLevelMixin]) -> list[Path]:
    """Write each chart as PNG and as SVG.

    Args:
        folder: Where to; it is made where it is missing.
        drawn: As `figures` gives them.

    Returns:
        The files.
    """
    import vl_convert

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, chart in drawn.items():
        spec = {**chart.to_dict(), "background": "white"}
        svg = _renumber(vl_convert.vegalite_to_svg(spec, VEGA_LITE))
        png = vl_convert.svg_to_png(svg, scale=2)
        for path, data in (
            (folder / f"{name}.png", png),
            (folder / f"{name}.svg", svg.encode()),
        ):
            with atomic(path) as draft:
                draft.write_bytes(data)
            written.append(path)
    return written


def _renumber(svg: str) -> str:
    """Count the clips of a picture from 0; Vega counts on from the one before."""
    names = dict.fromkeys(re.findall(r'id="(clip\d+)"', svg))
    numbers = {name: f"clip{number}" for number, name in enumerate(names)}
    return re.sub(
        r'(id="|url\(#)(clip\d+)(?=["\)])',
        lambda found: found[1] + numbers.get(found[2], found[2]),
        svg,
    )


def _figures_of(setting, part, results, end):
    """The charts of one setting."""
    name = labels.name(setting)
    subtitle = [", ".join(labels.differences(setting))]
    diverged = part["diverged"].sum()
    if diverged:
        subtitle.append(
            f"{diverged} of {len(part)} runs diverged: losses are those of the others"
        )
    found = {}
    for quantity, curves in _CURVES.items():
        number = None
        if setting["model"] == paper.CURVE_MODEL:
            number = paper.CURVE_FIGURES.get((setting["dataset"], curves[0]))
        percent = quantity == "accuracy"
        rows, panels = _curve_rows(results, curves, (100, 100) if percent else ())
        found[f"{_figure(number)}{quantity}-{end}"] = charts.lines(
            rows,
            x="epoch",
            y_title="Accuracy (%)" if percent else "Loss (nats)",
            panels=panels,
            columns=min(_PANELS_IN_A_ROW, len(panels) // 2),
            same_y=percent,
            title=f"{_title(number)}{quantity.capitalize()} of {name}",
            subtitle=[*subtitle, f"{_BAND}; in training and on the test images"],
        )
    summary = tables.summarize(part)
    if setting["epochs"] >= 3:
        found[f"smoothness-{end}"] = charts.dots(
            _dot_rows(summary, layout.ROUGHNESS_HEADS),
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
    whitened = [result for result in results if result.norm_ratios]
    if whitened:
        rows, panels = _norm_rows(whitened)
        found[f"norm-ratio-{end}"] = charts.lines(
            rows,
            x="epoch",
            y_title="||h|| / ||g||",
            panels=panels,
            columns=min(_PANELS_IN_A_ROW, len(panels)),
            same_y=True,
            title=f"What WGD leaves of the gradient's norm: {name}",
            subtitle=[*subtitle, f"{_BAND}; centred kernels alone (Eq. 17)"],
        )
    rates = part.group_by("optimizer").agg(pl.col("learning_rate").n_unique())
    swept = rates.filter(pl.col("learning_rate") >= 3)["optimizer"].to_list()
    if swept:
        rows = _rate_rows(summary.filter(pl.col("optimizer").is_in(swept)))
        panels = [OPTIMIZERS[name].label for name in OPTIMIZERS if name in swept]
        found[f"learning-rates-{end}"] = charts.lines(
            rows,
            x="learning rate",
            y_title="Accuracy (%)",
            panels=panels,
            columns=min(_PANELS_IN_A_ROW, len(panels)),
            same_y=True,
            title=f"Accuracy of {name} by learning rate",
            subtitle=[*subtitle, f"{_BAND}; test images, after the last epoch"],
        )
    return found


def _curve_rows(results, curves, scale):
    """Points of the curves, and the panels in their order on the page."""
    blocks = _blocks(results)
    rows = []
    for block, arms in blocks.items():
        for arm, group in arms.items():
            for curve, part in zip(curves, ("training", "test"), strict=True):
                values = [result.curves[curve] for result in group]
                rows += _points(values, f"{block}, {part}", arm, *scale)
    names = list(blocks)
    panels = [
        f"{block}, {part}"
        for start in range(0, len(names), _PANELS_IN_A_ROW)
        for part in ("training", "test")
        for block in names[start : start + _PANELS_IN_A_ROW]
    ]
    return rows, panels


def _norm_rows(results):
    blocks = _blocks(results)
    rows = []
    for block, arms in blocks.items():
        for arm, group in arms.items():
            rows += _points([r.norm_ratios for r in group], block, arm, most=1)
    return rows, list(blocks)


def _points(values, panel, arm, scale=1, most=math.inf):
    return [
        charts.point(panel, arm, epoch, estimate, scale, most)
        for epoch, estimate in enumerate(means_of(values), start=1)
        if estimate.mean is not None
    ]


def _blocks(results):
    """Results by the name of their block, then by arm, in the order of the tables."""
    order = sorted(
        results,
        key=lambda result: (
            list(OPTIMIZERS).index(result.spec.optimizer),
            result.spec.learning_rate,
            ARMS.index(result.spec.arm),
            result.spec.seed,
        ),
    )
    blocks: dict[str, dict[str, list[Result]]] = {}
    for result in order:
        arms = blocks.setdefault(labels.block_name(result.spec.to_dict()), {})
        arms.setdefault(result.spec.arm, []).append(result)
    return blocks


def _all_accuracies(summary, dataset, number):
    rows = []
    for row in summary.iter_rows(named=True):
        printed = paper.figures_of(
            row["dataset"], row["model"], row["optimizer"], row["arm"] != "plain"
        )
        rows.append(
            charts.dot(labels.title(row), row, "accuracy", 100, 100)
            | {"paper": printed.get("accuracy")}
        )
    subtitle = [f"{_BAND}; test images, after the last epoch"]
    if any(row["paper"] is not None for row in rows):
        subtitle[0] += "; hollow diamonds: the paper's figures"
    return charts.dots(
        rows,
        x_title="Accuracy (%)",
        columns=1,
        title=f"{_title(number)}Accuracy of all experiments on "
        f"{paper.DATASETS.get(dataset, dataset)}",
        subtitle=subtitle,
    )


def _dot_rows(summary, measures):
    return [
        charts.dot(head, row, measure)
        for measure, head in measures.items()
        for row in summary.iter_rows(named=True)
        if row[measure] is not None
    ]


def _rate_rows(summary):
    dots = (
        charts.dot(OPTIMIZERS[row["optimizer"]].label, row, "accuracy", 100, 100)
        for row in summary.iter_rows(named=True)
    )
    return [
        {k: v for k, v in dot.items() if k not in ("place", "label")} for dot in dots
    ]


def _name_ends(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each setting, with the fields that tell it from its likes."""
    ends = []
    for setting in settings:
        pair = (setting["model"], setting["dataset"])
        likes = [s for s in settings if (s["model"], s["dataset"]) == pair]
        fields = [f for f in SETTING if len({like[f] for like in likes}) > 1]
        values = {f: "own" if setting[f] is None else setting[f] for f in fields}
        parts = [f"{f}-{value}".replace("_", "-") for f, value in values.items()]
        ends.append("-".join((*pair, *parts)))
    return ends


def _cut(name):
    """A name that does for a file: of a very long one the beginning, and a digest."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}-{digest}"


def _figure(number):
    return "" if number is None else f"figure-{number}-"


def _title(number):
    return "" if number is None else f"Figure {number}: "
