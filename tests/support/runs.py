"""Runs that take a second, and what belongs to them."""

import dataclasses

import numpy as np

from keras_wgd.experiments.spec import RunSpec

SPEC = RunSpec(
    dataset="digits",
    model="resnet8",
    optimizer="adam",
    epochs=2,
    learning_rate=1e-3,
    train_size=64,
    test_size=40,
)
ARMS = {
    "plain": SPEC,
    "filters": dataclasses.replace(SPEC, mean_over="filters"),
    "fan_in": dataclasses.replace(SPEC, mean_over="fan_in", optimizer="sgdm"),
}
RUNS = [
    dataclasses.replace(spec, epochs=1, train_size=32, batch_size=16, seed=seed)
    for seed in (0, 1)
    for spec in (ARMS["plain"], ARMS["filters"])
]
# Long enough to be killed in the middle.
LONG_RUNS = [dataclasses.replace(spec, epochs=20) for spec in RUNS[:2]]


def progress(epochs, loss=0.5):
    # Ray must start before Keras is imported.
    from keras_wgd.experiments.metrics import CURVES
    from keras_wgd.experiments.training.checkpoint import Progress

    return Progress(
        curves={name: [loss if "loss" in name else 0.5] * epochs for name in CURVES},
        seconds=[1.0] * epochs,
    )


def cifar_arrays(samples=40):
    generator = np.random.default_rng(0)
    arrays = {"fine_label_names": np.array([f"class{i}" for i in range(100)])}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = generator.integers(
            0, 256, (samples, 32, 32, 3), dtype="uint8"
        )
        arrays[f"y_{part}"] = generator.integers(0, 100, (samples, 1))
    return arrays
