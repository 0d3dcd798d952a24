"""The means and their places; without Keras, for those who must not load it."""

from collections.abc import Callable
from typing import NamedTuple

from keras_wgd.choices import check_choice

PLACEMENTS = ("gradient", "update")


class Mean(NamedTuple):
    """One reading of the mean that is subtracted.

    Attributes:
        axes: From the kind of a kernel, as of `ConvKernel`, and its rank, the axes
            that the mean runs over, counted from the last.
        unit: What it is taken over, in words: many and one.
        in_groups: Whether each group of a convolution has a mean of its own.
    """

    axes: Callable[[str, int], tuple[int, ...]]
    unit: tuple[str, str]
    in_groups: bool = False


def _filters(kind: str, rank: int) -> tuple[int, ...]:
    return (-2 if kind == "transposed" else -1,)


def _fan_in(kind: str, rank: int) -> tuple[int, ...]:
    spatial = tuple(range(-rank, -2))
    channels = {"ordinary": (-2,), "transposed": (-1,), "depthwise": ()}
    return (*spatial, *channels[kind])


def _kernels(kind: str, rank: int) -> tuple[int, ...]:
    return (-2, -1)


MEANS = {
    "filters": Mean(_filters, ("filters", "filter"), in_groups=True),
    "fan_in": Mean(_fan_in, ("inputs", "input")),
    "kernels": Mean(_kernels, ("kernels", "kernel")),
}


def get(mean_over: str) -> Mean:
    """The mean of a name.

    Raises:
        ValueError: If there is none.
    """
    check_choice("mean_over", mean_over, MEANS)
    return MEANS[mean_over]
