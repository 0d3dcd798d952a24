"""Charts of the curves of a comparison."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.report import charts
from keras_wgd.report.charts import Chart, Rows
from keras_wgd.report.trials import shared

# A trial's line has no more points: more cannot be seen.
_MOST_POINTS = 200
# The columns of `TrialAnalysis.epochs` that are no curve.
_NO_CURVES = ("arm", "seed", "epoch", "seconds")


def of_monitor(analysis: TrialAnalysis, names: Mapping[str, str]) -> Chart | None:
    """The monitor, its second half, and the training loss.

    `names` is the label of each arm.
    """
    monitor, epochs = analysis.question.monitor, analysis.epochs
    heads = _heads(epochs)
    if monitor not in heads:  # no trial has ended yet
        return None
    panels = {heads[monitor]: _curve(epochs, monitor, names)}
    late = epochs.filter(
        pl.col("epoch") > pl.col("epoch").max() / 2, pl.col("epoch").max() > 3
    )
    panels[f"{heads[monitor]}: second half"] = _curve(late, monitor, names)
    if "loss" in heads and monitor != "loss":
        panels[heads["loss"]] = _curve(epochs, "loss", names)
    return _curves(panels, names, "The monitor and the training loss")


def of_others(analysis: TrialAnalysis, names: Mapping[str, str]) -> Chart | None:
    """What `of_monitor` leaves out of the logged values."""
    shown = (analysis.question.monitor, "loss")
    panels = {
        head: _curve(analysis.epochs, name, names)
        for name, head in _heads(analysis.epochs).items()
        if name not in shown
    }
    return _curves(panels, names, "The other logged values")


def _heads(epochs: pl.DataFrame) -> dict[str, str]:
    """The label of each logged value."""
    return shared.labels(name for name in epochs.columns if name not in _NO_CURVES)


def _curves(
    panels: Mapping[str, Rows], names: Mapping[str, str], title: str
) -> Chart | None:
    """Logged values by epoch: thin lines of the trials, and their means.

    The panels are points, as of `_curve`, by their titles.
    """
    filled = {head: rows for head, rows in panels.items() if rows}
    every = [row for rows in filled.values() for row in rows]
    parts = []
    for number, (head, rows) in enumerate(filled.items()):
        panel = _panel(number, rows, every, list(names.values()))
        panel["title"] = charts.panel_title(head)
        parts.append((panel, rows))
    subtitle = ["Thin lines: the trials; thick lines: the means of the arms"]
    if any(row["kind"] == "end" for row in every):
        subtitle.append("A cross: from the next epoch on the value is not finite")
    return charts.whole(
        "concat",
        parts,
        title=title,
        subtitle=subtitle,
        axes=56,
        min_width=220,
        columns=min(3, len(parts)),
        max_width=520,
        spacing=20,
    )


def _curve(
    epochs: pl.DataFrame, name: str, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The points of a curve; none if it has no finite value.

    Their `kind` is "trial", "mean", or "end": the last point before one that is not
    finite.
    """
    curve = epochs.select("arm", "seed", "epoch", value=pl.col(name).cast(pl.Float64))
    curve = curve.drop_nulls("value")
    is_finite = pl.col("value").is_finite()
    finite = curve.filter(is_finite)
    if finite.is_empty():
        return []
    means = finite.group_by("arm", "epoch").agg(pl.col("value").mean(), trials=pl.len())
    following = pl.col("value").shift(-1).over("arm", "seed", order_by="epoch")
    ends = curve.filter(is_finite & ~following.is_finite())
    ends = ends.group_by("arm", "seed", maintain_order=True).first()
    # Every point, or as many as can be seen.
    step = math.ceil(max(finite["epoch"].to_list()) / _MOST_POINTS)
    is_last = pl.col("epoch") == pl.col("epoch").max()
    is_seen = (pl.col("epoch") - 1) % step == 0
    trials = curve.filter(is_seen | is_last.over("arm", "seed"))
    trials = trials.with_columns(pl.when(is_finite).then("value"))
    means = means.filter(is_seen | is_last.over("arm"))
    kinds = {"trial": trials, "mean": means.sort("arm", "epoch"), "end": ends}
    return [
        {**row, "kind": kind, "arm": names[row["arm"]]}
        for kind, rows in kinds.items()
        for row in rows.to_dicts()
    ]


def _panel(
    number: int, rows: Rows, every: Rows, order: Sequence[str]
) -> dict[str, Any]:
    """One logged value; `every` has the rows of all panels."""
    epochs = [row["epoch"] for row in rows]
    first, last = min(epochs), max(epochs)
    is_one = first == last  # there is no line then
    x = alt.X(
        "epoch:Q",
        title="Epoch",
        scale=alt.Scale(
            domain=[first - is_one / 2, last + is_one / 2], nice=False, zero=False
        ),
        axis=charts.number_axis(
            format="d",
            tickMinStep=1,
            tickCount=5,
            **({"values": [first]} if is_one else {}),
        ),
    )
    y = shared.upright(shared.domain([row["value"] for row in rows], trim=True))
    base = shared.base(number, every, order, 250).encode(x=x, y=alt.Y("value:Q", **y))
    dash = charts.look(every, order, "dash", 250, symbolType="stroke")
    place = [shared.ARM, shared.SEED, alt.Tooltip("epoch:Q", title="Epoch")]
    trials, means, ends = (
        base.transform_filter(f"datum.kind === '{kind}'")
        for kind in ("trial", "mean", "end")
    )
    layers = [
        trials.mark_line(
            strokeWidth=0.8,
            clip=True,
            invalid="break-paths-filter-domains",
            point={"size": 12} if is_one else False,
        ).encode(
            detail="seed:N",
            strokeOpacity=charts.if_shown(0.45, 0),
            tooltip=place[:2],
        ),
        means.mark_line(strokeWidth=2.5, clip=True)
        .encode(strokeDash=alt.StrokeDash(**dash))
        .properties(name=f"marks_{number}"),
        means.mark_point(filled=True, size=20, clip=True).encode(
            fillOpacity=charts.if_shown(1, 0),
            tooltip=[
                *place[::2],
                shared.number("value", "Mean"),
                alt.Tooltip("trials:Q", title="Trials"),
            ],
        ),
        ends.mark_point(
            shape="M-1-1L1 1M-1 1L1-1", size=60, strokeWidth=2, filled=False, clip=True
        ).encode(tooltip=place),
    ]
    chart = alt.layer(*layers, width=360, height=170)
    panel: dict[str, Any] = chart.to_dict(validate=False)
    return panel
