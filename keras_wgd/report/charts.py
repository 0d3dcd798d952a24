"""Parts that all charts share: points, looks of arms, legend, assembly.

`order` is the names of all arms: the place of an arm in it decides its look.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
from rich.cells import cell_len

Rows = Sequence[Mapping[str, Any]]
Chart = dict[str, Any]

# The colors of Okabe and Ito, which color-blind readers can distinguish; a gray that is
# visible on black and on white; and two more. Dashes and shapes say the same without
# color.
_LOOKS: dict[str, tuple[Any, ...]] = {
    "color": (
        *("#7a7a7a", "#0072b2", "#56b4e9", "#d55e00", "#e69f00"),
        *("#009e73", "#cc79a7", "#8c564b", "#17becf"),
    ),
    "dash": (
        *([1, 0], [7, 3], [7, 2, 2, 2], [2, 2], [2, 4]),
        *([11, 3], [11, 2, 2, 2], [4, 1], [4, 1, 1, 1]),
    ),
    "shape": (
        *("circle", "square", "triangle-up", "triangle-down", "triangle-right"),
        *("cross", "triangle-left", "diamond", "arrow"),
    ),
}
# The width of the longest label of a legend, in pixels.
_MAX_LABEL = 300
# Visible on black and on white.
GRAY = "#888888"

# Which arms are shown: all, until their legend entries are clicked.
_SHOWN = alt.selection_point(
    name="shown", fields=["arm"], bind="legend", toggle="true", empty=False, clear=False
)


def point(
    panel: str,
    arm: str,
    row: Mapping[str, Any],
    name: str,
    scale: float = 1.0,
    lowest: float = -math.inf,
    highest: float = math.inf,
    **more: Any,
) -> dict[str, Any]:
    """The mean of an estimate and its interval, in a panel.

    The interval is drawn from `lowest` to `highest`, the limits of the values after
    scaling, at most; the tooltip has all of it.
    """
    mean, low, high = (
        None if number is None else scale * number
        for number in (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    )
    return {
        **{"panel": panel, "arm": arm, "seeds": row[f"{name}_n"]},
        **{"mean": mean, "low": low, "high": high},
        "bottom": None if low is None else max(low, lowest),
        "top": None if high is None else min(high, highest),
        **more,
    }


def if_shown(value: float, hidden: float = 0.06) -> Any:
    """An opacity, and another one for arms that are switched off."""
    return alt.condition(_SHOWN, alt.value(value), alt.value(hidden))


def split(rows: Rows, field: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by one of their fields, in the order in which its values appear."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[field], []).append(row)
    return found


def arms_of(rows: Rows, order: Sequence[str]) -> list[str]:
    """The names of the arms in rows, in order."""
    found = {row["arm"] for row in rows}
    return [name for name in order if name in found]


def look(
    rows: Rows, order: Sequence[str], channel: str, size: int = 100, **legend: Any
) -> dict[str, Any]:
    """An Altair channel (color, dash or shape) by arm, with the legend."""
    arms = arms_of(rows, order)
    # If there are more arms than looks, the looks repeat.
    looks = dict(zip(order, itertools.cycle(_LOOKS[channel]), strict=False))
    return {
        "shorthand": "arm:N",
        "scale": alt.Scale(domain=arms, range=[looks[arm] for arm in arms]),
        "legend": alt.Legend(
            title=None,
            orient="top",
            symbolOpacity=1,
            symbolSize=size,
            symbolStrokeWidth=2,
            labelFontSize=12,
            labelLimit=_MAX_LABEL,
            columnPadding=20,
            **legend,
        ),
    }


def number_axis(**options: Any) -> alt.Axis:
    """An axis of numbers, with a distinct line at zero."""
    at_zero = alt.condition("datum.value === 0", alt.value(1), alt.value(0.2))
    return alt.Axis(gridColor=GRAY, gridOpacity=at_zero, **options)


def tooltip(place: alt.Tooltip, value: str, *more: alt.Tooltip) -> list[alt.Tooltip]:
    """The tooltip of a mean."""
    return [
        alt.Tooltip("arm:N", title="Arm"),
        place,
        *(
            alt.Tooltip(f"{field}:Q", title=title, format=".4~f")
            for field, title in (("mean", value), ("low", "from"), ("high", "to"))
        ),
        *more,
    ]


def whole(
    kind: str,
    parts: Sequence[tuple[Mapping[str, Any], Rows]],
    *,
    title: str,
    subtitle: Sequence[str],
    axes: int,
    min_width: int,
    max_width: int = 360,
    **options: Any,
) -> Chart | None:
    """Panels with their title, legend and data as Vega-Lite; `None` without panels.

    Part `n` reads the data set `rows_n`, and its view with the legend is `marks_n`.
    In pixels: `axes` is the width of upright labels, and `min_width` and `max_width`
    are the limits of the width of a panel.
    """
    if not parts:
        return None
    # Altair copies and validates nested charts at each level, which is slow. So Altair
    # makes the parts only; a test validates every chart.
    top = {name: parts[0][0][name] for name in ("$schema", "config")}
    arms = list(dict.fromkeys(row["arm"] for _, rows in parts for row in rows))
    # Of the legend, with its symbol.
    entry = 23 + min(6 * max(map(cell_len, arms)), _MAX_LABEL)
    return {
        **top,
        kind: [
            {name: field for name, field in part.items() if name not in top}
            for part, _ in parts
        ],
        "params": [
            {
                **_SHOWN.param.to_dict(),
                "value": [{"arm": arm} for arm in arms],
                "views": [f"marks_{number}" for number in range(len(parts))],
            }
        ],
        "title": {
            "text": title,
            "subtitle": list(subtitle),
            "anchor": "start",
            "offset": 10,
        },
        "usermeta": {
            **{"axes": axes, "entry": entry},
            **{"minWidth": min_width, "maxWidth": max_width},
        },
        "datasets": {f"rows_{number}": rows for number, (_, rows) in enumerate(parts)},
        **options,
    }


def panel_title(name: str, size: int = 11) -> dict[str, Any]:
    """The title of a part of a chart."""
    return {"text": name, "fontSize": size, "anchor": "start", "offset": 6}
