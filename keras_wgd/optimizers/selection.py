"""What `kernels=` selects, and how it is found among an optimizer's variables."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Self

from keras import layers

from keras_wgd.optimizers.kernels import (
    ConvKernel,
    guess_kernel,
    kernels_within,
    variable_path,
)

# In a config: kernels=model, of a model without weights.
_UNBUILT = "unbuilt model"


@dataclasses.dataclass(frozen=True, eq=False)
class KernelSelection:
    """The kernels that a user, or a file, selects for an optimizer.

    Keras tracks and saves what it finds on an optimizer. It does not look into this
    object, so it does not follow it to the model.
    """

    # `None` until they are located in `model`, or where names and shapes decide.
    kernels: tuple[ConvKernel, ...] | None = None
    model: layers.Layer | None = None  # all kernels of this one are meant
    is_loaded: bool = False  # from a config, without variables
    # `_structure` of the variables that the kernels' positions refer to, if any.
    structure: str | None = None

    @classmethod
    def of(cls, kernels: Any) -> Self:
        """Make the selection for a value of `kernels=`."""
        if isinstance(kernels, cls):
            return kernels
        if kernels is None or isinstance(kernels, layers.Layer):
            return cls(model=kernels)
        listed = isinstance(kernels, list | tuple)
        if listed and all(isinstance(kernel, ConvKernel) for kernel in kernels):
            variables = [id(k.variable) for k in kernels if k.variable is not None]
            if len(set(variables)) < len(variables):
                paths = sorted(kernel.path for kernel in kernels)
                raise ValueError(
                    f"kernels must name each variable once. Received: {paths[:5]}"
                )
            return cls(tuple(kernels))
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
        """Whether names and shapes decide which variables are kernels."""
        return self.kernels is None and self.model is None

    def locate(
        self, variables: Sequence[Any], index_of: Callable[[Any], int | None]
    ) -> tuple[Self, str | None]:
        """Find the kernels among the trainable variables of an optimizer.

        1. A kernel with a variable is found by it: `index_of` gives its position.
        2. A loaded kernel is found by position if the variables have the structure of
           those in the file.
        3. Any other loaded kernel is found by path and shape.

        Frozen kernels may be missing; with a model, also those that another optimizer
        trains. Returned are the selection, with the index and the variable of each
        kernel that was found, and a warning for the user, if there is one.
        """
        if self.is_by_name:
            return self, _MODEL_WAS_UNBUILT if self.is_loaded else None
        if not variables:
            return self, None  # a legacy .h5 file is being loaded
        kernels: Sequence[ConvKernel] = self.kernels or ()
        if self.model is not None:
            kernels = kernels_within(self.model)[0]
        found = {
            index: kernel
            for kernel in kernels
            if kernel.variable is not None
            and (index := index_of(kernel.variable)) is not None
        }
        unbound = [kernel for kernel in kernels if kernel.variable is None]
        structure = _structure(variables)
        if self.structure == structure:
            found |= _find_by_position(unbound, variables)
        else:
            found |= _find_by_path(unbound, variables)
        found_ids = set(map(id, found.values()))
        rest = [kernel for kernel in kernels if id(kernel) not in found_ids]
        missing = [kernel.path for kernel in rest if _is_expected(kernel)]
        may_be_part = found and (self.model is not None or self.is_loaded)
        if missing and not may_be_part:
            raise ValueError(
                "kernels must belong to the model that the optimizer trains; some are "
                "not among its trainable variables. Pass kernels=model, or a part of "
                f"conv_kernels(model). Received: {missing[:5]}"
            )
        warning = None
        if unbound and self.structure != structure:
            warning = _difference(variables, found, missing)
        located = [
            dataclasses.replace(
                kernel, path=variable_path(variables[i]), index=i, variable=variables[i]
            )
            for i, kernel in found.items()
        ]
        located += [dataclasses.replace(kernel, index=None) for kernel in rest]
        selection = dataclasses.replace(
            self, kernels=tuple(located), structure=structure
        )
        return selection, warning

    def get_config(self) -> Any:
        """Return `None`, or the kernels without their variables."""
        kernels, structure = self.kernels, self.structure
        if kernels is None and self.model is not None:
            found, complete = kernels_within(self.model)
            if complete:
                kernels = tuple(found)
                structure = _structure(self.model.trainable_variables)
        if kernels is not None:
            configs = [kernel.get_config() for kernel in kernels]
            return {"structure": structure, "kernels": configs}
        return _UNBUILT if self.model is not None or self.is_loaded else None

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Make the selection that `get_config` describes."""
        if config is None or config == _UNBUILT:
            return cls(is_loaded=config is not None)
        if isinstance(config, list):  # as the first version wrote it
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
        kernels = tuple(map(ConvKernel.from_config, config["kernels"]))
        return cls(kernels, is_loaded=True, structure=config["structure"])


_MODEL_WAS_UNBUILT = (
    "WGD was copied or saved with kernels=model before that model had weights: names "
    "and shapes of the variables decide which are kernels. Pass kernels=model again "
    "to go by the layers."
)


def _difference(
    variables: Sequence[Any], found: dict[int, ConvKernel], missing: Sequence[str]
) -> str | None:
    """The warning about kernels that a config does not know, or cannot find."""
    unknown = [
        kernel.path
        for index, variable in enumerate(variables)
        if index not in found
        and isinstance(kernel := guess_kernel(variable, index), ConvKernel)
    ]
    if not missing and not unknown:
        return None
    return (
        "The variables are not those that WGD was saved with. Left alone: "
        f"{unknown[:5]}; not found: {list(missing)[:5]}. Pass kernels=model again if "
        "these are convolution kernels to center."
    )


def _structure(variables: Sequence[Any]) -> str:
    """A digest of the variables' shapes and names.

    It leaves out the numbers in automatic names, since Keras counts layers through a
    session, and the names of the models around a layer, which may be missing.
    """
    parts = [
        (_unnumbered(_layer(variable_path(variable))), list(variable.shape))
        for variable in variables
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _layer(path: str) -> str:
    """The name of the layer and of the variable, without the models around."""
    return "/".join(path.split("/")[-2:])


def _unnumbered(path: str) -> str:
    return "/".join(re.sub(r"_\d+$", "", scope) for scope in path.split("/"))


def _find_by_position(
    kernels: Sequence[ConvKernel], variables: Sequence[Any]
) -> dict[int, ConvKernel]:
    """Find kernels at their saved positions.

    Automatic names may have other numbers now. It is an error if all saved paths
    exist, but at other positions: path and position contradict each other.
    """
    trained = {
        kernel.index: kernel
        for kernel in kernels
        if kernel.index is not None and kernel.index < len(variables)
    }
    paths = {variable_path(variable): i for i, variable in enumerate(variables)}
    moved = [i for i, kernel in trained.items() if paths.get(kernel.path) != i]
    if moved and all(kernel.path in paths for kernel in trained.values()):
        kernel = trained[moved[0]]
        _refuse(kernel, [moved[0], paths[kernel.path]], variables)
    return {i: kernel for i, kernel in trained.items() if _fits(kernel, variables[i])}


def _find_by_path(
    kernels: Sequence[ConvKernel], variables: Sequence[Any]
) -> dict[int, ConvKernel]:
    """Find kernels whose path and shape exactly one variable has.

    A second variable that differs only in the numbers of its path is a rival.
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
    kernel: ConvKernel, positions: Sequence[int], variables: Sequence[Any]
) -> NoReturn:
    paths = " or ".join(variable_path(variables[i]) for i in positions)
    raise ValueError(
        f"the kernel that was saved as {kernel.path!r} may be {paths} now. Load the "
        "model with compile=False and compile it with kernels=, or save it after a "
        "step, with the same variables trainable"
    )


def _is_at(kernel: str, variable: str) -> bool:
    """Whether two paths agree, except for the names of the models around."""
    a, b = f"/{kernel}", f"/{variable}"
    return a.endswith(b) or b.endswith(a)


def _fits(kernel: ConvKernel, variable: Any) -> bool:
    """Whether shape, layer and name agree, except for the numbers in the names."""
    layers = {_unnumbered(_layer(p)) for p in (variable_path(variable), kernel.path)}
    return tuple(variable.shape) == kernel.shape and len(layers) == 1


def _is_expected(kernel: ConvKernel) -> bool:
    """Whether the optimizer should train the kernel: it is not, or was not, frozen."""
    if kernel.variable is None:
        return kernel.index is not None
    return kernel.variable.trainable
