"""Charts of lines with bands: by epoch, or by learning rate."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from keras_wgd.report import charts
from keras_wgd.report.charts import Chart, Rows

_PANELS_IN_A_ROW = 4


def lines(
    sections: Mapping[str, Rows], *, order: Sequence[str], x: str, **options: Any
) -> Chart | None:
    """Lines with bands, one for each arm, by epoch or on a logarithmic `x`.

    Sections lie one below the other: by the title of their upright axis, rows of
    `charts.point` with an `x`. Those without rows are left out.
    """
    filled = {head: rows for head, rows in sections.items() if rows}
    panel = _panel(x, order, [row for rows in filled.values() for row in rows])
    parts = [
        (_section(number, head, rows, panel), rows)
        for number, (head, rows) in enumerate(filled.items())
    ]
    options |= {"axes": 56, "min_width": 120, "spacing": 25}
    return charts.whole("vconcat", parts, **options)


def _section(number, head, rows, panel):
    """A panel for each optimizer and learning rate."""
    panels = list(charts.split(rows, "panel"))
    header = {"labelAnchor": "start", "labelFontWeight": "bold", "labelFontSize": 11}
    bands, lines, points = panel["layer"]
    layer = [{**lines, "name": f"marks_{number}"}, points]
    if any(row["low"] is not None for row in rows):
        layer.insert(0, bands)
    return {
        **{name: panel[name] for name in ("$schema", "config")},
        "facet": {
            **{"field": "panel", "type": "nominal", "title": None},
            **{"sort": panels, "header": header},
        },
        "columns": min(_PANELS_IN_A_ROW, len(panels)),
        "data": {"name": f"rows_{number}"},
        "title": charts.panel_title(head, 12),
        "spec": {"layer": layer, "width": panel["width"], "height": panel["height"]},
    }


def _panel(x, order, rows):
    scale = alt.Scale(nice=False) if x == "epoch" else alt.Scale(type="log", nice=False)
    axis = charts.number_axis(format="d", tickMinStep=1, tickCount=5)
    if x != "epoch":
        values = sorted({row["x"] for row in rows})
        axis = charts.number_axis(format="~g", values=values, labelOverlap="greedy")
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("x:Q", title=x.capitalize(), scale=scale, axis=axis),
        color=alt.Color(**charts.look(rows, order, "color", 250)),
    )
    upright = {
        "title": None,
        "scale": alt.Scale(zero=False),
        "axis": charts.number_axis(minExtent=28, tickCount=5),
    }
    mean = alt.Y("mean:Q", **upright)
    # Fill opacities: an opacity of the mark would take a layer of its own in a picture.
    bands = base.mark_area(strokeWidth=0).encode(
        y=alt.Y("bottom:Q", **upright),
        y2="top:Q",
        fillOpacity=charts.if_shown(0.16, 0),
    )
    dash = charts.look(rows, order, "dash", 250, symbolType="stroke")
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=alt.StrokeDash(**dash), y=mean, opacity=charts.if_shown(1)
    )
    points = base.mark_point(filled=True, size=22, opacity=1).encode(
        y=mean,
        fillOpacity=charts.if_shown(1, 0),
        tooltip=charts.tooltip(
            alt.Tooltip("x:Q", title=x.capitalize()),
            "Mean",
            alt.Tooltip("seeds:Q", title="Seeds"),
        ),
    )
    panel = alt.layer(bands, lines, points, width=215, height=120)
    return panel.to_dict(validate=False)
