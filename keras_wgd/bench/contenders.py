"""What is measured: optimizers alone and wrapped, and their peers."""

import dataclasses
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import keras

from keras_wgd.optimizers.radam import RAdam
from keras_wgd.optimizers.wgd import WGD

# So small that weights stay what they are through any number of steps.
_RATE = 1e-9

# How to make an optimizer, and how many moving averages it keeps.
_INNER: dict[str, tuple[Callable[[], keras.optimizers.Optimizer], int]] = {
    "sgdm": (lambda: keras.optimizers.SGD(_RATE, momentum=0.9), 1),
    "adam": (lambda: keras.optimizers.Adam(_RATE), 2),
    "nadam": (lambda: keras.optimizers.Nadam(_RATE), 2),
    "radam": (lambda: RAdam(_RATE), 2),
}


@dataclasses.dataclass(frozen=True)
class Contender:
    """One optimizer whose step is measured.

    Attributes:
        name: What a table calls it.
        optimizer: Whose step it makes: `"sgdm"`, `"adam"`, `"nadam"` or `"radam"`.
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
        moments = _INNER[self.optimizer][1]
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
        optimizer: `"sgdm"`, `"adam"`, `"nadam"` or `"radam"`.
        means: What the means are taken over.
        placements: What is centred.
        kernels: As for `WGD`.

    Returns:
        The contenders, the optimizer alone first.
    """
    make, _ = _INNER[optimizer]

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

    name = {"sgdm": "SGD", "adam": "Adam", "nadam": "NAdam", "radam": "RAdam"}
    made = getattr(torch.optim, name[optimizer])
    options: dict[str, Any] = {"lr": _RATE}
    if optimizer == "sgdm":
        options["momentum"] = 0.9
    ways = ["foreach", "fused"] if optimizer in ("sgdm", "adam") else ["foreach"]

    def peer(way):
        return lambda weights: made(weights, **options, **{way: True}).step

    found = {
        f"torch.optim.{made.__name__}({way}=True)": ("torch", peer(way)) for way in ways
    }
    if optimizer == "radam" and find_spec("pytorch_optimizer"):
        found["pytorch_optimizer.RAdam, centralized"] = ("torch", _centralized_radam)
    return found


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

    if optimizer == "sgdm":
        return {"optax.sgd": ("optax", lambda: optax.sgd(_RATE, momentum=0.9))}
    make = getattr(optax, optimizer)
    found = {f"optax.{optimizer}": ("optax", lambda: make(_RATE))}
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
    return {"keras.optimizers.Adam": ("keras", _INNER["adam"][0])}
