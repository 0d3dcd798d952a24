"""What each trial has of its own: checks that it is new, and copies."""

import contextlib
import hashlib
import weakref
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wgd.experiments.training.custom.data import Data


def is_built(model: keras.Model, data: Data) -> bool:
    """Whether a model has its variables; some have them when they see their inputs.

    Symbolic inputs draw no random numbers, as `fit` draws none before the first step.
    """
    inputs = None if model.built else data.symbolic_inputs()
    if inputs is not None:
        with contextlib.suppress(Exception):  # `fit` reports what is wrong
            model(inputs)
    return model.built


def digest_of(model: keras.Model) -> str:
    """A digest of all weights of a model, in their order."""
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(ops.convert_to_numpy(variable))
        digest.update(f"{array.shape} {variable.dtype};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def copies(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with new metrics, since a metric has a state.

    A metric that its config does not describe is used again: `fit` resets it.
    """

    def copy(value):
        if not isinstance(value, keras.Metric):
            return value
        try:
            new = type(value).from_config(value.get_config())
        except (KeyError, TypeError, ValueError):
            return value
        return new if _plain(new) == _plain(value) else value

    return {
        name: keras.tree.map_structure(copy, value) for name, value in arguments.items()
    }


def _plain(metric: keras.Metric) -> dict[str, Any]:
    kinds = (bool, int, float, str, tuple)
    return {name: v for name, v in vars(metric).items() if isinstance(v, kinds)}


# Models and callbacks of earlier trials.
_used: "weakref.WeakSet[Any]" = weakref.WeakSet()


def check_new(made: Any, rule: str) -> None:
    """Check that an object is none of an earlier call; `rule` begins the message."""
    if made in _used:
        raise ValueError(
            f"{rule} in each call. Received: the {type(made).__name__} of an "
            "earlier call"
        )
    _used.add(made)
