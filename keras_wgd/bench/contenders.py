"""The optimizers that are measured: alone, in WGD, and those of other libraries."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np

from keras_wgd.experiments import optimizers
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.optimizers import inner
from keras_wgd.optimizers.wgd import WGD

# So small that the weights stay the same through any number of steps.
_RATE = 1e-9
_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer whose step is measured."""

    name: str  # in tables
    optimizer: str  # a key of `OPTIMIZERS`
    # Returns a Keras optimizer or an optax transformation; for "torch", takes the
    # weights and returns a function that makes a step.
    make: Callable[..., Any]
    kind: str  # "alone", "wgd", "watched" (by a WhiteningMonitor) or "peer"
    placement: str | None = None  # `None` without WGD
    library: str = "keras"  # or "torch" or "optax"

    def passes(self, centered: float = 0.0) -> float:
        """The minimum number of passes over memory of the size of the weights.

        A step reads the gradient and the weight, writes the weight, and reads and
        writes each moving average. For the share of the weights that is centered, a
        mean reads the gradient once more, or, for `placement="update"`, the moving
        averages that the update is made of.
        """
        moments = _moments(self.optimizer)
        again = {None: 0, "gradient": 1, "update": moments}[self.placement]
        return 3 + 2 * moments + again * centered


def contenders(
    optimizer: str,
    means: Sequence[str],
    placements: Sequence[str],
    kernels: Any = None,
) -> list[Contender]:
    """An optimizer alone, wrapped in each way, and the peers that are installed."""
    make = functools.partial(_make, optimizer)
    found = [Contender(type(make()).__name__, optimizer, make, "alone")]
    for placement in placements:
        for mean in means:
            name = f"WGD {mean}"
            if placement != "gradient":
                name += f", {placement}"
            wrapped = functools.partial(_make_wgd, optimizer, mean, placement, kernels)
            found.append(Contender(name, optimizer, wrapped, "wgd", placement))
    library, peers = {
        "torch": ("torch", _torch_peers),
        "jax": ("optax", _jax_peers),
        "tensorflow": ("keras", _keras_peers),
    }[keras.backend.backend()]
    return found + [
        Contender(name, optimizer, make_peer, "peer", library=library)
        for name, make_peer in peers(optimizer).items()
    ]


def in_fit(family: Sequence[Contender]) -> list[Contender]:
    """The optimizer alone, the first in WGD, and that one with a `WhiteningMonitor`."""
    alone, wrapped, *_ = family
    watched = dataclasses.replace(
        wrapped, name=f"{wrapped.name}, watched", kind="watched"
    )
    return [alone, wrapped, watched]


def _make(optimizer):
    config = optimizers.config(optimizer, _RATE, momentum=_MOMENTUM, epsilon=1e-7)
    return inner.get(config)


def _make_wgd(optimizer, mean_over, placement, kernels):
    return WGD(_make(optimizer), mean_over, placement, kernels)


@functools.cache
def _moments(optimizer):
    """The number of moving averages that an optimizer keeps of each weight."""
    made, shape = _make(optimizer), (2, 3)
    made.build([keras.Variable(np.zeros(shape))])
    return sum(variable.shape == shape for variable in made.variables)


def _name_and_options(optimizer):
    """The name of an optimizer in other libraries, and its momentum."""
    _, name, options = OPTIMIZERS[optimizer]
    return name, {"momentum": _MOMENTUM} if "momentum" in options else {}


def _torch_peers(optimizer) -> dict[str, Callable[..., Any]]:
    import torch

    name, options = _name_and_options(optimizer)
    classes = (v for v in vars(torch.optim).values() if isinstance(v, type))
    peer = next((c for c in classes if c.__name__.lower() == name), None)
    if peer is None:
        return {}

    def made(implementation):
        implementation = {implementation: True}
        return lambda weights: peer(weights, lr=_RATE, **options, **implementation).step

    found = {
        f"torch.optim.{peer.__name__}({way}=True)": made(way)
        for way in ("foreach", "fused")
        if way in inspect.signature(peer).parameters
    }
    if optimizer == "radam" and find_spec("pytorch_optimizer"):
        found["pytorch_optimizer.RAdam, centralized"] = _centralized_radam
    return found


def _centralized_radam(weights):
    from pytorch_optimizer import RAdam, centralize_gradient

    step = RAdam(weights, lr=_RATE).step

    def centralized():
        centralize_gradient([weight.grad for weight in weights], gc_conv_only=True)
        step()

    return centralized


def _jax_peers(optimizer) -> dict[str, Callable[..., Any]]:
    if not find_spec("optax"):
        return {}
    import optax

    name, options = _name_and_options(optimizer)
    if not hasattr(optax, name):
        return {}
    make = functools.partial(getattr(optax, name), _RATE, **options)
    found: dict[str, Callable[..., Any]] = {f"optax.{name}": make}
    if optimizer == "radam":
        found["optax.chain(centralize, radam)"] = lambda: optax.chain(
            optax.centralize(), make()
        )
    return found


def _keras_peers(optimizer) -> dict[str, Callable[..., Any]]:
    # Only RAdam is not an optimizer of Keras.
    if optimizer != "radam":
        return {}
    return {"keras.optimizers.Adam": functools.partial(_make, "adam")}
