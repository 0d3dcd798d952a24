"""The checks of a result that is read: types, lengths and ranges."""

import sys
from typing import Any

from keras_wgd.experiments.metrics import CURVES, METRICS

_ANY = (-sys.float_info.max, sys.float_info.max)
_RANGES = {
    **dict.fromkeys(("accuracy", "mean_recall", "mean_precision"), (0, 1)),
    **dict.fromkeys(("train_accuracy", "test_accuracy"), (0, 1)),
    **dict.fromkeys(("loss", "train_loss", "test_loss"), _ANY),
    "kappa": (-1, 1),
    "norm_ratios": (0, 1 + 1e-3),  # centering increases no norm, except by rounding
    "seconds": (0, sys.float_info.max),
    "confusion": (0, 2**53),
}
# Null stands for numbers that are not finite.
_NULLABLE = ("loss", "train_loss", "test_loss", "kappa", "norm_ratios")


def is_whole(fields: dict[str, Any], epochs: int) -> bool:
    """Whether the fields of a result except its spec are right, as read from JSON."""
    metrics, confusion = fields["metrics"], fields["confusion"]
    return (
        _has_names(metrics, METRICS)
        and all(_is_number(name, value) for name, value in metrics.items())
        and has_epochs(fields, epochs)
        and isinstance(confusion, list)
        and confusion != []
        and all(_is_row("confusion", row, len(confusion)) for row in confusion)
        and all(type(count) is int for row in confusion for count in row)
        and any(map(any, confusion))
        and type(fields["centered"]) is int
        and 0 <= fields["centered"] < 2**31
        and isinstance(fields["environment"], dict)
        and _is_shallow(fields["environment"])
    )


def has_epochs(fields: dict[str, Any], epochs: int) -> bool:
    """Whether curves, times and ratios have a number in its range for each epoch."""
    curves, ratios = fields["curves"], fields["norm_ratios"]
    return (
        _has_names(curves, CURVES)
        and all(_is_row(name, row, epochs) for name, row in curves.items())
        and _is_row("seconds", fields["seconds"], epochs)
        and _is_row("norm_ratios", ratios, epochs if ratios else 0)
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
