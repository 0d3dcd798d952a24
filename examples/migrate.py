"""Move to keras_wgd from four other packages.

Prints how the arguments of TensorFlow Addons, gradient-centralization-tf (gctf),
pytorch_optimizer and torch.optim translate. Then each side trains one kernel for 100
steps, and the script prints the largest difference between their weights. Keras 3
cannot use the first two packages, so NumPy computes their equations.

    KERAS_BACKEND=torch python examples/migrate.py

Runs for seconds on any backend. Needs rich. Compares with PyTorch and pytorch_optimizer
where they are installed.
"""

from functools import partial
from importlib.util import find_spec

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_wgd import WGD, RAdam

TABLES = {
    "tfa.optimizers.RectifiedAdam": {
        "learning_rate, beta_1, beta_2": "the same",
        "epsilon=1e-7": "epsilon=1e-8, added before the bias correction",
        "sma_threshold=5.0": "rho_threshold=5.0",
        "weight_decay": "weight_decay (both decoupled)",
        "total_steps, warmup_proportion, min_lr": "a Keras schedule as learning_rate",
        "amsgrad": "none",
    },
    "gctf.optimizers.adam()": {
        "learning_rate, beta_1, ...": 'WGD(Adam(...), mean_over="fan_in")',
        "centers every gradient of rank 2 or more": "centers convolutions only",
        "optimizer.get_gradients = ...": "WGD(optimizer): Keras 3 has no get_gradients",
    },
    "pytorch_optimizer.RAdam": {
        "lr, betas=(b1, b2), eps": "learning_rate, beta_1, beta_2, epsilon",
        "n_sma_threshold=5": "rho_threshold=5.0",
        "degenerated_to_sgd=False, True": 'early_steps="skip", "momentum" (default)',
        "weight_decay, weight_decouple=True": "weight_decay",
        "gc_conv_only=True leaves Conv1D alone": "centers Conv1D too",
        "centralize_gradient(..., gc_conv_only=True)": 'WGD(..., mean_over="fan_in")',
    },
    "torch.optim.RAdam": {
        "lr, betas=(b1, b2), eps": "learning_rate, beta_1, beta_2, epsilon",
        "weight_decay, decoupled_weight_decay=True": "weight_decay",
        "weight_decay=wd alone": "keras.regularizers.L2(wd / 2) on each weight",
        "maximize, capturable, differentiable": "none",
    },
}
STEPS, RATE = 100, 0.01
generator = np.random.default_rng(0)
START, TARGET = generator.normal(size=(2, 3, 3, 4, 8)).astype("float32")
SLOPE = generator.uniform(0.5, 2, START.shape).astype("float32")


def trajectory(weight, step):
    """The kernel after each step. The loss is `sum(SLOPE * (w - TARGET)**2) / 2`."""
    weights = []
    for t in range(1, STEPS + 1):
        weight = step(t, weight, SLOPE * (weight - TARGET))
        weights.append(weight)
    return np.stack(weights)


def ours(optimizer):
    kernel = keras.Variable(START, name="kernel")
    optimizer.build([kernel])

    def step(t, weight, gradient):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        return keras.ops.convert_to_numpy(kernel).copy()

    return trajectory(START, step)


def with_numpy(rectified, centered):
    """Adam or RectifiedAdam, as in their sources, at beta_2=0.999."""
    m = v = np.zeros(START.shape)

    def step(t, weight, gradient):
        nonlocal m, v
        if centered:
            gradient = gradient - gradient.mean((0, 1, 2))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, unbias = m / (1 - 0.9**t), np.sqrt(1 - 0.999**t)
        if not rectified:
            return weight - RATE * m_hat * unbias / (np.sqrt(v) + 1e-7)
        infinite = 2 / 0.001 - 1
        rho = infinite - 2 * t * 0.999**t / (1 - 0.999**t)
        if rho < 5:
            return weight - RATE * m_hat
        ratio = (rho - 4) * (rho - 2) / rho
        r = np.sqrt(ratio * infinite / (infinite - 4) / (infinite - 2))
        return weight - RATE * r * m_hat / (np.sqrt(v) / unbias + 1e-7)

    return trajectory(START.astype("float64"), step)


def with_torch(make, centralize=None):
    import torch

    # In PyTorch, filters and channels are the first axes.
    weight = torch.nn.Parameter(torch.tensor(START.transpose(3, 2, 0, 1).copy()))
    optimizer = make([weight], lr=RATE)

    def step(t, value, gradient):
        weight.grad = torch.tensor(gradient.transpose(3, 2, 0, 1).copy())
        if centralize:
            centralize([weight.grad], gc_conv_only=True)
        optimizer.step()
        return weight.detach().numpy().transpose(2, 3, 1, 0).copy()

    return trajectory(START, step)


for name, arguments in TABLES.items():
    table = Table(name, "keras_wgd", title_justify="left")
    for pair in arguments.items():
        table.add_row(*pair)
    Console(width=100).print(table)


def compare(name, theirs, optimizer):
    difference = np.abs(theirs - ours(optimizer)).max()
    print(f"{name}: largest difference in {STEPS} steps {difference:.1e}")


print("Compared with NumPy, for the two packages that Keras 3 cannot use:")
compare("RectifiedAdam", with_numpy(True, False), RAdam(RATE))
adam = WGD(keras.optimizers.Adam(RATE), mean_over="fan_in")
compare("gctf.optimizers.adam", with_numpy(False, True), adam)
if find_spec("torch"):
    import torch

    compare("torch.optim.RAdam", with_torch(torch.optim.RAdam), RAdam(RATE))
if find_spec("torch") and find_spec("pytorch_optimizer"):
    from pytorch_optimizer import RAdam as Peer
    from pytorch_optimizer import centralize_gradient

    theirs = with_torch(partial(Peer, degenerated_to_sgd=True), centralize_gradient)
    compare("pytorch_optimizer", theirs, WGD(RAdam(RATE), mean_over="fan_in"))
