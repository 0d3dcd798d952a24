"""Charts of a comparison: its gains, how the estimate went, and its curves."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.files import printable
from keras_wgd.report import charts
from keras_wgd.report.charts import GRAY, Chart, Rows

# Of a name in a table or a chart; a longer one loses its middle.
_LONGEST_NAME = 40
# A trial's line has no more points: more cannot be seen.
_MOST_POINTS = 200
# The columns of `TrialAnalysis.epochs` that are no curve.
_NO_CURVES = ("arm", "seed", "epoch", "seconds")
_GAIN = alt.Tooltip("gain:Q", title="Gain", format=".4~g")
_ARM = alt.Tooltip("arm:N", title="Arm")
_SEED = alt.Tooltip("seed:N", title="Seed")


def labels(names: Sequence[str]) -> dict[str, str]:
    """A printable and short label for each name; no two are the same."""
    found: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        # Twice: the first time makes it printable, which makes it longer.
        label = printable(printable(name), _LONGEST_NAME)
        found[name] = f"{number}: {label}" if label in found.values() else label
    return found


def figures(analysis: TrialAnalysis) -> dict[str, Chart]:
    """The charts by name; those without points are left out."""
    arms = labels(analysis.question.arms)
    found = {"gains": _gains(analysis, arms), "running": _running(analysis, arms)}
    epochs = analysis.epochs.with_columns(
        pl.col("arm").cast(pl.String).replace_strict(arms)
    )
    names = labels([name for name in epochs.columns if name not in _NO_CURVES])
    monitor = analysis.question.monitor
    first, others = {}, {}
    for name, head in names.items():
        (first if name in (monitor, "loss") else others)[head] = _curve(epochs, name)
    if monitor in names:
        late = epochs.filter(pl.col("epoch") > pl.col("epoch").max() / 2)
        head = names[monitor]
        own = {head: first.pop(head), f"{head}: second half": _curve(late, monitor)}
        first = own | first
    order = list(arms.values())
    found["curves"] = _curves(first, order, "The monitor and the training loss")
    found["others"] = _curves(others, order, "The other logged values")
    return {name: chart for name, chart in found.items() if chart is not None}


def _gains(analysis: TrialAnalysis, arms: Mapping[str, str]) -> Chart | None:
    """A dot for each pair, in a panel for each arm."""
    monitor = printable(analysis.question.monitor)
    pairs = {arm: _seeds(analysis, arm) for arm in analysis.differences}
    order = list(arms.values())
    parts, rows = [], []
    for arm, gains in analysis.differences.items():
        found = analysis.judgments[arm]
        estimate = _scaled(
            analysis, {"mean": found.gain, "low": found.low, "high": found.high}
        )
        rows.append(
            [
                {
                    "arm": arms[arm],
                    "seed": seed,
                    **_scaled(analysis, {"gain": gain}),
                    **estimate,
                }
                for seed, gain in zip(pairs[arm], gains, strict=True)
            ]
        )
    every = [row for part in rows for row in part]
    step = max(6, min(14, 120 // max(map(len, rows), default=1)))
    domain = _domain(
        [row[name] for row in every for name in ("gain", "low", "high")]
        + _margins(analysis)
        + [0.0]
    )
    for number, part in enumerate(rows):
        scale = alt.Scale(domain=domain, nice=True)
        last = number == len(rows) - 1
        axis = charts.number_axis(tickCount=6, labelFlush=False, labels=last)
        x = {"scale": scale, "axis": axis, "title": "Gain" if last else None}
        base = _base(number, every, order)
        seeds = alt.Y("seed:O", axis=None, sort="ascending")
        first = base.transform_window(row="row_number()").transform_filter(
            "datum.row === 1"
        )
        estimate = [
            _ARM,
            *_ends("mean", "Mean gain"),
            *_ends("low", "from"),
            *_ends("high", "to"),
        ]
        layers = [
            base.mark_point(filled=True, size=45, opacity=0.9)
            .encode(
                x=alt.X("gain:Q", **x),
                y=seeds,
                shape=alt.Shape(**charts.look(every, order, "shape")),
                tooltip=[_ARM, _SEED, _GAIN],
            )
            .properties(name=f"marks_{number}"),
            first.mark_rule(strokeWidth=3).encode(
                x=alt.X("mean:Q", **x), tooltip=estimate
            ),
            *_margin_rules(analysis, "x", x),
        ]
        if part[0]["low"] is not None:
            bands = first.mark_rect(fillOpacity=0.2, stroke=None)
            ends = {"x": alt.X("low:Q", **x), "x2": "high:Q"}
            layers.insert(0, bands.encode(**ends, tooltip=estimate))
        panel = alt.layer(*layers, width=360).to_dict(validate=False)
        panel["height"] = {"step": step}
        panel["title"] = charts.panel_title(part[0]["arm"])
        parts.append((panel, part))
    subtitle = [
        f"The gain in {monitor}{_unit(analysis)} of each pair of trials of one seed; "
        "positive is better",
        "The line is the mean, and the band its interval, adjusted for looks and arms",
    ]
    return charts.whole(
        "concat",
        parts,
        title="Paired differences",
        subtitle=[*subtitle, *_margin_words(analysis)],
        axes=12,
        min_width=220,
        max_width=520,
        columns=1,
        spacing=8,
    )


def _running(analysis: TrialAnalysis, arms: Mapping[str, str]) -> Chart | None:
    """The estimate against the number of pairs, in a panel for each arm."""
    order, looks = list(arms.values()), analysis.question.design.looks
    rows = [
        row
        | {"arm": arms[row["arm"]]}
        | _scaled(analysis, {name: row[name] for name in ("gain", "low", "high")})
        for row in analysis.running.iter_rows(named=True)
    ]
    # The intervals of fewer pairs are so wide that the others would be invisible.
    late = [row for row in rows if row["pairs"] >= looks[0]] or rows
    domain = _domain(
        [row[name] for row in late for name in ("low", "high")]
        + [row["gain"] for row in rows]
        + _margins(analysis)
        + [0.0]
    )
    most = max(looks[-1], *(row["pairs"] for row in rows), 3)
    parts = []
    for number, part in enumerate(charts.split(rows, "arm").values()):
        base = _base(number, rows, order)
        x = {
            "title": "Pairs",
            "scale": alt.Scale(domain=[2, most], nice=False),
            "axis": charts.number_axis(format="d", tickMinStep=1, tickCount=8),
        }
        y = _upright(domain)
        pairs = alt.X("pairs:Q", **x)
        estimate = [
            _ARM,
            alt.Tooltip("pairs:Q", title="Pairs"),
            _GAIN,
            *_ends("low", "from"),
            *_ends("high", "to"),
        ]
        gain = alt.Y("gain:Q", **y)
        seen = alt.Chart(alt.Data(values=[{"look": look} for look in looks]))
        layers = [
            seen.mark_rule(color=GRAY, strokeWidth=1, strokeDash=[1, 3]).encode(
                x=alt.X("look:Q", **x)
            ),
            base.mark_line(strokeWidth=2, clip=True).encode(x=pairs, y=gain),
            base.mark_point(filled=True, opacity=1, clip=True)
            .encode(
                x=pairs,
                y=gain,
                shape=alt.Shape(**charts.look(rows, order, "shape")),
                size=alt.condition("datum.is_look", alt.value(70), alt.value(16)),
                tooltip=estimate,
            )
            .properties(name=f"marks_{number}"),
            *_margin_rules(analysis, "y", y),
        ]
        if any(row["low"] is not None for row in part):
            bands = base.mark_area(strokeWidth=0, clip=True).encode(
                x=pairs,
                y=alt.Y("low:Q", **y),
                y2="high:Q",
                fillOpacity=charts.if_shown(0.16, 0),
            )
            layers.insert(0, bands)
        panel = alt.layer(*layers, width=360, height=150).to_dict(validate=False)
        panel["title"] = charts.panel_title(part[0]["arm"])
        parts.append((panel, part))
    return charts.whole(
        "concat",
        parts,
        title="The estimate as the pairs came in",
        subtitle=[
            f"The mean gain in {printable(analysis.question.monitor)}{_unit(analysis)} "
            "of the first pairs, with the interval that it had then",
            "Upright lines and large points: the looks, at which a verdict may end the "
            "comparison",
            *_margin_words(analysis),
        ],
        axes=56,
        min_width=220,
        columns=1,
        max_width=520,
        spacing=20,
    )


def _curves(
    panels: Mapping[str, Rows], order: Sequence[str], title: str
) -> Chart | None:
    """Logged values by epoch: thin lines of the trials, and their means.

    The panels are points, as of `_curve`, by their titles.
    """
    filled = {head: rows for head, rows in panels.items() if rows}
    every = [row for rows in filled.values() for row in rows]
    parts = []
    for number, (head, rows) in enumerate(filled.items()):
        panel = _curve_panel(number, rows, every, order)
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


def _curve(epochs: pl.DataFrame, name: str) -> list[dict[str, Any]]:
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
    step = math.ceil(finite["epoch"].max() / _MOST_POINTS)
    is_last = pl.col("epoch") == pl.col("epoch").max().over("arm", "seed")
    trials = curve.filter(((pl.col("epoch") - 1) % step == 0) | is_last)
    trials = trials.with_columns(pl.when(is_finite).then("value"))
    kinds = {"trial": trials, "mean": means.sort("arm", "epoch"), "end": ends}
    return [
        {"kind": kind, **row} for kind, rows in kinds.items() for row in rows.to_dicts()
    ]


def _curve_panel(
    number: int, rows: Rows, every: Rows, order: Sequence[str]
) -> dict[str, Any]:
    """One logged value; `every` has the rows of all panels."""
    x = alt.X(
        "epoch:Q",
        title="Epoch",
        scale=alt.Scale(domain=[1, max(2, *(row["epoch"] for row in rows))]),
        axis=charts.number_axis(format="d", tickMinStep=1, tickCount=5),
    )
    y = _upright(_domain([row["value"] for row in rows], trim=True))
    base = _base(number, every, order, 250).encode(x=x, y=alt.Y("value:Q", **y))
    dash = charts.look(every, order, "dash", 250, symbolType="stroke")
    place = [_ARM, _SEED, alt.Tooltip("epoch:Q", title="Epoch")]
    trials, means, ends = (
        base.transform_filter(f"datum.kind === '{kind}'")
        for kind in ("trial", "mean", "end")
    )
    layers = [
        trials.mark_line(
            strokeWidth=0.8, clip=True, invalid="break-paths-filter-domains"
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
                *_ends("value", "Mean"),
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


def _base(number: int, rows: Rows, order: Sequence[str], size: int = 100) -> alt.Chart:
    """What the marks of a panel share."""
    return alt.Chart(alt.NamedData(f"rows_{number}")).encode(
        color=alt.Color(**charts.look(rows, order, "color", size)),
        opacity=charts.if_shown(1),
    )


def _upright(domain: Sequence[float]) -> dict[str, Any]:
    """The upright axis of values that may be of any size."""
    scale = alt.Scale(domain=list(domain), nice=True, zero=False)
    axis = charts.number_axis(minExtent=28, tickCount=5, format="~g")
    return {"title": None, "scale": scale, "axis": axis}


def _ends(field: str, title: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{field}:Q", title=title, format=".4~g")]


def _seeds(analysis: TrialAnalysis, arm: str) -> list[int]:
    """The seeds of the pairs of an arm, in the order of its differences."""
    runs = analysis.runs.select("seed", pl.col("arm").cast(pl.String))
    both = runs.filter(arm=arm).join(
        runs.filter(arm=analysis.question.arms[0]), on="seed", how="semi"
    )
    return both["seed"].sort().to_list()


def _unit(analysis: TrialAnalysis) -> str:
    unit = analysis.unit.of_difference.strip()
    return f" ({unit})" if unit else ""


def _margins(analysis: TrialAnalysis) -> list[float]:
    margin = analysis.question.margin
    if margin is None:
        return []
    return [sign * analysis.unit.factor * margin for sign in (-1, 1)]


def _margin_words(analysis: TrialAnalysis) -> list[str]:
    if analysis.question.margin is None:
        return []
    margin = analysis.unit.size(analysis.question.margin)
    return [f"Dashed: the margin, {margin} either way"]


def _margin_rules(
    analysis: TrialAnalysis, axis: str, options: Mapping[str, Any]
) -> list[alt.Chart]:
    channel: Callable[..., Any] = alt.X if axis == "x" else alt.Y
    margins = _margins(analysis)
    if not margins:
        return []
    data = alt.Data(values=[{"margin": margin} for margin in margins])
    rules = alt.Chart(data).mark_rule(color=GRAY, strokeWidth=1.5, strokeDash=[5, 4])
    return [rules.encode(**{axis: channel("margin:Q", **options)})]


def _domain(values: Sequence[float | None], trim: bool = False) -> list[float]:
    """The ends of an axis for values; with `trim`, far outliers are outside."""
    found = pl.Series(values, dtype=pl.Float64).drop_nulls()
    found = found.filter(found.is_finite())
    if found.is_empty():
        return [0.0, 1.0]
    low, high = float(found.min()), float(found.max())
    if trim:
        lower, upper = (float(found.quantile(share)) for share in (0.05, 0.95))
        room = 3 * (upper - lower)
        if room > 0:
            low, high = max(low, lower - room), min(high, upper + room)
    room = (high - low) / 20 or abs(high) / 20 or 0.5
    return [low - room, high + room]


def _scaled(
    analysis: TrialAnalysis, row: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Gains in the unit in which they are written; `None` if not finite."""
    factor = analysis.unit.factor
    return {
        name: None if gain is None or not math.isfinite(gain) else factor * gain
        for name, gain in row.items()
    }
