"""Plain NumPy twins in float64 of what the library computes with Keras."""

import numpy as np


def whiten(gradient, kind, mean_over, groups=1):
    """The mean removed set by set: one loop over the sets of each definition.

    Args:
        gradient: A convolution kernel's gradient; `(*k, in, out)` for the kind
            "ordinary", `(*k, out, in)` for "transposed", `(*k, in, multiplier)`
            for "depthwise".
    """
    gradient = np.asarray(gradient, dtype="float64")
    if kind == "transposed":
        swapped = np.swapaxes(gradient, -1, -2)
        return np.swapaxes(whiten(swapped, "ordinary", mean_over), -1, -2)
    whitened = gradient.copy()
    *kernel_size, channels, filters = gradient.shape
    sets = []
    if mean_over == "filters":
        for position in np.ndindex(*kernel_size, channels):
            for run in np.split(np.arange(filters), groups):
                sets.append([(*position, i) for i in run])
    elif mean_over == "fan_in" and kind == "depthwise":
        for c in range(channels):
            for i in range(filters):
                sets.append([(*k, c, i) for k in np.ndindex(*kernel_size)])
    elif mean_over == "fan_in":
        for i in range(filters):
            sets.append([(*k, i) for k in np.ndindex(*kernel_size, channels)])
    else:
        for k in np.ndindex(*kernel_size):
            sets.append([(*k, *kernel) for kernel in np.ndindex(channels, filters)])
    for elements in sets:
        if len(elements) > 1:
            mean = sum(gradient[e] for e in elements) / len(elements)
            for e in elements:
                whitened[e] -= mean
    return whitened
