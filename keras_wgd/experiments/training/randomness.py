"""The random generators that a process has one of, as variables of a checkpoint.

Layers have generators of their own, whose state is theirs. On PyTorch dropout draws
from the global generator, and a model's own code may draw from any.
"""

import math
import random
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


class Generator:
    """A global generator, which can be read and set like a variable."""

    def __init__(self, get: Callable[[], Any], assign: Callable[[Any], None]):
        self._get, self.assign = get, assign

    def __array__(self, dtype=None, copy=None):
        return np.array(self._get(), dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the state."""
        return np.array(self).shape

    @property
    def dtype(self) -> str:
        """That of the state."""
        return np.array(self).dtype.name


def generators() -> list[Generator]:
    """Those of Python, NumPy and, on PyTorch, of torch and its GPU."""
    found = [Generator(_python, _set_python), Generator(_numpy, _set_numpy)]
    if keras.backend.backend() == "torch":
        torch = sys.modules["torch"]
        found.append(
            Generator(
                lambda: torch.get_rng_state().numpy(),
                lambda state: torch.set_rng_state(torch.from_numpy(state)),
            )
        )
        if torch.cuda.is_available():
            found.append(
                Generator(
                    lambda: torch.cuda.get_rng_state().numpy(),
                    lambda state: torch.cuda.set_rng_state(torch.from_numpy(state)),
                )
            )
    return found


# A float64 holds each word of 32 bits, and the number that was drawn in advance.


def _python():
    _, words, ahead = random.getstate()
    return np.array([*words, math.nan if ahead is None else ahead])


def _set_python(state):
    words, ahead = tuple(map(int, state[:-1])), float(state[-1])
    random.setstate((3, words, None if math.isnan(ahead) else ahead))


def _numpy():
    _, words, *rest = np.random.get_state()
    return np.array([*words, *rest], "float64")


def _set_numpy(state):
    words, position, has_ahead = state[:-3].astype("uint32"), *map(int, state[-3:-1])
    np.random.set_state(("MT19937", words, position, has_ahead, float(state[-1])))
