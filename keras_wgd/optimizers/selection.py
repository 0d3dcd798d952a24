"""What `kernels=` names, and how it is found among an optimizer's variables."""

import dataclasses
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from keras import layers

from keras_wgd.optimizers.kernels import (
    ConvKernel,
    guess_kernel,
    kernels_within,
    variable_path,
)

# In a config, of a model whose layers have no weights yet.
_UNBUILT = "unbuilt model"


class KernelSelection:
    """The kernels that a user, or a file, names for an optimizer.

    It is an object of its own so that neither Keras's tracking nor its saving
    walks from the optimizer into the model.

    Args:
        kernels: A model, a list of `ConvKernel`, or `None` to go by the variables'
            names and shapes.
        loaded: Whether the kernels come from a config, without their variables.
        structure: What `_structure` gave for the variables that the optimizer had
            when the config was made; `None` if it had none.
    """

    def __init__(
        self,
        kernels: layers.Layer | list[ConvKernel] | None,
        loaded: bool = False,
        structure: str | None = None,
    ):
        self._kernels = kernels
        self._loaded = loaded
        self._structure = structure

    @classmethod
    def of(cls, kernels: Any) -> "KernelSelection":
        """The selection that a value of `kernels=` stands for.

        Raises:
            ValueError: If it stands for none.
        """
        if isinstance(kernels, KernelSelection):
            return kernels
        if kernels is None or isinstance(kernels, layers.Layer):
            return cls(kernels)
        listed = isinstance(kernels, list | tuple)
        if listed and all(isinstance(kernel, ConvKernel) for kernel in kernels):
            return cls(list(kernels))
        received = repr(kernels)
        if listed and kernels:
            received = f"a {type(kernels).__name__} of {type(kernels[0]).__name__}"
        elif len(received) > 80:
            received = f"a {type(kernels).__name__}"
        raise ValueError(
            "kernels must be None, a model, or a list from conv_kernels(model); for "
            "some of a model's kernels write [k for k in conv_kernels(model) if ...]. "
            f"Received: {received}"
        )

    @property
    def is_by_name(self) -> bool:
        """Whether the variables' names and shapes tell which are kernels."""
        return self._kernels is None

    def locate(
        self, variables: Sequence[Any], index_of: Callable[[Any], int | None]
    ) -> dict[int, ConvKernel] | None:
        """Find the kernels among the variables of an optimizer.

        Kernels with a variable are found by it. Those of a config are found by their
        position, where all variables are as they were when it was made, but for the
        numbers in automatic names; else by path and shape. Frozen kernels need not
        be there, nor, for a whole model, those that another optimizer trains.

        Args:
            variables: The optimizer's trainable variables.
            index_of: Maps a variable to its position in `variables`, or `None`.

        Returns:
            A dictionary from position to kernel, or `None` to go by the names.

        Raises:
            ValueError: If the kernels belong to another model, or if a kernel of a
                config could be one variable or another.
        """
        if self._kernels is None:
            if self._loaded:
                warnings.warn(
                    "WGD was copied or saved with kernels=model before that model had "
                    "weights: the names and shapes of the variables tell which are "
                    "kernels. Pass kernels=model again to go by the layers.",
                    stacklevel=6,
                )
            return None
        whole = isinstance(self._kernels, layers.Layer)
        kernels = kernels_within(self._kernels)[0] if whole else self._kernels
        found = {
            index: kernel
            for kernel in kernels
            if kernel.variable is not None
            and (index := index_of(kernel.variable)) is not None
        }
        unbound = [kernel for kernel in kernels if kernel.variable is None]
        exact = not unbound or self._structure == _structure(variables)
        found |= (
            {kernel.index: kernel for kernel in unbound if kernel.index is not None}
            if exact
            else _by_path(unbound, variables, self._structure is None)
        )
        found_ids = {id(kernel) for kernel in found.values()}
        rest = [kernel for kernel in kernels if id(kernel) not in found_ids]
        missing = [kernel.path for kernel in rest if _is_expected(kernel)]
        if missing and not (found and (whole or self._loaded)):
            raise ValueError(
                "kernels must belong to the model that the optimizer trains; some are "
                "not among its trainable variables. Pass kernels=model, or a part of "
                f"conv_kernels(model). Received: {missing[:5]}"
            )
        if not exact:
            self._warn_of_unknown(variables, found, missing)
        if not whole:
            self._kernels = [
                dataclasses.replace(
                    kernel,
                    path=variable_path(variables[i]),
                    index=i,
                    variable=variables[i],
                )
                for i, kernel in found.items()
            ] + [dataclasses.replace(kernel, index=None) for kernel in rest]
        self._structure = _structure(variables)
        return found

    def _warn_of_unknown(
        self,
        variables: Sequence[Any],
        found: dict[int, ConvKernel],
        missing: Sequence[str],
    ) -> None:
        """Say what is left alone because the names of a config do not fit any more."""
        unknown = [
            kernel.path
            for index, variable in enumerate(variables)
            if index not in found
            and isinstance(kernel := guess_kernel(variable, index), ConvKernel)
        ]
        if missing or (unknown and self._structure is not None):
            warnings.warn(
                "The variables are not those that WGD was saved with. Left alone: "
                f"{unknown[:5]}; not found: {list(missing)[:5]}. Pass kernels=model "
                "again if these are convolution kernels to centre.",
                stacklevel=7,
            )

    def get_config(self) -> Any:
        """What `from_config` reads: `None`, or the kernels without their variables."""
        if self._kernels is None:
            return _UNBUILT if self._loaded else None
        kernels, complete = self._kernels, True
        if isinstance(kernels, layers.Layer):
            kernels, complete = kernels_within(kernels)
        if not complete:
            return _UNBUILT
        return {
            "structure": self._structure,
            "kernels": [kernel.get_config() for kernel in kernels],
        }

    @classmethod
    def from_config(cls, config: Any) -> "KernelSelection":
        """The reverse of `get_config`.

        Raises:
            ValueError: If it is not what that has written.
        """
        if config is None:
            return cls(None)
        if config == _UNBUILT:
            return cls(None, loaded=True)
        if isinstance(config, list):  # as earlier versions wrote it
            config = {"structure": None, "kernels": config}
        if (
            not isinstance(config, dict)
            or config.keys() != {"structure", "kernels"}
            or not isinstance(config["structure"], str | None)
            or not isinstance(config["kernels"], list)
        ):
            raise ValueError(
                "kernels in a config must be as get_config() has written them. "
                f"Received: {config!r}"
            )
        kernels = [ConvKernel.from_config(kernel) for kernel in config["kernels"]]
        return cls(kernels, loaded=True, structure=config["structure"])


def _structure(variables: Sequence[Any]) -> str:
    """A digest of the variables' shapes and names, less the numbers of automatic names.

    Keras numbers layers through a session: the layers of a model that is made twice
    have other numbers. The names of models around a layer may be missing.
    """
    parts = [
        (_unnumbered(variable_path(variable)), list(variable.shape))
        for variable in variables
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _unnumbered(path: str) -> str:
    scopes = path.split("/")[-2:]
    return "/".join(re.sub(r"_\d+$", "", scope) for scope in scopes)


def _by_path(
    kernels: Sequence[ConvKernel], variables: Sequence[Any], by_position: bool
) -> dict[int, ConvKernel]:
    """The kernels whose path and shape one variable has.

    Args:
        kernels: Kernels without a variable.
        variables: The optimizer's trainable variables.
        by_position: Whether their positions are those in the whole model: a kernel
            may then be at its position under a path with another number.
    """
    found = {}
    for kernel in kernels:
        at = {i for i, v in enumerate(variables) if _is_at(kernel, v)}
        at = at if len(at) == 1 else set()
        if by_position and kernel.index is not None and _fits(kernel, variables):
            at.add(kernel.index)
        if len(at) > 1:
            paths = [variable_path(variables[i]) for i in sorted(at)]
            raise ValueError(
                "kernels were saved without an optimizer that was built, and layers "
                f"have other names now: {kernel.path!r} may be {' or '.join(paths)}. "
                "Load the model with compile=False and compile it with kernels="
            )
        if at:
            found[at.pop()] = kernel
    return found


def _is_at(kernel: ConvKernel, variable: Any) -> bool:
    """Whether shape and path agree, but for the names of models around."""
    a, b = f"/{kernel.path}", f"/{variable_path(variable)}"
    same_path = a.endswith(b) or b.endswith(a)
    return same_path and tuple(variable.shape) == kernel.shape


def _fits(kernel: ConvKernel, variables: Sequence[Any]) -> bool:
    """Whether the variable at the kernel's position could be the kernel."""
    if kernel.index is None or kernel.index >= len(variables):
        return False
    variable = variables[kernel.index]
    names = {_unnumbered(path) for path in (variable_path(variable), kernel.path)}
    return tuple(variable.shape) == kernel.shape and len(names) == 1


def _is_expected(kernel: ConvKernel) -> bool:
    """Whether the optimizer should train it: it is, or was, not frozen."""
    if kernel.variable is None:
        return kernel.index is not None
    return kernel.variable.trainable
