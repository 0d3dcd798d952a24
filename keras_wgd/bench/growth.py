"""The time of RAdam's step by the size and the number of its weights."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import keras

from keras_wgd import pictures
from keras_wgd.bench import measurements, networks
from keras_wgd.bench.contenders import contenders
from keras_wgd.files import read_json, write_text

_NAME = "growth"
# The number of kernels, and the filters of each: 20 kernels of 10,000 to 100,000,000
# scalars in all, and 10 to 2,000 kernels of 576 scalars each.
_PANELS = {
    "Numbers in 20 weights": [(20, filters) for filters in (7, 24, 75, 236, 745)],
    "Weights of 576 numbers": [(n, 8) for n in (10, 30, 100, 300, 1000, 2000)],
}
# The name of each kind of contender in the chart, and its color.
_KINDS = {
    "alone": ("RAdam", "#7a7a7a"),
    "wgd": ("WGD(RAdam)", "#0072b2"),
    "peer": ("peer", "#d55e00"),
}


def count(rounds: int) -> int:
    """How often `measure` calls `on_step`."""
    return sum(map(len, _PANELS.values())) * len(_contenders()) * (rounds + 1)


def measure(
    rounds: int, on_step: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Time RAdam alone, in WGD, and its first peer on weights of many sizes."""
    points = []
    for panel, sizes in _PANELS.items():
        for number, filters in sizes:
            variables = networks.kernels(number, filters)
            x = networks.size(variables) if panel.startswith("Numbers") else number
            found = measurements.of_steps(variables, _contenders(), rounds, on_step)
            points += [{"panel": panel, "x": x, **m.to_dict()} for m in found]
    return points


def write(
    out: Path, environment: dict[str, Any], points: Sequence[dict[str, Any]]
) -> list[Path]:
    """Write the measurements of this backend, and draw those of all backends."""
    path = out / f"{_NAME}-{keras.backend.backend()}.json"
    lines = ",\n".join(json.dumps(point) for point in points)
    write_text(
        path,
        f'{{"environment": {json.dumps(environment)},\n"points": [\n{lines}\n]}}\n',
    )
    drawn = {_NAME: chart(read(out)).to_dict()}
    return [path, *pictures.write(out, drawn, pictures.vega_lite())]


def read(out: Path) -> list[dict[str, Any]]:
    """Read what `write` wrote to a folder, under one or more backends, for `chart`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in sorted(out.glob(f"{_NAME}-*.json")):
        file = read_json(path)
        try:
            rows += [
                {
                    "panel": point["panel"],
                    "backend": file["environment"]["backend"],
                    "kind": _KINDS[point["kind"]][0],
                    "optimizer": point["name"],
                    "x": point["x"],
                    "milliseconds": 1e3 * point["median"],
                }
                for point in file["points"]
            ]
        except (KeyError, TypeError):
            raise ValueError(
                f"{path} is not of this program: choose another folder, or remove it"
            ) from None
    return rows


def chart(rows: Sequence[dict[str, Any]]) -> alt.TopLevelMixin:
    """Draw measurements, one row of panels for each backend."""
    peer = _KINDS["peer"][0]
    peers = dict.fromkeys(row["optimizer"] for row in rows if row["kind"] == peer)
    names, colors = zip(*_KINDS.values(), strict=True)
    color = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=names, range=colors),
        legend=alt.Legend(orient="top", labelFontSize=12, symbolOpacity=1),
    )
    log = alt.Scale(type="log")
    powers = [10.0**n for n in range(-1, 9)]
    axis = alt.Axis(format="~s", values=powers[1:], tickSize=4)
    times = alt.Axis(format="~g", values=powers, tickSize=4)
    base = alt.Chart().encode(
        x=alt.X("x:Q", title=None, scale=log, axis=axis),
        y=alt.Y("milliseconds:Q", title="Milliseconds a step", scale=log, axis=times),
        color=color,
    )
    layers = alt.layer(
        base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=30)
    ).properties(width=260, height=150)
    backends = sorted({row["backend"] for row in rows})
    return (
        layers.facet(
            row=alt.Row("backend:N", title=None, sort=backends),
            column=alt.Column("panel:N", title=None, sort=list(_PANELS)),
            data=alt.Data(values=rows),
        )
        .resolve_scale(x="independent")
        .properties(
            title=alt.TitleParams(
                "RAdam's step by the size and the number of its weights",
                subtitle=f"Kernels of 3x3; peers: {', '.join(peers)}",
                anchor="start",
                offset=10,
            )
        )
    )


def _contenders():
    found = contenders("radam", ["filters"], ["gradient"])
    peers = [contender for contender in found if contender.kind == "peer"]
    return found[:2] + peers[:1]
