"""Results of comparisons that nobody has made."""

import math

import numpy as np

from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.trials import Question, TrialAnalysis
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.trial import Trial

ARMS = ("adam", "wgd", "lion")
STEPS_AN_EPOCH = 50


def trial_of(arm, seed, curves, *, learning_rate=None, tuning=False, **changes):
    """The result of a trial with these curves.

    An epoch takes a second of training and a fifth of that besides, and centers one
    variable if the arm is not the first one that is usual here, "adam".
    """
    epochs = len(next(iter(curves.values())))
    trial = Trial(
        arm=arm, seed=seed, epochs=epochs, learning_rate=learning_rate, tuning=tuning
    )
    fields = {
        "metrics": {},
        "curves": {name: [float(number) for number in c] for name, c in curves.items()},
        "seconds": [1.0] * epochs,
        "norm_ratios": [],
        "confusion": [],
        "centered": 0 if arm == "adam" else 1,
        "environment": {"backend": "jax"},
    }
    fields |= changes
    seconds = sum(fields["seconds"])
    details = {
        "steps": STEPS_AN_EPOCH * epochs,
        "wall_seconds": 1.2 * seconds,
        "initial_weights": f"{seed:08x}",
    }
    return Result(spec=trial, **{"details": details} | fields)


def trials_of(values, monitor="val_accuracy", epochs=4):
    """Results of `{arm: [value with seed 0, with seed 1, ...]}`; `None` for no trial.

    The curve of the monitor is the value in every epoch.
    """
    return [
        trial_of(arm, seed, {"loss": [1.0] * epochs, monitor: [value] * epochs})
        for arm, row in values.items()
        for seed, value in enumerate(row)
        if value is not None
    ]


def random_trials(
    gains,
    seeds=10,
    epochs=20,
    noise=0.005,
    slower=1.05,
    diverged=(),
    generator=0,
):
    """Results of arms whose accuracy rises by epoch to 0.9 and their gain.

    Args:
        gains: The true gain of each arm in accuracy; that of the baseline is usually 0.
        seeds: The number of seeds.
        epochs: The number of epochs.
        noise: The standard deviation of a trial's level, and of an epoch's value.
        slower: The time of a step of all arms but the first, relative to its.
        diverged: Pairs of an arm and a seed whose curves end in NaN.
        generator: A NumPy generator, or the seed of one.
    """
    random = np.random.default_rng(generator)
    results = []
    for seed in range(seeds):
        for number, (arm, gain) in enumerate(gains.items()):
            rise = 1 - np.exp(-np.arange(1, epochs + 1) / 4)
            level = 0.9 + gain + random.normal(0, noise)
            accuracy = np.clip(level * rise + random.normal(0, noise, epochs), 0, 1)
            loss = 2.3 * (1 - rise) + random.uniform(0.05, 0.1, epochs)
            curves = {
                "loss": loss,
                "accuracy": np.clip(accuracy + 0.01, 0, 1),
                "val_loss": loss + 0.1,
                "val_accuracy": accuracy,
            }
            if (arm, seed) in diverged:
                for curve in curves.values():
                    curve[epochs // 2 :] = math.nan
            step = (slower if number else 1.0) * random.uniform(0.019, 0.021, epochs)
            seconds = [float(second) for second in STEPS_AN_EPOCH * step]
            results.append(trial_of(arm, seed, curves, seconds=seconds))
    return results


def question(**changes):
    """A question about the three arms and their accuracy."""
    fields = {
        "arms": ARMS,
        "monitor": "val_accuracy",
        "best": "max",
        "tail": 0.3,
        "design": Design.of(10),
        "margin": None,
    }
    return Question(**fields | changes)


def analysis_of(values, monitor="val_accuracy", **changes):
    """The analysis of `trials_of`."""
    results = trials_of(values, monitor)
    return TrialAnalysis(
        question(arms=tuple(values), monitor=monitor, **changes), results
    )
