"""Measurements as tables for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from keras_wgd.bench.measurements import Measurement


def steps(measurements: Sequence[Measurement]) -> Table:
    """The steps of one optimizer: alone, which is first, in WGD, and of its peers.

    "floor" is the minimum of the ratio to the optimizer alone where memory bandwidth is
    the limit. "MB moved" are the bytes that must be moved, and "peak MB" the memory
    that a step needs while it runs.
    """
    alone = measurements[0]
    peers = [m for m in measurements if m.kind == "peer"]
    columns = ("/ alone", "floor", "/ peer", "MB moved", "peak MB")
    table = _table("The optimizer's step", columns)
    for m in measurements:
        if peers and m is peers[0]:
            table.add_section()
        floor = ""
        if m.kind == "wgd" and m.passes and alone.passes:
            floor = f"{m.passes / alone.passes:.3f}"
        table.add_row(
            m.name,
            *_times(m),
            f"{m.median / alone.median:.3f}",
            floor,
            f"{m.median / peers[0].median:.3f}" if peers else "",
            "" if m.bytes_moved is None else f"{m.bytes_moved / 1e6:.0f}",
            "" if m.peak_bytes is None else f"{m.peak_bytes / 1e6:.1f}",
        )
    return table


def fit_steps(
    measurements: Sequence[Measurement],
    alone: Sequence[Measurement],
    batch_size: int,
    image_size: int,
) -> Table:
    """Whole steps of `fit`, and the share of the optimizer's step, from `alone`."""
    steps = {(m.optimizer, m.name): m for m in alone}
    title = f"A whole step of fit: {batch_size} images of {image_size} pixels"
    table = _table(title, ("/ alone", "the optimizer's share"))
    first: dict[str, Measurement] = {}
    for m in measurements:
        base = first.setdefault(m.optimizer, m)
        step = steps.get((m.optimizer, m.name))
        table.add_row(
            m.name if m is base else f"  {m.name}",
            *_times(m),
            f"{m.median / base.median:.3f}",
            f"{step.median / m.median:.1%}" if step else "",
        )
    return table


def _table(title, columns):
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title_justify = "left"
    table.add_column("", overflow="fold")
    for column in ("ms", "quartiles", *columns):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _times(measurement):
    low, high = map(_milliseconds, measurement.quartiles)
    return _milliseconds(measurement.median), f"{low}-{high}"


def _milliseconds(seconds):
    milliseconds = seconds * 1e3
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.1f}"
