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
    names = [name for name in analysis.epochs.columns if name not in _NO_CURVES]
    monitor = analysis.question.monitor
    first = [name for name in dict.fromkeys((monitor, "loss")) if name in names]
    others = [name for name in names if name not in first]
    found = {
        "gains": _gains(analysis, arms),
        "running": _running(analysis, arms),
        "curves": _curves(analysis, arms, labels(names), first, 2),
        "others": _curves(analysis, arms, labels(names), others, 3),
    }
    return {name: chart for name, chart in found.items() if chart is not None}


def _gains(analysis: TrialAnalysis, arms: Mapping[str, str]) -> Chart | None:
    """A dot for each pair, in a panel for each arm."""
    monitor = printable(analysis.question.monitor)
    pairs = {arm: _seeds(analysis, arm) for arm in analysis.differences}
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
    step = max(6, min(14, 120 // max(map(len, rows), default=1)))
    domain = _domain(
        [row[name] for part in rows for row in part for name in ("gain", "low", "high")]
        + _margins(analysis)
        + [0.0]
    )
    for number, part in enumerate(rows):
        scale = alt.Scale(domain=domain, nice=True)
        last = number == len(rows) - 1
        axis = charts.number_axis(tickCount=6, labelFlush=False, labels=last)
        x = {"scale": scale, "axis": axis, "title": "Gain" if last else None}
        base = _base(number, part, list(arms.values()))
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
                shape=alt.Shape(**charts.look(part, list(arms.values()), "shape")),
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
        columns=1,
        spacing=8,
    )


def _running(analysis: TrialAnalysis, arms: Mapping[str, str]) -> Chart | None:
    """The estimate against the number of pairs, in a panel for each arm."""
    looks = analysis.question.design.looks
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
        base = _base(number, part, list(arms.values()))
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
                shape=alt.Shape(**charts.look(part, list(arms.values()), "shape")),
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
        columns=min(2, len(parts)),
        spacing=20,
    )


def _curves(
    analysis: TrialAnalysis,
    arms: Mapping[str, str],
    heads: Mapping[str, str],
    names: Sequence[str],
    columns: int,
) -> Chart | None:
    """Logged values by epoch: thin lines of the trials, and their means."""
    epochs = analysis.epochs.with_columns(
        pl.col("arm").cast(pl.String).replace_strict(arms)
    )
    parts = []
    ends = 0
    for name in names:
        trials, means, stopped = _curve_rows(epochs, name)
        if not trials:
            continue
        ends += len(stopped)
        number = len(parts)
        panel = _curve_panel(number, trials, means, stopped, list(arms.values()))
        panel["title"] = charts.panel_title(heads[name])
        parts.append((panel, [*trials, *means, *stopped]))
    subtitle = ["Thin lines: the trials; thick lines: the means of the arms"]
    if ends:
        subtitle.append("A cross: from the next epoch on the value is not finite")
    is_first = analysis.question.monitor in names
    return charts.whole(
        "concat",
        parts,
        title="The monitor and the training loss"
        if is_first
        else "Other logged values",
        subtitle=subtitle,
        axes=56,
        min_width=200 if columns < 3 else 150,
        columns=min(columns, max(1, len(parts))),
        spacing=20,
    )


def _curve_rows(epochs: pl.DataFrame, name: str) -> tuple[Rows, Rows, Rows]:
    """The points of the trials, of the means, and the last before it is not finite."""
    curve = epochs.select("arm", "seed", "epoch", value=pl.col(name).cast(pl.Float64))
    curve = curve.drop_nulls("value")
    finite = curve.filter(pl.col("value").is_finite())
    if finite.is_empty():
        return [], [], []
    means = finite.group_by("arm", "epoch", maintain_order=True).agg(
        mean=pl.col("value").mean(), trials=pl.len()
    )
    stopped = curve.with_columns(
        next=pl.col("value").shift(-1).over("arm", "seed", order_by="epoch")
    ).filter(pl.col("value").is_finite() & ~pl.col("next").is_finite())
    stopped = stopped.group_by("arm", "seed", maintain_order=True).first()
    step = math.ceil(curve["epoch"].max() / _MOST_POINTS)
    is_last = pl.col("epoch") == pl.col("epoch").max().over("arm", "seed")
    thin = curve.filter(((pl.col("epoch") - 1) % step == 0) | is_last)
    trials = thin.with_columns(
        pl.when(pl.col("value").is_finite()).then(pl.col("value"))
    )
    ends = stopped.select("arm", "seed", "epoch", end="value")
    means = means.sort("arm", "epoch")
    return trials.to_dicts(), means.to_dicts(), ends.to_dicts()


def _curve_panel(
    number: int, trials: Rows, means: Rows, stopped: Rows, order: Sequence[str]
) -> dict[str, Any]:
    y = _upright(_domain([row["value"] for row in trials], trim=True))
    most = max(row["epoch"] for row in trials)
    x = alt.X(
        "epoch:Q",
        title="Epoch",
        scale=alt.Scale(domain=[1, max(2, most)], nice=False),
        axis=charts.number_axis(format="d", tickMinStep=1, tickCount=5),
    )
    base = _base(number, trials, order, 250).encode(x=x)
    dash = charts.look(trials, order, "dash", 250, symbolType="stroke")
    epoch = alt.Tooltip("epoch:Q", title="Epoch")

    def of(field: str) -> alt.Chart:
        return base.transform_filter(f"'{field}' in datum")

    layers = [
        of("value")
        .mark_line(strokeWidth=0.8, clip=True, invalid="break-paths-filter-domains")
        .encode(
            y=alt.Y("value:Q", **y),
            detail="seed:N",
            strokeOpacity=charts.if_shown(0.45, 0),
            tooltip=[_ARM, _SEED],
        ),
        of("mean")
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(y=alt.Y("mean:Q", **y), strokeDash=alt.StrokeDash(**dash))
        .properties(name=f"marks_{number}"),
        of("mean")
        .mark_point(filled=True, size=20, clip=True)
        .encode(
            y=alt.Y("mean:Q", **y),
            fillOpacity=charts.if_shown(1, 0),
            tooltip=[
                _ARM,
                epoch,
                *_ends("mean", "Mean"),
                alt.Tooltip("trials:Q", title="Trials"),
            ],
        ),
    ]
    if stopped:
        crosses = of("end").mark_point(
            shape="M-1-1L1 1M-1 1L1-1", size=60, strokeWidth=2, filled=False
        )
        layers.append(
            crosses.encode(y=alt.Y("end:Q", **y), tooltip=[_ARM, _SEED, epoch])
        )
    panel: dict[str, Any] = alt.layer(*layers, width=360, height=170).to_dict(
        validate=False
    )
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
