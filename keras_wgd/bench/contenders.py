"""What is measured: optimizers alone and wrapped, and their peers."""

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

# So small that weights stay what they are through any number of steps.
_RATE = 1e-9
_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Contender:
    """One optimizer whose step is measured.

    Attributes:
        name: What a table calls it.
        optimizer: Whose step it makes: a key of `OPTIMIZERS`.
        make: Makes it: a Keras optimizer, or from the weights what `library` has.
        kind: `"alone"`, `"wgd"`, `"watched"`, which is WGD under a
            `WhiteningMonitor`, or `"peer"`, which others have made.
        mean_over: As for `WGD`; `None` if it is not one.
        placement: As for `WGD`.
        library: `"keras"`, `"torch"` or `"optax"`.
    """

    name: str
    optimizer: str
    make: Callable[..., Any]
    kind: str
    mean_over: str | None = None
    placement: str | None = None
    library: str = "keras"

    def passes(self, centred: float = 0.0) -> float:
        """How often memory must be read or written for a weight, at least.

        The gradient and the weight are read, the weight is written, each moving
        average is read and written. For a mean of the gradient, that is read once
        more; for a mean of the step, the moving averages are, of which it is made.

        Args:
            centred: The share of the weights that is centred.

        Returns:
            Passes over memory of the size of the weights.
        """
        moments = _moments(self.optimizer)
        again = {None: 0, "gradient": 1, "update": moments}[self.placement]
        return 3 + 2 * moments + again * centred


def contenders(
    optimizer: str,
    means: Sequence[str],
    placements: Sequence[str],
    kernels: Any = None,
) -> list[Contender]:
    """The optimizer alone, wrapped in each way, and the peers that are installed.

    Args:
        optimizer: A key of `OPTIMIZERS`.
        means: What the means are taken over.
        placements: What is centred.
        kernels: As for `WGD`.

    Returns:
        The contenders, the optimizer alone first.
    """
    make = functools.partial(_made, optimizer)

    def wrapped(mean_over, placement):
        return lambda: WGD(make(), mean_over, placement, kernels)

    found = [Contender(type(make()).__name__, optimizer, make, "alone")]
    for placement in placements:
        for mean_over in means:
            name = f"WGD {mean_over}"
            if placement != "gradient":
                name += f", {placement}"
            make_wrapped = wrapped(mean_over, placement)
            found.append(
                Contender(name, optimizer, make_wrapped, "wgd", mean_over, placement)
            )
    peers = {
        "torch": _torch_peers,
        "jax": _jax_peers,
        "tensorflow": _tensorflow_peers,
    }[keras.backend.backend()](optimizer)
    found += [
        Contender(name, optimizer, make_peer, "peer", library=library)
        for name, (library, make_peer) in peers.items()
    ]
    return found


def _made(optimizer):
    config = optimizers.config(optimizer, _RATE, momentum=_MOMENTUM, epsilon=1e-7)
    return inner.get(config)


@functools.cache
def _moments(optimizer):
    """How many moving averages it keeps of each weight."""
    made, shape = _made(optimizer), (2, 3)
    made.build([keras.Variable(np.zeros(shape))])
    return sum(variable.shape == shape for variable in made.variables)


def in_fit(family: Sequence[Contender]) -> list[Contender]:
    """Whose whole steps of `fit` are compared.

    Args:
        family: As `contenders` gives it.

    Returns:
        The optimizer alone, the first that is wrapped, and that one watched.
    """
    alone, wrapped, *_ = family
    watched = dataclasses.replace(
        wrapped, name=f"{wrapped.name}, watched", kind="watched"
    )
    return [alone, wrapped, watched]


def _torch_peers(optimizer):
    import torch

    name, options = _name_and_options(optimizer)
    classes = (v for v in vars(torch.optim).values() if isinstance(v, type))
    made = next((c for c in classes if c.__name__.lower() == name), None)
    if made is None:
        return {}
    known = inspect.signature(made).parameters

    def peer(way):
        return lambda weights: made(weights, lr=_RATE, **options, **{way: True}).step

    found = {
        f"torch.optim.{made.__name__}({way}=True)": ("torch", peer(way))
        for way in ("foreach", "fused")
        if way in known
    }
    if optimizer == "radam" and find_spec("pytorch_optimizer"):
        found["pytorch_optimizer.RAdam, centralized"] = ("torch", _centralized_radam)
    return found


def _name_and_options(optimizer):
    """What other libraries call it, and what they call momentum; epsilon is theirs."""
    _, name, options = OPTIMIZERS[optimizer]
    return name, {"momentum": _MOMENTUM} if "momentum" in options else {}


def _centralized_radam(weights):
    from pytorch_optimizer import RAdam, centralize_gradient

    step = RAdam(weights, lr=_RATE).step

    def centralized():
        centralize_gradient([weight.grad for weight in weights], gc_conv_only=True)
        step()

    return centralized


def _jax_peers(optimizer):
    if not find_spec("optax"):
        return {}
    import optax

    name, options = _name_and_options(optimizer)
    make = getattr(optax, name, None)
    if make is None:
        return {}
    found = {f"optax.{name}": ("optax", lambda: make(_RATE, **options))}
    if optimizer == "radam":
        found["optax.chain(centralize, radam)"] = (
            "optax",
            lambda: optax.chain(optax.centralize(), optax.radam(_RATE)),
        )
    return found


def _tensorflow_peers(optimizer):
    # The others are Keras's own already.
    if optimizer != "radam":
        return {}
    return {"keras.optimizers.Adam": ("keras", lambda: _made("adam"))}
