"""Charts of dots with intervals: a line for each optimizer, rate and arm."""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from keras_wgd.report import charts
from keras_wgd.report.charts import Chart, Rows

# The block of a mean over all optimizers, in a forest plot.
POOLED = "all"
_RUN = alt.Tooltip("block:N", title="Optimizer")


def dots(
    rows: Rows, *, order: Sequence[str], x_title: str, **options: Any
) -> Chart | None:
    """Means with intervals, in panels that each have their own scale.

    The rows are those of `charts.point` with a `block`, in the order of panels and
    blocks. A hollow diamond shows their `paper`, if they have one.
    """

    def marks(base, x, part):
        seeds = alt.Tooltip("seeds:Q", title="Seeds")
        means = base.mark_point(filled=True, size=55, opacity=1).encode(
            x=alt.X("mean:Q", **x),
            shape=alt.Shape(**charts.look(rows, order, "shape")),
            tooltip=charts.tooltip(_RUN, x_title, seeds),
        )
        if all(row.get("paper") is None for row in part):
            return [means]
        paper = alt.Tooltip("paper:Q", title=f"The paper: {x_title}")
        diamonds = base.mark_point(
            shape="diamond", size=75, filled=False, strokeWidth=1.5
        )
        return [means, diamonds.encode(x=alt.X("paper:Q", **x), tooltip=[_RUN, paper])]

    return _chart(
        rows, order, marks, x_title, ("bottom", "top"), False, spacing=20, **options
    )


def forest(rows: Rows, *, order: Sequence[str], **options: Any) -> Chart | None:
    """Paired gains with their intervals around zero, one panel below the other.

    The rows are those of `charts.point` with a `block`, `pairs`, `p`, `p adjusted` and
    `significant`: the points of these are filled.
    """
    x_title = "Gain in accuracy (percentage points)"
    is_pooled = f"datum.block === '{POOLED}'"
    numbers = (
        alt.Tooltip("p:Q", format=".3~f"),
        alt.Tooltip("p adjusted:Q", format=".3~f"),
        alt.Tooltip("pairs:Q", title="Pairs"),
    )

    def marks(base, x, part):
        gains = base.mark_point(filled=True, strokeWidth=1.5, opacity=1).encode(
            x=alt.X("mean:Q", **x),
            stroke=alt.Stroke(**charts.look(rows, order, "color")),
            fillOpacity=alt.condition("datum.significant", alt.value(1), alt.value(0)),
            size=alt.condition(is_pooled, alt.value(130), alt.value(55)),
            shape=alt.Shape(**charts.look(rows, order, "shape")),
            tooltip=charts.tooltip(_RUN, x_title, *numbers),
        )
        return [gains]

    options |= {"columns": 1, "spacing": 10}
    return _chart(rows, order, marks, x_title, ("low", "high"), True, **options)


def _chart(
    rows: Rows,
    order: Sequence[str],
    marks: Callable[..., list[alt.Chart]],
    x_title: str,
    ends: tuple[str, str],
    is_around_zero: bool,
    **options: Any,
) -> Chart | None:
    """Intervals and marks, in a panel for each `panel` of the rows.

    Around zero the panels share a title of the axis, below the last one.
    """
    low, high = ends
    drawn: list[tuple[dict[str, Any], Rows]] = []
    panels = charts.split(rows, "panel")
    for number, (name, part) in enumerate(panels.items()):
        has_title = not is_around_zero or number == len(panels) - 1
        x = {
            "title": x_title if has_title else None,
            "scale": alt.Scale(zero=is_around_zero),
            "axis": charts.number_axis(tickCount=6, labelFlush=False),
        }
        base = alt.Chart(alt.NamedData(f"rows_{number}")).encode(
            y=alt.Y("block:N", title=None, sort=list(charts.split(part, "block"))),
            yOffset=alt.YOffset("arm:N", sort=charts.arms_of(rows, order)),
            color=alt.Color(**charts.look(rows, order, "color")),
            opacity=charts.if_shown(1),
        )
        first, *others = marks(base, x, part)
        layers = [first.properties(name=f"marks_{number}"), *others]
        if any(row[low] is not None for row in part):  # or the axis has no extent
            across = {"x": alt.X(f"{low}:Q", **x), "x2": f"{high}:Q"}
            layers.insert(0, base.mark_rule(strokeWidth=2).encode(**across))
        panel = alt.layer(*layers, width=360).to_dict(validate=False)
        panel["height"] = {"step": 11, "for": "offset"}
        panel["title"] = charts.panel_title(name)
        drawn.append((panel, part))
    return charts.whole("concat", drawn, axes=95, min_width=220, **options)
