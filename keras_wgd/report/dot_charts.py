"""Charts of dots with intervals: a line for each optimizer, rate and arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from keras_wgd.experiments.analysis.statistics import Estimate
from keras_wgd.paper.labels import block_name
from keras_wgd.report import charts
from keras_wgd.report.gains import POOLED

_SEEDS = alt.Tooltip("seeds:Q", title="Seeds")


def dot(
    panel: str, row: Mapping[str, Any], measure: str, **bounds: float
) -> dict[str, Any]:
    """One dot.

    Args:
        panel: The panel that it is in.
        row: A row of `frames.summarize`.
        measure: Of which mean and interval are shown.
        **bounds: `scale`, `least` and `most`, as for `charts.point`.
    """
    estimate = Estimate(
        n=row[f"{measure}_n"],
        mean=row[measure],
        low=row[f"{measure}_low"],
        high=row[f"{measure}_high"],
    )
    found = charts.point(panel, row["arm"], row["learning_rate"], estimate, **bounds)
    return found | {"block": block_name(row)}


def dots(
    rows: Sequence[dict[str, Any]],
    *,
    x_title: str,
    columns: int,
    title: str,
    subtitle: Sequence[str],
) -> dict[str, Any] | None:
    """Means with intervals, in panels that each have their own scale.

    Args:
        rows: As `dot` gives them, in the order of the panels and optimizers; a
            hollow diamond where they have a `paper`.
        x_title: What lies along.
        columns: How many panels in a row.
        title: Of the whole.
        subtitle: Its lines.

    Returns:
        The chart, as `charts.whole`; `None` where there are no rows.
    """
    if not rows:
        return None
    arms = charts.arms_of(rows)
    shown = charts.selection(arms)
    panels = []
    for number, (name, part) in enumerate(charts.parts(rows, "panel").items()):
        x = {"title": x_title, "scale": alt.Scale(zero=False), "axis": _axis()}
        base = _base(number, part, arms, shown)
        layers = [
            *_intervals(base, x, part, "bottom", "top"),
            base.properties(name=f"dots_{number}")
            .mark_point(filled=True, size=55, opacity=1)
            .encode(
                x=alt.X("mean:Q", **x),
                shape=charts.shape(arms),
                tooltip=charts.tooltip(_RUN, x_title, _SEEDS),
            ),
        ]
        if any(row.get("paper") is not None for row in part):
            paper = alt.Tooltip("paper:Q", title=f"The paper: {x_title}")
            diamond = base.mark_point(
                shape="diamond", size=75, filled=False, strokeWidth=1.5
            )
            layers.append(
                diamond.encode(x=alt.X("paper:Q", **x), tooltip=[_RUN, paper])
            )
        panels.append(_panel(name, layers))
    return _whole(panels, rows, shown, title, subtitle, columns=columns, spacing=20)


def forest(
    rows: Sequence[dict[str, Any]], *, title: str, subtitle: Sequence[str]
) -> dict[str, Any] | None:
    """Paired gains with their intervals around zero, in a panel for each group.

    Args:
        rows: As `gains.forest` gives them. What is significant is filled.
        title: Of the whole.
        subtitle: Its lines.

    Returns:
        The chart, as `charts.whole`; `None` where there are no rows.
    """
    if not rows:
        return None
    arms = charts.arms_of(rows)
    shown = charts.selection(arms)
    x_title = "Gain in accuracy (percentage points)"
    p_values = [
        alt.Tooltip("p:Q", format=".3~f"),
        alt.Tooltip("p adjusted:Q", format=".3~f"),
        alt.Tooltip("pairs:Q", title="Pairs"),
    ]
    panels, parts = [], charts.parts(rows, "panel")
    for number, (name, part) in enumerate(parts.items()):
        last = number == len(parts) - 1
        x = {
            "title": x_title if last else None,
            "scale": alt.Scale(zero=True),
            "axis": _axis(),
        }
        base = _base(number, part, arms, shown)
        filled = alt.condition("datum.significant", alt.value(1), alt.value(0))
        gains = base.properties(name=f"dots_{number}")
        gains = gains.mark_point(filled=True, strokeWidth=1.5, opacity=1).encode(
            x=alt.X("mean:Q", **x),
            stroke=charts.outline(arms),
            fillOpacity=filled,
            size=alt.condition(
                f"datum.block === '{POOLED}'", alt.value(130), alt.value(55)
            ),
            shape=charts.shape(arms),
            tooltip=charts.tooltip(_RUN, x_title, *p_values),
        )
        layers = [*_intervals(base, x, part, "low", "high"), gains]
        panels.append(_panel(name, layers))
    return _whole(panels, rows, shown, title, subtitle, columns=1, spacing=10)


_RUN = alt.Tooltip("block:N", title="Optimizer")


def _axis():
    return charts.number_axis(tickCount=6, labelFlush=False)


def _base(number, rows, arms, shown):
    """What the layers of a panel have in common: a band for each optimizer."""
    return alt.Chart(alt.NamedData(f"rows_{number}")).encode(
        y=alt.Y("block:N", title=None, sort=list(charts.parts(rows, "block"))),
        yOffset=alt.YOffset("arm:N", sort=arms),
        color=charts.colour(arms),
        opacity=charts.if_shown(shown, 1),
    )


def _intervals(base, x, rows, low, high):
    """A layer of intervals, if there are any: an axis of nothing has no extent."""
    if all(row[low] is None for row in rows):
        return []
    ends = {"x": alt.X(f"{low}:Q", **x), "x2": f"{high}:Q"}
    return [base.mark_rule(strokeWidth=2).encode(**ends)]


def _panel(name, layers):
    return alt.layer(*layers, width=360).to_dict(validate=False) | {
        "height": {"step": 11, "for": "offset"},
        "title": charts.panel_title(name),
    }


def _whole(panels, rows, shown, title, subtitle, **options):
    parts = charts.parts(rows, "panel").values()
    return charts.whole(
        "concat",
        panels,
        shown,
        [f"dots_{number}" for number in range(len(panels))],
        {f"rows_{number}": part for number, part in enumerate(parts)},
        title=title,
        subtitle=subtitle,
        axes=95,
        least=220,
        **options,
    )
