"""Charts of the gains of a comparison."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable
from keras_wgd.report import charts
from keras_wgd.report.charts import GRAY, Chart
from keras_wgd.report.trials import shared

_GAIN = shared.number("gain", "Gain")
_ENDS = (shared.number("low", "from"), shared.number("high", "to"))
_NUMBERS = ("gain", "low", "high", "mean")


def dots(analysis: TrialAnalysis, names: Mapping[str, str]) -> Chart | None:
    """A dot for each pair, and their mean with its interval, in a panel for each arm.

    `names` is the label of each arm.
    """
    rows: list[dict[str, Any]] = []
    for arm, gains in analysis.differences.items():
        found = analysis.judgments[arm]
        mean = {"mean": found.gain, "low": found.low, "high": found.high}
        rows += [
            {"arm": names[arm], "seed": seed, "diverged": diverged}
            | _scaled(analysis, {"gain": gain, **mean})
            for (seed, diverged), gain in zip(_pairs(analysis, arm), gains, strict=True)
        ]
    panels = charts.split(rows, "arm")
    margins, order = _margins(analysis), list(names.values())
    ends = [row[name] for row in rows for name in _NUMBERS]
    scale = alt.Scale(domain=shared.domain([*ends, *margins, 0.0]), nice=True)
    # A panel has room for a few lines, or for one line a pair.
    step = max(6, min(40, 120 // max(map(len, panels.values()), default=1)))
    has_diverged = any(row["diverged"] for row in rows)
    parts = []
    for number, (arm, part) in enumerate(panels.items()):
        is_last = number == len(panels) - 1
        axis = charts.number_axis(tickCount=6, labelFlush=False, labels=is_last)
        x = {"scale": scale, "axis": axis, "title": "Gain" if is_last else None}
        base = shared.base(number, rows, order)
        once = base.transform_window(row="row_number()").transform_filter(
            "datum.row === 1"
        )
        estimate = [shared.ARM, shared.number("mean", "Mean gain"), *_ENDS]
        pairs = base.mark_point(filled=True, size=45, strokeWidth=1.5).encode(
            x=alt.X("gain:Q", **x),
            y=alt.Y("seed:O", axis=None, sort="ascending"),
            stroke=alt.Stroke(**charts.look(rows, order, "color")),
            fillOpacity=alt.condition("datum.diverged", alt.value(0), alt.value(1)),
            shape=alt.Shape(**charts.look(rows, order, "shape")),
            tooltip=[shared.ARM, shared.SEED, _GAIN],
        )
        layers = [
            pairs.properties(name=f"marks_{number}"),
            once.mark_rule(strokeWidth=3).encode(
                x=alt.X("mean:Q", **x), tooltip=estimate
            ),
            *_rules("x", x, margins, [5, 4]),
        ]
        if part[0]["low"] is not None:
            across = {"x": alt.X("low:Q", **x), "x2": "high:Q"}
            bands = once.mark_rect(fillOpacity=0.2, stroke=None)
            layers.insert(0, bands.encode(**across, tooltip=estimate))
        panel = alt.layer(*layers, width=360).to_dict(validate=False)
        panel["height"] = {"step": step}
        panel["title"] = charts.panel_title(arm)
        parts.append((panel, part))
    return charts.whole(
        "concat",
        parts,
        title="Paired differences",
        subtitle=[
            f"The gain in {_monitor(analysis)} of each pair of trials of one seed; "
            "positive is better",
            "The line is the mean, and the band its interval, adjusted for looks and "
            "arms",
            *(["Hollow: a trial of the pair diverged"] if has_diverged else []),
            *_margin_words(analysis),
        ],
        axes=12,
        min_width=220,
        max_width=520,
        columns=1,
        spacing=8,
    )


def running(analysis: TrialAnalysis, names: Mapping[str, str]) -> Chart | None:
    """The estimate against the number of pairs, in a panel for each arm.

    `names` is the label of each arm.
    """
    rows = [
        {**row, "arm": names[row["arm"]]}
        | _scaled(analysis, {name: row[name] for name in ("gain", "low", "high")})
        for row in analysis.running.iter_rows(named=True)
    ]
    order, looks = list(names.values()), analysis.question.design.looks
    margins = _margins(analysis)
    most = max([3, *(row["pairs"] for row in rows)])
    # The first intervals are so wide that the others would be invisible.
    wide = [row for row in rows if row["pairs"] < max(looks[0], most / 2)]
    late = [row for row in rows if row not in wide] or rows
    ends = [row[name] for row in late for name in ("low", "high")]
    gains = [row["gain"] for row in rows]
    y = shared.upright(shared.domain([*ends, *gains, *margins, 0.0]))
    x = {
        "title": "Pairs",
        "scale": alt.Scale(domain=[2, max(looks[-1], most)], nice=False),
        "axis": charts.number_axis(format="d", tickMinStep=1, tickCount=8),
    }
    parts = []
    for number, (arm, part) in enumerate(charts.split(rows, "arm").items()):
        base = shared.base(number, rows, order).encode(x=alt.X("pairs:Q", **x))
        lines = base.encode(y=alt.Y("gain:Q", **y))
        points = lines.mark_point(filled=True, opacity=1, clip=True).encode(
            shape=alt.Shape(**charts.look(rows, order, "shape")),
            size=alt.condition("datum.is_look", alt.value(70), alt.value(16)),
            tooltip=[shared.ARM, alt.Tooltip("pairs:Q", title="Pairs"), _GAIN, *_ENDS],
        )
        layers = [
            *_rules("x", x, looks, [1, 3]),
            lines.mark_line(strokeWidth=2, clip=True),
            points.properties(name=f"marks_{number}"),
            *_rules("y", y, margins, [5, 4]),
        ]
        if any(row["low"] is not None for row in part):
            bands = base.mark_area(strokeWidth=0, clip=True).encode(
                y=alt.Y("low:Q", **y),
                y2="high:Q",
                fillOpacity=charts.if_shown(0.16, 0),
            )
            layers.insert(0, bands)
        panel = alt.layer(*layers, width=360, height=150).to_dict(validate=False)
        panel["title"] = charts.panel_title(arm)
        parts.append((panel, part))
    return charts.whole(
        "concat",
        parts,
        title="The estimate as the pairs came in",
        subtitle=[
            f"The mean gain in {_monitor(analysis)} of the first pairs, with the "
            "interval that it had then",
            "Upright lines and large points: the looks, at which a verdict may end the "
            "comparison",
            *_margin_words(analysis),
        ],
        axes=56,
        min_width=220,
        max_width=520,
        columns=1,
        spacing=20,
    )


def _pairs(analysis: TrialAnalysis, arm: str) -> list[tuple[int, bool]]:
    """The seed of each pair of an arm, and whether one of its trials diverged."""
    names = [arm, analysis.question.arms[0]]
    runs = analysis.runs.drop_nulls("value")
    pairs = (
        runs.filter(pl.col("arm").cast(pl.String).is_in(names))
        .group_by("seed")
        .agg(pl.len(), pl.col("diverged").any())
        .filter(pl.col("len") == len(names))
    )
    return pairs.sort("seed").select("seed", "diverged").rows()


def _monitor(analysis: TrialAnalysis) -> str:
    """The name of the monitor, with the unit of its differences."""
    unit = analysis.unit.of_difference.strip()
    return printable(analysis.question.monitor) + (f" ({unit})" if unit else "")


def _scaled(
    analysis: TrialAnalysis, numbers: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Gains in the unit in which they are written; `None` if not finite."""
    factor = analysis.unit.factor
    return {
        name: None if gain is None or not math.isfinite(gain) else factor * gain
        for name, gain in numbers.items()
    }


def _margins(analysis: TrialAnalysis) -> list[float]:
    margin = analysis.question.margin
    if margin is None:
        return []
    return [sign * analysis.unit.factor * margin for sign in (-1, 1)]


def _margin_words(analysis: TrialAnalysis) -> list[str]:
    margin = analysis.question.margin
    if margin is None:
        return []
    return [f"Dashed: the margin, {analysis.unit.size(margin)} either way"]


def _rules(
    axis: str, options: Mapping[str, Any], places: Sequence[float], dash: list[int]
) -> list[alt.Chart]:
    """Gray lines across a panel."""
    if not places:
        return []
    data = alt.Data(values=[{"place": place} for place in places])
    rules = alt.Chart(data).mark_rule(color=GRAY, strokeDash=dash)
    channel = alt.X if axis == "x" else alt.Y
    return [rules.encode(**{axis: channel("place:Q", **options)})]
