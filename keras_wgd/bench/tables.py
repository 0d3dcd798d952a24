"""Measurements as tables for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from keras_wgd.bench.measurements import Measurement


def steps(measurements: Sequence[Measurement]) -> Table:
    """Steps of one optimizer: alone, wrapped, and its peers'.

    Args:
        measurements: As `of_steps` gives them, that of the optimizer alone first.

    Returns:
        Times, how they compare with the optimizer alone and with its first peer, the
        least that the first of these can be where memory is the limit, the bytes that
        must be moved, and the memory that a step takes for a while.
    """
    alone = measurements[0]
    peers = [m for m in measurements if m.kind == "peer"]
    table = _table("The optimizer's step")
    table.add_column("", overflow="fold")
    for head in (
        "ms",
        "quartiles",
        "/ alone",
        "floor",
        "/ peer",
        "MB moved",
        "peak MB",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    for m in measurements:
        if m.kind == "peer" and m is peers[0]:
            table.add_section()
        low, high = m.quartiles
        floor = ""
        if m.kind == "wgd" and m.passes and alone.passes:
            floor = f"{m.passes / alone.passes:.3f}"
        table.add_row(
            m.name,
            _milliseconds(m.median),
            f"{_milliseconds(low)}-{_milliseconds(high)}",
            f"{m.median / alone.median:.3f}",
            floor,
            f"{m.median / peers[0].median:.3f}" if peers else "",
            _megabytes(m.bytes_moved, 0),
            _megabytes(m.peak_bytes, 1),
        )
    return table


def fit_steps(
    measurements: Sequence[Measurement],
    alone: Sequence[Measurement],
    batch_size: int,
    image_size: int,
) -> Table:
    """Whole steps of `fit`, and how much of each is the optimizer's.

    Args:
        measurements: As `of_fit_steps` gives them.
        alone: As `of_steps` gave them, for all but what is watched.
        batch_size: Images in a step.
        image_size: Their height and width, in pixels.

    Returns:
        Times, how they compare with the first of the same optimizer, and the share
        of the optimizer's step.
    """
    steps = {(m.optimizer, m.name): m for m in alone}
    table = _table(f"A whole step of fit: {batch_size} images of {image_size} pixels")
    table.add_column("", overflow="fold")
    for head in ("ms", "quartiles", "/ alone", "the optimizer's share"):
        table.add_column(head, justify="right", no_wrap=True)
    first: dict[str, Measurement] = {}
    for m in measurements:
        base = first.setdefault(m.optimizer, m)
        low, high = m.quartiles
        step = steps.get((m.optimizer, m.name))
        table.add_row(
            m.name if m is base else f"  {m.name}",
            _milliseconds(m.median),
            f"{_milliseconds(low)}-{_milliseconds(high)}",
            f"{m.median / base.median:.3f}",
            f"{step.median / m.median:.1%}" if step else "",
        )
    return table


def _table(title):
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title_justify = "left"
    return table


def _megabytes(number, digits):
    return "" if number is None else f"{number / 1e6:.{digits}f}"


def _milliseconds(seconds):
    milliseconds = seconds * 1e3
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.1f}"
