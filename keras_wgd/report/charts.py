"""What the charts of a study have in common: their rows, their looks, their legend."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from keras_wgd.experiments.analysis.statistics import Estimate
from keras_wgd.experiments.spec import ARMS
from keras_wgd.paper.labels import arm_name


def _by_arm(*looks):
    """Each arm's; where there are more arms than looks, these begin again."""
    return dict(zip(ARMS, itertools.cycle(looks), strict=False))


# The colours of Okabe and Ito, which colour-blind readers can tell apart, a grey that
# is seen on black and on white, and two more that no study needs yet. Dashes and shapes
# say the same without colour.
_COLOURS = _by_arm(
    *("#7a7a7a", "#0072b2", "#56b4e9", "#d55e00", "#e69f00"),
    *("#009e73", "#cc79a7", "#8c564b", "#17becf"),
)
_DASHES = _by_arm(
    *([1, 0], [7, 3], [7, 2, 2, 2], [2, 2], [2, 4]),
    *([11, 3], [11, 2, 2, 2], [4, 1], [4, 1, 1, 1]),
)
_SHAPES = _by_arm(
    *("circle", "square", "triangle-up", "triangle-down", "triangle-right"),
    *("cross", "triangle-left", "diamond", "arrow"),
)
_FAINT = 0.06
# Grey that is seen on black and on white. The line at zero is the one that is plain.
_GREY = "#888888"
_AT_ZERO = "datum.value === 0"


def point(
    panel: str,
    arm: str,
    x: float,
    estimate: Estimate,
    scale: float = 1.0,
    least: float = 0.0,
    most: float = math.inf,
) -> dict[str, Any]:
    """One point of a line.

    Args:
        panel: The panel that it is in.
        arm: The arm whose line it is on.
        x: Where.
        estimate: Mean and interval over the seeds.
        scale: What to multiply them by.
        least: The lowest value that there can be, after that. The interval is
            drawn from there to `most`, and told in full.
        most: The highest.
    """
    numbers = (estimate.mean, estimate.low, estimate.high)
    mean, low, high = (None if n is None else scale * n for n in numbers)
    return {
        **{"panel": panel, "arm": arm_name(arm), "x": x},
        **{"mean": mean, "low": low, "high": high, "seeds": estimate.n},
        "bottom": None if low is None else max(low, least),
        "top": None if high is None else min(high, most),
    }


def selection(arms: Sequence[str]) -> alt.Parameter:
    """Which arms are shown: all, until their legend entries are clicked."""
    return alt.selection_point(
        name="shown",
        fields=["arm"],
        bind="legend",
        toggle="true",
        empty=False,
        clear=False,
        value=[{"arm": arm} for arm in arms],
    )


def if_shown(shown: alt.Parameter, value: float, hidden: float = _FAINT) -> Any:
    """An opacity, and another one for arms that are switched off."""
    return alt.condition(shown, alt.value(value), alt.value(hidden))


def arms_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the arms that there are rows of, in order."""
    found = {row["arm"] for row in rows}
    return [name for name in map(arm_name, ARMS) if name in found]


def parts(
    rows: Sequence[dict[str, Any]], field: str
) -> dict[str, list[dict[str, Any]]]:
    """Rows by one of their fields, in the order of its values in them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[field], []).append(row)
    return found


def colour(arms: Sequence[str], size: int = 100) -> alt.Color:
    """The colour of each arm, with the legend."""
    return alt.Color("arm:N", scale=_scale(arms, _COLOURS), legend=_legend(size))


def outline(arms: Sequence[str]) -> alt.Stroke:
    """The same colours, for the outline of what may be hollow."""
    return alt.Stroke("arm:N", scale=_scale(arms, _COLOURS), legend=_legend())


def dash(arms: Sequence[str]) -> alt.StrokeDash:
    """The dashes of each arm's line."""
    legend = _legend(250, symbolType="stroke")
    return alt.StrokeDash("arm:N", scale=_scale(arms, _DASHES), legend=legend)


def shape(arms: Sequence[str]) -> alt.Shape:
    """The shape of each arm's dots."""
    return alt.Shape("arm:N", scale=_scale(arms, _SHAPES), legend=_legend())


def number_axis(**options: Any) -> alt.Axis:
    """An axis of numbers, with a line at zero that is seen."""
    return alt.Axis(
        gridColor=_GREY,
        gridOpacity=alt.condition(_AT_ZERO, alt.value(1), alt.value(0.2)),
        **options,
    )


def tooltip(place: alt.Tooltip, value: str, *more: alt.Tooltip) -> list[alt.Tooltip]:
    """What is told of a mean when it is pointed at."""
    return [
        alt.Tooltip("arm:N", title="Arm"),
        place,
        alt.Tooltip("mean:Q", title=value, format=".4~f"),
        alt.Tooltip("low:Q", title="from", format=".4~f"),
        alt.Tooltip("high:Q", title="to", format=".4~f"),
        *more,
    ]


def whole(
    kind: str,
    parts: Sequence[dict[str, Any]],
    shown: alt.Parameter,
    views: Sequence[str],
    datasets: Mapping[str, Sequence[dict[str, Any]]],
    *,
    title: str,
    subtitle: Sequence[str],
    axes: int,
    least: int,
    **options: Any,
) -> dict[str, Any]:
    """Panels with their title, legend and data, and what a page needs to fit them in.

    Args:
        kind: How Vega-Lite puts them together: `"vconcat"` or `"concat"`.
        parts: The panels, or the facets of panels.
        shown: As `selection` gives it.
        views: The names of the views with a legend that the selection is bound to.
        datasets: The rows, by the names that the parts have for them.
        title: Of the whole.
        subtitle: Its lines.
        axes: How wide the labels of an upright axis are, in pixels.
        least: How narrow a panel may be, in pixels.
        **options: Further fields of the concatenation.

    Returns:
        The chart as a dictionary of Vega-Lite.
    """
    # Altair copies and validates what it holds, again and again: it makes each part,
    # and is left out of putting them together. A test validates every chart.
    top = {name: parts[0][name] for name in ("$schema", "config")}
    return {
        **top,
        kind: [
            {name: field for name, field in part.items() if name not in top}
            for part in parts
        ],
        "params": [{**shown.param.to_dict(), "views": list(views)}],
        "title": {
            "text": title,
            "subtitle": list(subtitle),
            "anchor": "start",
            "offset": 10,
        },
        "usermeta": {"axes": axes, "least": least},
        "datasets": dict(datasets),
        **options,
    }


def panel_title(name: str, size: int = 11) -> dict[str, Any]:
    """The title of a part of a chart."""
    return {"text": name, "fontSize": size, "anchor": "start", "offset": 6}


def _scale(arms, values):
    by_name = {arm_name(arm): value for arm, value in values.items()}
    return alt.Scale(domain=list(arms), range=[by_name[arm] for arm in arms])


def _legend(size=100, **options):
    return alt.Legend(
        title=None,
        orient="top",
        symbolOpacity=1,
        symbolSize=size,
        symbolStrokeWidth=2,
        labelFontSize=12,
        columnPadding=20,
        **options,
    )
