"""The two kinds of chart that the figures are made of: lines, and dots."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from keras_wgd.study.labels import arm_name, block_name
from keras_wgd.study.optimizers import OPTIMIZERS
from keras_wgd.study.spec import ARMS
from keras_wgd.study.statistics import Estimate


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


def point(
    panel: str,
    arm: str,
    x: float,
    estimate: Estimate,
    scale: float = 1.0,
    most: float = math.inf,
) -> dict[str, Any]:
    """One point of a line.

    Args:
        panel: The panel that it is in.
        arm: The arm whose line it is on.
        x: Where.
        estimate: Mean and interval over the seeds.
        scale: What to multiply them by.
        most: The highest value that there can be, after that. The interval is
            drawn from 0 to there, and told in full.
    """
    numbers = (estimate.mean, estimate.low, estimate.high)
    mean, low, high = (None if n is None else scale * n for n in numbers)
    return {
        **{"panel": panel, "arm": arm_name(arm), "x": x},
        **{"mean": mean, "low": low, "high": high, "seeds": estimate.n},
        "bottom": None if low is None else max(low, 0.0),
        "top": None if high is None else min(high, most),
    }


def dot(
    panel: str,
    row: Mapping[str, Any],
    measure: str,
    scale: float = 1.0,
    most: float = math.inf,
) -> dict[str, Any]:
    """One dot.

    Args:
        panel: The panel that it is in.
        row: A row of `tables.summarize`.
        measure: Of which mean and interval are shown.
        scale: As for `point`.
        most: As for `point`.
    """
    estimate = Estimate(
        n=row[f"{measure}_n"],
        mean=row[measure],
        low=row[f"{measure}_low"],
        high=row[f"{measure}_high"],
    )
    found = point(panel, row["arm"], row["learning_rate"], estimate, scale, most)
    place = (list(OPTIMIZERS).index(row["optimizer"]), row["learning_rate"])
    return found | {
        "label": f"{block_name(row)}, {found['arm']}",
        "place": (*place, ARMS.index(row["arm"])),
    }


def lines(
    rows: Sequence[dict[str, Any]],
    *,
    x: str,
    y_title: str,
    panels: Sequence[str],
    columns: int,
    same_y: bool,
    title: str,
    subtitle: Sequence[str],
) -> alt.TopLevelMixin | None:
    """Lines with bands, one for each arm, in panels.

    Args:
        rows: As `point` gives them.
        x: What lies along: `"epoch"`, or anything else on a logarithmic scale.
        y_title: What stands upright.
        panels: Their names, in order.
        columns: How many panels in a row.
        same_y: Whether all panels have the same axis.
        title: Of the whole.
        subtitle: Its lines.

    Returns:
        The chart; `None` where there are no rows.
    """
    if not rows:
        return None
    arms = _arms(rows)
    shown = _selection(arms)
    epochs = x == "epoch"
    scale = alt.Scale(nice=False) if epochs else alt.Scale(type="log", nice=False)
    axis = alt.Axis(format="d", tickMinStep=1)
    if not epochs:
        values = sorted({row["x"] for row in rows})
        axis = alt.Axis(format="~g", values=values, labelOverlap="greedy")
    title_x = x.capitalize()
    base = alt.Chart().encode(
        x=alt.X("x:Q", title=title_x, scale=scale, axis=axis),
        color=_colour(arms, 250),
    )
    y_scale = alt.Scale(zero=False)
    y_axis = alt.Axis(minExtent=28, tickCount=5)
    band = base.mark_area(clip=True, strokeWidth=0).encode(
        y=alt.Y("bottom:Q", title=y_title, scale=y_scale, axis=y_axis),
        y2="top:Q",
        opacity=alt.condition(shown, alt.value(0.16), alt.value(0)),
    )
    line = base.mark_line(strokeWidth=2, clip=True).encode(
        strokeDash=alt.StrokeDash(
            "arm:N",
            scale=_scale(arms, _DASHES),
            legend=_legend(250, symbolType="stroke"),
        ),
        y=alt.Y("mean:Q", title=y_title, scale=y_scale, axis=y_axis),
        opacity=alt.condition(shown, alt.value(1), alt.value(_FAINT)),
    )
    points = base.mark_point(filled=True, size=22, clip=True).encode(
        y=alt.Y("mean:Q", title=y_title, scale=y_scale, axis=y_axis),
        opacity=alt.condition(shown, alt.value(0.9), alt.value(0)),
        tooltip=_tooltip("x:Q", title_x, y_title),
    )
    layers = alt.layer(
        band, line.properties(name="lines").add_params(shown), points
    ).properties(width=215, height=150)
    chart = layers.facet(
        facet=_panel(panels),
        columns=columns,
        data=alt.Data(values=list(rows)),
    )
    if not same_y:
        chart = chart.resolve_scale(y="independent")
    return chart.properties(title=_title(title, subtitle))


def dots(
    rows: Sequence[dict[str, Any]],
    *,
    x_title: str,
    columns: int,
    title: str,
    subtitle: Sequence[str],
) -> alt.TopLevelMixin | None:
    """Dots with intervals: a row for each optimizer, rate and arm, in panels.

    Args:
        rows: As `dot` gives them; a hollow diamond where they have a `paper`.
        x_title: What lies along.
        columns: How many panels in a row.
        title: Of the whole.
        subtitle: Its lines.

    Returns:
        The chart; `None` where there are no rows.
    """
    if not rows:
        return None
    arms = _arms(rows)
    shown = _selection(arms)
    labels = _unique(sorted(rows, key=lambda row: row["place"]), "label")
    base = alt.Chart().encode(
        y=alt.Y("label:N", title=None, sort=labels),
        color=_colour(arms),
        opacity=alt.condition(shown, alt.value(1), alt.value(_FAINT)),
    )
    scale, axis = alt.Scale(zero=False), alt.Axis(tickCount=8, labelFlush=False)
    intervals = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("bottom:Q", title=x_title, scale=scale, axis=axis), x2="top:Q"
    )
    means = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=alt.X("mean:Q", title=x_title, scale=scale, axis=axis),
        shape=alt.Shape("arm:N", scale=_scale(arms, _SHAPES), legend=_legend()),
        tooltip=_tooltip("label:N", "Run", x_title),
    )
    layers = [intervals, means.properties(name="dots").add_params(shown)]
    if any(row.get("paper") is not None for row in rows):
        layers.append(
            base.mark_point(
                shape="diamond", size=75, filled=False, strokeWidth=1.5
            ).encode(
                x=alt.X("paper:Q", title=x_title, scale=scale, axis=axis),
                tooltip=[
                    alt.Tooltip("label:N", title="Run"),
                    alt.Tooltip("paper:Q", title=f"The paper: {x_title}"),
                ],
            )
        )
    data = [{k: v for k, v in row.items() if k not in ("place", "x")} for row in rows]
    chart = (
        alt.layer(*layers)
        .properties(width=360 if columns > 1 else 640, height=alt.Step(15))
        .facet(
            facet=_panel(_unique(rows, "panel")),
            columns=columns,
            spacing=30,
            data=alt.Data(values=data),
        )
    )
    if columns == 1:
        chart = chart.resolve_scale(y="independent")
    return chart.properties(title=_title(title, subtitle))


def _selection(arms):
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


def _arms(rows):
    found = {row["arm"] for row in rows}
    return [name for name in map(arm_name, ARMS) if name in found]


def _unique(rows, field):
    return list(dict.fromkeys(row[field] for row in rows))


def _scale(arms, values):
    by_name = {arm_name(arm): value for arm, value in values.items()}
    return alt.Scale(domain=arms, range=[by_name[arm] for arm in arms])


def _colour(arms, size=100):
    return alt.Color("arm:N", scale=_scale(arms, _COLOURS), legend=_legend(size))


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


def _panel(names):
    header = alt.Header(labelAnchor="start", labelFontWeight="bold", labelFontSize=11)
    return alt.Facet("panel:N", sort=list(names), title=None, header=header)


def _tooltip(place, title, value_title):
    return [
        *([] if place == "label:N" else [alt.Tooltip("arm:N", title="Arm")]),
        alt.Tooltip(place, title=title),
        alt.Tooltip("mean:Q", title=value_title, format=".4~f"),
        alt.Tooltip("low:Q", title="from", format=".4~f"),
        alt.Tooltip("high:Q", title="to", format=".4~f"),
        alt.Tooltip("seeds:Q", title="Seeds"),
    ]


def _title(title, subtitle):
    return alt.TitleParams(title, subtitle=list(subtitle), anchor="start", offset=10)
