"""Charts of lines with bands: by epoch, or by learning rate."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import altair as alt

from keras_wgd.report import charts

_PANELS_IN_A_ROW = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """Panels that have one upright axis.

    Attributes:
        title: What stands upright, with its unit.
        rows: As `charts.point` gives them; a panel for each of their `panel`.
    """

    title: str
    rows: Sequence[dict[str, Any]]


def lines(
    sections: Sequence[Section],
    *,
    x: str,
    title: str,
    subtitle: Sequence[str],
) -> dict[str, Any] | None:
    """Lines with bands, one for each arm, in panels.

    Args:
        sections: One below the other; those without rows are left out.
        x: What lies along: `"epoch"`, or anything else on a logarithmic scale.
        title: Of the whole.
        subtitle: Its lines.

    Returns:
        The chart, as `charts.whole`; `None` where there are no rows.
    """
    sections = [section for section in sections if section.rows]
    if not sections:
        return None
    rows = [row for section in sections for row in section.rows]
    arms = charts.arms_of(rows)
    shown = charts.selection(arms)
    panel = _panel(x, rows, arms, shown).to_dict(validate=False)
    found = [
        _section(number, section, panel) for number, section in enumerate(sections)
    ]
    return charts.whole(
        "vconcat",
        found,
        shown,
        [f"lines_{number}" for number in range(len(sections))],
        {f"rows_{number}": section.rows for number, section in enumerate(sections)},
        title=title,
        subtitle=subtitle,
        axes=56,
        least=120,
        spacing=25,
    )


def _section(number, section, panel):
    """A panel for each optimizer and learning rate."""
    panels = list(charts.parts(section.rows, "panel"))
    header = {"labelAnchor": "start", "labelFontWeight": "bold", "labelFontSize": 11}
    bands, lines, points = panel["layer"]
    layer = [{**lines, "name": f"lines_{number}"}, points]
    if any(row["low"] is not None for row in section.rows):
        layer.insert(0, bands)
    return {
        **{name: panel[name] for name in ("$schema", "config")},
        "facet": {
            **{"field": "panel", "type": "nominal", "title": None},
            **{"sort": panels, "header": header},
        },
        "columns": min(_PANELS_IN_A_ROW, len(panels)),
        "data": {"name": f"rows_{number}"},
        "title": charts.panel_title(section.title, 12),
        "spec": {"layer": layer, "width": panel["width"], "height": panel["height"]},
    }


def _panel(x, rows, arms, shown):
    scale = alt.Scale(nice=False) if x == "epoch" else alt.Scale(type="log", nice=False)
    axis = charts.number_axis(format="d", tickMinStep=1, tickCount=5)
    if x != "epoch":
        values = sorted({row["x"] for row in rows})
        axis = charts.number_axis(format="~g", values=values, labelOverlap="greedy")
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("x:Q", title=x.capitalize(), scale=scale, axis=axis),
        color=charts.colour(arms, 250),
    )
    upright = {
        "title": None,
        "scale": alt.Scale(zero=False),
        "axis": charts.number_axis(minExtent=28, tickCount=5),
    }
    mean = alt.Y("mean:Q", **upright)
    # Opacities of fills: those of marks would each take a layer in a picture.
    bands = base.mark_area(strokeWidth=0).encode(
        y=alt.Y("bottom:Q", **upright),
        y2="top:Q",
        fillOpacity=charts.if_shown(shown, 0.16, 0),
    )
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=charts.dash(arms), y=mean, opacity=charts.if_shown(shown, 1)
    )
    points = base.mark_point(filled=True, size=22, opacity=1).encode(
        y=mean,
        fillOpacity=charts.if_shown(shown, 1, 0),
        tooltip=charts.tooltip(
            alt.Tooltip("x:Q", title=x.capitalize()),
            "Mean",
            alt.Tooltip("seeds:Q", title="Seeds"),
        ),
    )
    return alt.layer(bands, lines, points, width=215, height=120)
