"""The checks of a result that is read: types, lengths and ranges."""

import sys
from typing import Any

from keras_wgd.experiments.metrics import CURVES, METRICS
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.trial import Trial

_ANY = (-sys.float_info.max, sys.float_info.max)
_RANGES = {
    **dict.fromkeys(("accuracy", "mean_recall", "mean_precision"), (0, 1)),
    **dict.fromkeys(("train_accuracy", "test_accuracy"), (0, 1)),
    **dict.fromkeys(("loss", "train_loss", "test_loss"), _ANY),
    "curve": _ANY,
    "kappa": (-1, 1),
    "norm_ratios": (0, 1 + 1e-3),  # centering increases no norm, except by rounding
    "seconds": (0, sys.float_info.max),
    "confusion": (0, 2**53),
}
# Null stands for numbers that are not finite.
_NULLABLE = ("loss", "train_loss", "test_loss", "kappa", "norm_ratios", "curve")

# What a trial has in its `details`.
_DETAILS = {
    "steps": int,
    "wall_seconds": float,
    "initial_weights": str,
    "best": str,
}
_MAX_NAME = 200  # letters


def is_whole(fields: dict[str, Any], run: RunSpec | Trial) -> bool:
    """Whether the fields of a result except its spec are right, as read from JSON."""
    return (
        type(fields["centered"]) is int
        and 0 <= fields["centered"] < 2**31
        and isinstance(fields["environment"], dict)
        and _is_shallow(fields["environment"])
        and (_is_of_trial if isinstance(run, Trial) else _is_of_study)(fields, run)
    )


def _is_of_study(fields, run):
    metrics, confusion = fields["metrics"], fields["confusion"]
    return (
        _has_names(metrics, METRICS)
        and all(_is_number(name, value) for name, value in metrics.items())
        and has_epochs(fields, run, run.epochs)
        and isinstance(confusion, list)
        and confusion != []
        and all(_is_row("confusion", row, len(confusion)) for row in confusion)
        and all(type(count) is int for row in confusion for count in row)
        and any(map(any, confusion))
        and fields.get("details", {}) == {}
    )


def _is_of_trial(fields, run):
    details, seconds = fields.get("details"), fields["seconds"]
    return (
        fields["metrics"] == {}
        and fields["confusion"] == []
        and isinstance(seconds, list)
        and 1 <= len(seconds) <= run.epochs
        and has_epochs(fields, run, len(seconds))
        and _has_names(details, _DETAILS)
        and all(type(details[name]) is kind for name, kind in _DETAILS.items())
        and details["steps"] >= 0
        and details["best"] in ("max", "min")
        and _is_number("seconds", details["wall_seconds"])
    )


def has_epochs(fields: dict[str, Any], run: RunSpec | Trial, epochs: int) -> bool:
    """Whether curves, times and ratios have a number in its range for each epoch."""
    curves, ratios = fields["curves"], fields["norm_ratios"]
    if isinstance(run, Trial):  # names and units are the user's
        is_whole = isinstance(curves, dict) and all(
            0 < len(name) <= _MAX_NAME
            and name.isprintable()
            and _is_row("curve", row, epochs)
            for name, row in curves.items()
        )
    else:
        is_whole = _has_names(curves, CURVES) and all(
            _is_row(name, row, epochs) for name, row in curves.items()
        )
    return (
        is_whole
        and _is_row("seconds", fields["seconds"], epochs)
        and _is_row("norm_ratios", ratios, epochs if run.has_norm_ratios else 0)
    )


def _is_row(name, row, length):
    has_length = isinstance(row, list) and len(row) == length
    return has_length and all(_is_number(name, value) for value in row)


def _is_shallow(tree, levels=8):
    """Whether a recursive function can walk through the tree."""
    parts = tree.values() if isinstance(tree, dict) else tree
    return not isinstance(tree, dict | list) or (
        levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)
    )


def _has_names(tree, names):
    return isinstance(tree, dict) and set(tree) == set(names)


def _is_number(name, value):
    if value is None:
        return name in _NULLABLE
    minimum, maximum = _RANGES[name]
    return type(value) in (int, float) and minimum <= value <= maximum
