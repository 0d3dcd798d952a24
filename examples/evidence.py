"""The comparisons of docs/evidence-plan.md, one at a time.

    KERAS_BACKEND=jax python examples/evidence.py b-adam --data-dir data --jobs 2

Each has a folder in examples/results/evidence; the same command resumes it. Seeds,
settings and rates to try are those of the plan, and no option changes them.
"""

import argparse
import functools
from pathlib import Path
from typing import NamedTuple

import keras
from keras import optimizers

from keras_wgd import WGD, RAdam, compare
from keras_wgd.tasks import datasets, models

RESULTS = Path(__file__).parent / "results" / "evidence"
MEANS = ("filters", "fan_in")
RATES = {
    "sgdm": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "nadam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "radam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}


class Setting(NamedTuple):
    """A comparison: the optimizer alone, and with each mean."""

    optimizer: str
    first_seed: int
    means: tuple[str, ...] = MEANS
    model: str = "resnet8"
    seeds: int = 10
    image_size: int = 16
    train_size: int = 10_000
    epochs: int = 10
    weight_decay: float = 1e-3
    cosine: bool = False


ALL_MEANS = (*MEANS, "kernels", "fan_in-update")
COMPARISONS = {
    "a-sgdm": Setting("sgdm", 2100, ALL_MEANS),
    "a-adam": Setting("adam", 2110, ALL_MEANS),
    "a-nadam": Setting("nadam", 2120, ALL_MEANS),
    "a-radam": Setting("radam", 2130, ALL_MEANS),
    "b-sgdm": Setting("sgdm", 2200, model="resnet8_gn"),
    "b-adam": Setting("adam", 2210, model="resnet8_gn"),
    "c-0": Setting("sgdm", 2300, ("fan_in",), weight_decay=0),
    "c-1e-4": Setting("sgdm", 2300, ("fan_in",), weight_decay=1e-4),
    "c-1e-3": Setting("sgdm", 2300, ("fan_in",), weight_decay=1e-3),
    "c-5e-3": Setting("sgdm", 2300, ("fan_in",), weight_decay=5e-3),
    "d-sgdm": Setting(
        "sgdm", 2400, model="resnet20", seeds=5, image_size=32, epochs=15, cosine=True
    ),
    "d-adam": Setting(
        "adam", 2410, model="resnet20", seeds=5, image_size=32, epochs=15, cosine=True
    ),
}


def build_model(setting, data):
    """The network, with L2 on every weight as torch's optimizers have it."""
    model = models.build(setting.model, data.image_shape, data.classes)
    if setting.weight_decay:
        regularizer = keras.regularizers.L2(setting.weight_decay / 2)
        for variable in model.trainable_variables:
            variable.regularizer = regularizer
    return model


def make_optimizer(setting, steps, mean, learning_rate):
    """The optimizer, alone or with a mean that is removed."""
    if setting.cosine:
        rate = optimizers.schedules.CosineDecay(learning_rate, steps)
    else:
        rate = learning_rate
    inner = {
        "sgdm": lambda: optimizers.SGD(rate, momentum=0.9),
        "adam": lambda: optimizers.Adam(rate, epsilon=1e-10),
        "nadam": lambda: optimizers.Nadam(rate, epsilon=1e-10),
        "radam": lambda: RAdam(rate, epsilon=1e-10),
    }[setting.optimizer]()
    if mean == "plain":
        return inner
    mean_over, _, placement = mean.partition("-")
    return WGD(inner, mean_over, placement or "gradient")


def run(name, data_dir=None, jobs=1, out=RESULTS, **changes):
    """Make one comparison of the plan; `changes` are for tests."""
    setting = COMPARISONS[name]._replace(**changes)
    data = datasets.load(
        "cifar100", data_dir, setting.train_size, 5_000, setting.image_size
    )
    steps = -(-setting.train_size // 32) * setting.epochs
    arms = ("plain", *setting.means)
    return compare(
        functools.partial(build_model, setting, data),
        {arm: functools.partial(make_optimizer, setting, steps, arm) for arm in arms},
        train=(data.preprocess(data.train), data.y_train),
        validation=(data.preprocess(data.test), data.y_test),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy("accuracy"),
            # Keras's own loss includes the L2 of the weights.
            keras.metrics.SparseCategoricalCrossentropy(
                "cross_entropy", from_logits=True
            ),
        ],
        monitor="val_accuracy",
        tail=0.0 if setting.cosine else 0.3,
        epochs=setting.epochs,
        seeds=range(setting.first_seed, setting.first_seed + setting.seeds),
        sequential=False,
        margin=0.005,
        learning_rates=dict.fromkeys(arms, RATES[setting.optimizer]),
        tuning_seeds=2,
        jobs=jobs,
        out=out / name,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=COMPARISONS)
    parser.add_argument("--data-dir", help="the folder with cifar100.npz")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    comparison = run(options.name, options.data_dir, options.jobs)
    print(comparison)
    comparison.report(RESULTS / options.name / "report.html")
