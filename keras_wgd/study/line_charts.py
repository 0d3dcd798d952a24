"""Charts of lines with bands: by epoch, or by learning rate."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import altair as alt

from keras_wgd.study import charts

_PANELS_IN_A_ROW = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """Panels that have one upright axis.

    Attributes:
        title: What they show; empty where the chart has one section.
        y_title: What stands upright.
        rows: As `charts.point` gives them; a panel for each of their `panel`.
    """

    title: str
    y_title: str
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
    arms = charts.arms_of([row for section in sections for row in section.rows])
    shown = charts.selection(arms)
    found = [
        _section(number, section, x, arms, shown)
        for number, section in enumerate(sections)
    ]
    return charts.whole(
        "vconcat",
        found,
        shown,
        [f"lines_{number}" for number in range(len(sections))],
        {f"rows_{number}": section.rows for number, section in enumerate(sections)},
        title=title,
        subtitle=subtitle,
        axes=55,
        least=120,
        spacing=25,
    )


def _section(number, section, x, arms, shown):
    epochs = x == "epoch"
    scale = alt.Scale(nice=False) if epochs else alt.Scale(type="log", nice=False)
    axis = charts.number_axis(format="d", tickMinStep=1, tickCount=5)
    if not epochs:
        values = sorted({row["x"] for row in section.rows})
        axis = charts.number_axis(format="~g", values=values, labelOverlap="greedy")
    base = alt.Chart().encode(
        x=alt.X("x:Q", title=x.capitalize(), scale=scale, axis=axis),
        color=charts.colour(arms, 250),
    )
    upright = {
        "title": section.y_title,
        "scale": alt.Scale(zero=False),
        "axis": charts.number_axis(minExtent=28, tickCount=5),
    }
    mean = alt.Y("mean:Q", **upright)
    # Opacities of fills: those of marks would each take a layer in a picture.
    band = base.mark_area(strokeWidth=0).encode(
        y=alt.Y("bottom:Q", **upright),
        y2="top:Q",
        fillOpacity=charts.if_shown(shown, 0.16, 0),
    )
    line = base.mark_line(strokeWidth=2).encode(
        strokeDash=charts.dash(arms), y=mean, opacity=charts.if_shown(shown, 1)
    )
    points = base.mark_point(filled=True, size=22, opacity=1).encode(
        y=mean,
        fillOpacity=charts.if_shown(shown, 1, 0),
        tooltip=charts.tooltip(
            alt.Tooltip("x:Q", title=x.capitalize()),
            section.y_title,
            alt.Tooltip("seeds:Q", title="Seeds"),
        ),
    )
    layers = alt.layer(
        band, line.properties(name=f"lines_{number}"), points
    ).properties(width=215, height=120)
    panels = list(charts.parts(section.rows, "panel"))
    header = alt.Header(labelAnchor="start", labelFontWeight="bold", labelFontSize=11)
    return layers.facet(
        facet=alt.Facet("panel:N", sort=panels, title=None, header=header),
        columns=min(_PANELS_IN_A_ROW, len(panels)),
        data=alt.NamedData(f"rows_{number}"),
        title=charts.panel_title(section.title, 12),
    )
