"""The means and their placements. Imports no Keras: the command line needs that."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from keras_wgd.choices import check_choice

MeanOver = Literal["filters", "fan_in", "kernels"]
Placement = Literal["gradient", "update"]
KernelKind = Literal["standard", "transposed", "depthwise"]

PLACEMENTS: tuple[Placement, ...] = ("gradient", "update")


class Mean(NamedTuple):
    """One reading of the mean that is subtracted."""

    # From the kind and the rank of a kernel; counted from the last axis.
    axes: Callable[[KernelKind, int], tuple[int, ...]]
    unit: str  # what the mean is taken over, in the singular
    per_group: bool = False  # each group of a convolution has its own mean


def _fan_in(kind: KernelKind, rank: int) -> tuple[int, ...]:
    channels = {"standard": (-2,), "transposed": (-1,), "depthwise": ()}
    return (*range(-rank, -2), *channels[kind])


MEANS: dict[str, Mean] = {
    "filters": Mean(
        lambda kind, _: (-2 if kind == "transposed" else -1,), "filter", per_group=True
    ),
    "fan_in": Mean(_fan_in, "input"),
    "kernels": Mean(lambda *_: (-2, -1), "kernel"),
}


def get(mean_over: str) -> Mean:
    """Return the mean with a name; a ValueError lists the names."""
    check_choice("mean_over", mean_over, MEANS)
    return MEANS[mean_over]
