"""Timing of optimizer steps, and of whole steps of `fit`."""

import dataclasses
import random
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np

from keras_wgd.bench import memory
from keras_wgd.bench.contenders import Contender
from keras_wgd.bench.networks import size
from keras_wgd.bench.steps import WARM_UP, Steps
from keras_wgd.callbacks import WhiteningMonitor

T = TypeVar("T", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The times of one contender."""

    name: str  # as of the contender, like the next two
    optimizer: str
    kind: str
    seconds: list[float]  # of each round
    # The minimum number of passes over memory of the size of the weights, and their
    # bytes; `None` for a whole step of `fit`.
    passes: float | None = None
    bytes_moved: int | None = None
    peak_bytes: int | None = None  # while a step runs; `None` if not known

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the seconds."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """The fields, and the median and the quartiles of the seconds, for JSON."""
        low, high = self.quartiles
        summary = {"median": self.median, "low": low, "high": high}
        return dataclasses.asdict(self) | summary


def of_steps(
    variables: Sequence[keras.Variable],
    contenders: Sequence[Contender],
    rounds: int,
    on_step: Callable[[], None] = lambda: None,
    copied_gradients: bool = False,
) -> list[Measurement]:
    """Time the steps of contenders on the same weights and gradients."""
    steps = Steps(variables, copied_gradients)
    ready = {}
    for contender in contenders:
        ready[contender] = steps.of(contender)
        on_step()
    seconds = interleaved(ready, rounds, on_step)
    # Last, because it fragments the memory that other steps would use.
    peaks = {contender: memory.peak(step) for contender, step in ready.items()}
    bytes_once = sum(size([v]) * np.dtype(v.dtype).itemsize for v in variables)
    return [
        Measurement(
            contender.name,
            contender.optimizer,
            contender.kind,
            seconds[contender],
            passes := contender.passes(steps.centered_share(contender)),
            round(passes * bytes_once),
            peaks[contender],
        )
        for contender in contenders
    ]


def of_fit_steps(
    model: keras.Model,
    contenders: Sequence[Contender],
    rounds: int,
    batch_size: int,
    on_step: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Time whole steps of `fit`: forward, backward and the optimizer's.

    `model` returns logits. `contenders` are without peers.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, model.output_shape[-1], batch_size)
    steps = {}
    for contender in contenders:
        # Models of the same layers share one copy of the weights.
        inputs = keras.Input(model.input_shape[1:])
        twin = keras.Model(inputs, model(inputs))
        twin.compile(
            contender.make(),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        if contender.kind == "watched":
            monitor = WhiteningMonitor()
            monitor.set_model(twin)
            monitor.on_train_begin()
        steps[contender] = lambda twin=twin: twin.train_on_batch(x, y)
        for _ in range(WARM_UP):
            steps[contender]()
        on_step()
    seconds = interleaved(steps, rounds, on_step)
    return [Measurement(c.name, c.optimizer, c.kind, seconds[c]) for c in contenders]


def interleaved(
    steps: Mapping[T, Callable[[], Any]],
    rounds: int,
    on_step: Callable[[], None] = lambda: None,
) -> dict[T, list[float]]:
    """Time each step once a round, in an order that changes with the round.

    A machine that is slow for a while then slows all steps alike, and no step always
    follows the same other one.
    """
    order = list(steps)
    shuffle = random.Random(0).shuffle
    seconds: dict[T, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - start)
            on_step()
    return seconds
