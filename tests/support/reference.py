"""Plain NumPy twins in float64 of what the library computes with Keras."""

import numpy as np


def whiten(gradient, kind, mean_over, groups=1):
    """Subtract the mean of each set of elements in a loop.

    Args:
        gradient: A convolution kernel's gradient; `(*k, in, out)` for the kind
            "standard", `(*k, out, in)` for "transposed", `(*k, in, multiplier)`
            for "depthwise".
    """
    gradient = np.asarray(gradient, dtype="float64")
    if kind == "transposed":
        swapped = np.swapaxes(gradient, -1, -2)
        return np.swapaxes(whiten(swapped, "standard", mean_over), -1, -2)
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


def radam(
    weight,
    gradients,
    learning_rate=0.001,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    rho_threshold=5.0,
    early_steps="momentum",
    weight_decay=0.0,
):
    """A weight after one step of RAdam for each gradient, by the paper's formulas.

    Args:
        learning_rate: One number, or one for each step.
    """
    w = np.asarray(weight, dtype="float64")
    m, v = np.zeros_like(w), np.zeros_like(w)
    rho_inf = 2 / (1 - beta_2) - 1
    rates = np.broadcast_to(learning_rate, len(gradients))
    for t, (rate, g) in enumerate(zip(rates, gradients, strict=True), start=1):
        g = np.asarray(g, dtype="float64")
        w = w - rate * weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat = m / (1 - beta_1**t)
        rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
        if rho > rho_threshold:
            r = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
            v_root = (np.sqrt(v) + epsilon) / np.sqrt(1 - beta_2**t)
            w = w - rate * np.sqrt(r) * m_hat / v_root
        elif early_steps == "momentum":
            w = w - rate * m_hat
    return w
