"""What the charts and the tables of a comparison share."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import numpy as np

from keras_wgd.files import printable
from keras_wgd.report import charts
from keras_wgd.report.charts import Rows

# Of a name in a table or a chart; a longer one loses its middle.
_LONGEST_NAME = 30
# The default of an axis writes all digits of 1e30.
_LONG = "abs(datum.value) < 1e6 ? datum.label : format(datum.value, '.1e')"

ARM = alt.Tooltip("arm:N", title="Arm")
SEED = alt.Tooltip("seed:N", title="Seed")


def labels(names: Iterable[str]) -> dict[str, str]:
    """A printable and short label for each name; no two are the same."""
    found: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        # Twice: the first time makes it printable, which makes it longer.
        label = printable(printable(name), _LONGEST_NAME)
        found[name] = f"{number}: {label}" if label in found.values() else label
    return found


def base(number: int, rows: Rows, order: Sequence[str], size: int = 100) -> alt.Chart:
    """What the marks of a panel share; `rows` are those of all panels."""
    return alt.Chart(alt.NamedData(f"rows_{number}")).encode(
        color=alt.Color(**charts.look(rows, order, "color", size)),
        opacity=charts.if_shown(1),
    )


def upright(domain: Sequence[float]) -> dict[str, Any]:
    """The upright axis of values that may be of any size."""
    scale = alt.Scale(domain=list(domain), nice=True, zero=False)
    axis = charts.number_axis(minExtent=28, tickCount=5, labelExpr=_LONG)
    return {"title": None, "scale": scale, "axis": axis}


def number(field: str, title: str) -> alt.Tooltip:
    """A number in a tooltip."""
    return alt.Tooltip(f"{field}:Q", title=title, format=".4~g")


def domain(values: Iterable[float | None], trim: bool = False) -> list[float]:
    """The ends of an axis for values; with `trim`, far outliers are outside."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return [0.0, 1.0]
    low, high = min(finite), max(finite)
    if trim:
        lower, upper = map(float, np.quantile(finite, (0.05, 0.95)))
        reach = 3 * (upper - lower)
        if reach > 0:
            low, high = max(low, lower - reach), min(high, upper + reach)
    room = (high - low) / 20 or abs(high) / 20 or 0.5
    return [low - room, high + room]
