"""What `kernels=` names, and how it is found among an optimizer's variables."""

import dataclasses
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

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
        self._located: list[ConvKernel] | None = None

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
            named = [id(k.variable) for k in kernels if k.variable is not None]
            if len(set(named)) < len(named):
                paths = sorted(kernel.path for kernel in kernels)
                raise ValueError(
                    f"kernels must name each variable once. Received: {paths[:5]}"
                )
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
        if not variables:
            return {}  # as where a legacy .h5 file is loaded
        whole = isinstance(self._kernels, layers.Layer)
        kernels = kernels_within(self._kernels)[0] if whole else self._kernels
        found = {
            index: kernel
            for kernel in kernels
            if kernel.variable is not None
            and (index := index_of(kernel.variable)) is not None
        }
        unbound = [kernel for kernel in kernels if kernel.variable is None]
        same = self._structure == _structure(variables)
        if same:
            found |= _by_position(unbound, variables)
        else:
            found |= _by_path(unbound, variables)
        found_ids = {id(kernel) for kernel in found.values()}
        rest = [kernel for kernel in kernels if id(kernel) not in found_ids]
        missing = [kernel.path for kernel in rest if _is_expected(kernel)]
        may_be_part = found and (whole or self._loaded)
        if missing and not may_be_part:
            raise ValueError(
                "kernels must belong to the model that the optimizer trains; some are "
                "not among its trainable variables. Pass kernels=model, or a part of "
                f"conv_kernels(model). Received: {missing[:5]}"
            )
        if unbound and not same:
            self._warn_of_unknown(variables, found, missing)
        self._located = [
            dataclasses.replace(
                kernel, path=variable_path(variables[i]), index=i, variable=variables[i]
            )
            for i, kernel in found.items()
        ] + [dataclasses.replace(kernel, index=None) for kernel in rest]
        if not whole:
            self._kernels = self._located
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
        if missing or unknown:
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
        if self._located is not None:
            kernels = self._located
        elif isinstance(self._kernels, layers.Layer):
            # Positions and structure of the model that it may train.
            kernels, complete = kernels_within(self._kernels)
            if not complete:
                return _UNBUILT
            structure = _structure(self._kernels.trainable_variables)
            return _config(structure, kernels)
        else:
            kernels = self._kernels
        return _config(self._structure, kernels)

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
        (_unnumbered(_layer(variable_path(variable))), list(variable.shape))
        for variable in variables
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _layer(path: str) -> str:
    """The layer and the name of a variable, without the models around."""
    return "/".join(path.split("/")[-2:])


def _unnumbered(path: str) -> str:
    return "/".join(re.sub(r"_\d+$", "", scope) for scope in path.split("/"))


def _config(
    structure: str | None, kernels: Sequence[ConvKernel]
) -> dict[str, str | list[dict[str, Any]] | None]:
    return {"structure": structure, "kernels": [k.get_config() for k in kernels]}


def _by_position(
    kernels: Sequence[ConvKernel], variables: Sequence[Any]
) -> dict[int, ConvKernel]:
    """The kernels at their positions, among variables as they were.

    Automatic names may have other numbers now. Where the old paths are there as well,
    for all of the kernels, but at other positions, nothing tells which is meant.
    """
    trained = [kernel for kernel in kernels if kernel.index is not None]
    paths = {variable_path(variable): i for i, variable in enumerate(variables)}
    moved = [kernel for kernel in trained if paths.get(kernel.path) != kernel.index]
    if moved and all(kernel.path in paths for kernel in trained):
        _refuse(moved[0], [moved[0].index, paths[moved[0].path]], variables)
    return {
        kernel.index: kernel
        for kernel in trained
        if kernel.index is not None and _fits(kernel, variables[kernel.index])
    }


def _by_path(
    kernels: Sequence[ConvKernel], variables: Sequence[Any]
) -> dict[int, ConvKernel]:
    """The kernels whose path and shape one variable has.

    A variable that differs in the numbers of its path alone may be the kernel, too.
    """
    paths = [variable_path(variable) for variable in variables]
    found = {}
    for kernel in kernels:
        alike = [i for i, variable in enumerate(variables) if _fits(kernel, variable)]
        at = [i for i in alike if _is_at(kernel.path, paths[i])]
        at = at or [i for i in alike if _layer(kernel.path) == _layer(paths[i])]
        if len(at) == 1:
            path = _unnumbered(paths[at[0]])
            rivals = [i for i in alike if _unnumbered(paths[i]) == path]
            if len(rivals) > 1:
                _refuse(kernel, rivals, variables)
            found[at[0]] = kernel
    return found


def _refuse(
    kernel: ConvKernel, positions: Sequence[int | None], variables: Sequence[Any]
) -> NoReturn:
    paths = " or ".join(variable_path(variables[i]) for i in positions if i is not None)
    raise ValueError(
        f"the kernel that was saved as {kernel.path!r} may be {paths} now. Load the "
        "model with compile=False and compile it with kernels=, or save it after a "
        "step, with the same variables trainable"
    )


def _is_at(kernel: str, variable: str) -> bool:
    """Whether paths agree, but for the names of models around."""
    a, b = f"/{kernel}", f"/{variable}"
    return a.endswith(b) or b.endswith(a)


def _fits(kernel: ConvKernel, variable: Any) -> bool:
    """Whether shape, layer and name agree, but for the numbers in them."""
    names = {
        _unnumbered(_layer(path)) for path in (variable_path(variable), kernel.path)
    }
    return tuple(variable.shape) == kernel.shape and len(names) == 1


def _is_expected(kernel: ConvKernel) -> bool:
    """Whether the optimizer should train it: it is, or was, not frozen."""
    if kernel.variable is None:
        return kernel.index is not None
    return kernel.variable.trainable
