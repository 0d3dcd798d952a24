"""Results of studies that nobody has run, for the tests of what reads results."""

import dataclasses
import math

from keras_wgd.experiments.spec import RunSpec
from support.results import result_of

SPEC = RunSpec(
    dataset="cifar100",
    model="densenet121",
    optimizer="radam",
    epochs=4,
    image_size=32,
    train_size=10_000,
)
DIGITS = RunSpec(dataset="digits", model="resnet8", optimizer="adam", epochs=2)
# Of seeds 0, 1 and 2, for `runs_of`.
ACCURACY = {
    ("adam", "plain"): [0.50, 0.60, 0.70],
    ("adam", "filters"): [0.55, 0.70, 0.65],
    ("adam", "fan_in"): [0.50, 0.60, 0.70],
    ("sgdm", "plain"): [0.10, 0.20, 0.30],
}


def runs_of(accuracies, spec=SPEC):
    """Results of `{(optimizer, arm): [accuracy of seed 0, of seed 1, ...]}`."""
    return [
        result_of(
            dataclasses.replace(spec, optimizer=optimizer, seed=seed),
            arm,
            accuracy=accuracy,
        )
        for (optimizer, arm), row in accuracies.items()
        for seed, accuracy in enumerate(row)
    ]


def study():
    """Two settings: three seeds of which one diverges; and a single seed."""
    spec = dataclasses.replace(SPEC, optimizer="sgdm", learning_rate=0.1, seed=1)
    nan = math.nan
    return [
        *runs_of(
            {
                ("radam", "plain"): [0.60, 0.61, 0.63],
                ("radam", "filters"): [0.62, 0.62, 0.64],
                ("radam", "fan_in-update"): [0.60, 0.59, 0.61],
            }
        ),
        *runs_of({("sgdm", "plain"): [0.5, 0.4]}),
        result_of(spec, losses=[3.0, nan, nan, nan], accuracy=0.01),
        result_of(spec, "filters", accuracy=0.5),
        *runs_of(
            {("adam", "plain"): [0.9], ("adam", "filters"): [0.95]},
            DIGITS,
        ),
    ]
