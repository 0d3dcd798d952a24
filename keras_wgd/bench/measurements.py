"""What was measured: of steps alone, and of whole steps of `fit`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_wgd.bench import memory
from keras_wgd.bench.contenders import Contender
from keras_wgd.bench.networks import size
from keras_wgd.bench.steps import WARM_UP, Steps
from keras_wgd.bench.timing import interleaved
from keras_wgd.callbacks import WhiteningMonitor


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One contender, measured.

    Attributes:
        name: The contender's name.
        optimizer: Whose step it makes.
        kind: As of the contender.
        seconds: Of each round.
        passes: How often memory must be read or written for a weight, at least;
            `None` for a whole step of `fit`.
        bytes_moved: The bytes that these are.
        peak_bytes: Memory that a step takes for a while; `None` if not known.
    """

    name: str
    optimizer: str
    kind: str
    seconds: list[float]
    passes: float | None = None
    bytes_moved: int | None = None
    peak_bytes: int | None = None

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the rounds took less than the first, or more than the last."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """The fields, and the median and quartiles of the seconds, for JSON."""
        low, high = self.quartiles
        summary = {"median": self.median, "low": low, "high": high}
        return dataclasses.asdict(self) | summary


def of_steps(
    variables: Sequence[keras.Variable],
    contenders: Sequence[Contender],
    rounds: int,
    on_step: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Time the steps of contenders in turns, on the same weights and gradients.

    Args:
        variables: The weights.
        contenders: What to time.
        rounds: How often to time each.
        on_step: Called when a step is ready, and each time that it is timed.

    Returns:
        A measurement for each contender, in the same order.
    """
    steps = Steps(variables)
    ready = {}
    for contender in contenders:
        ready[contender] = steps.of(contender)
        on_step()
    seconds = interleaved(ready, rounds, on_step)
    # Last: it scatters the memory that later steps would get.
    peaks = {contender: memory.peak(step) for contender, step in ready.items()}
    bytes_once = sum(size([v]) * np.dtype(v.dtype).itemsize for v in variables)
    return [
        Measurement(
            contender.name,
            contender.optimizer,
            contender.kind,
            seconds[contender],
            passes := contender.passes(steps.share(contender)),
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
    """Time whole steps of `fit`: forward, backward, and the optimizer's.

    Args:
        model: The network, with logits.
        contenders: Whose steps; no peers.
        rounds: How often to time each.
        batch_size: Images in a step.
        on_step: As for `of_steps`.

    Returns:
        A measurement for each contender, in the same order.
    """
    draw = np.random.default_rng(0)
    x = draw.normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    y = draw.integers(0, model.output_shape[-1], batch_size)
    steps = {}
    for contender in contenders:
        # Another model of the same layers: the weights are there once.
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
