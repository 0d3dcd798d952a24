"""What `kernels=` names, and how it is found among an optimizer's variables."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from keras import layers

from keras_wgd.optimizers.kernels import ConvKernel, conv_kernels, variable_path


class KernelSelection:
    """The kernels that a user, or a file, names for an optimizer.

    It is an object of its own so that neither Keras's tracking nor its saving
    walks from the optimizer into the model.

    Args:
        kernels: `None`, to go by the variables' names and shapes; a model; or
            a sequence of `ConvKernel`.

    Raises:
        ValueError: If it is something else.
    """

    def __init__(self, kernels: Any):
        is_list = isinstance(kernels, list | tuple) and all(
            isinstance(kernel, ConvKernel) for kernel in kernels
        )
        if (
            kernels is not None
            and not isinstance(kernels, layers.Layer)
            and not is_list
        ):
            raise ValueError(
                "kernels must be None, a model, or a list from conv_kernels(model). "
                f"Received: {kernels!r}"
            )
        self._given = list(kernels) if is_list else kernels
        self._known: list[ConvKernel] | None = None

    def locate(
        self, variables: Sequence[Any], index_of: Callable[[Any], int | None]
    ) -> dict[int, ConvKernel] | None:
        """Find the kernels among the variables of an optimizer.

        Kernels with a variable are found by it. Those read from a file are
        found by path and shape or, where the paths are new, as in a subclassed
        model, by position and shape. Frozen kernels need not be there, nor,
        for a whole model, those that another optimizer trains.

        Args:
            variables: The optimizer's trainable variables.
            index_of: Maps a variable to its position in `variables`, or `None`.

        Returns:
            A dictionary from position to kernel, or `None` to go by the names.

        Raises:
            ValueError: If the kernels belong to another model.
        """
        if self._given is None:
            return None
        kernels = self._find()
        live = [kernel for kernel in kernels if kernel.variable is not None]
        if live:
            found = {
                index: kernel
                for kernel in live
                if (index := index_of(kernel.variable)) is not None
            }
        else:
            found = _locate_loaded(kernels, variables)
        found_ids = {id(kernel) for kernel in found.values()}
        rest = [kernel for kernel in kernels if id(kernel) not in found_ids]
        missing = [kernel.path for kernel in rest if _is_expected(kernel)]
        names_each = isinstance(self._given, list) and live
        if missing and (names_each or not found):
            raise ValueError(
                "kernels must belong to the model that the optimizer trains; some are "
                "not among its trainable variables. Pass kernels=model, or a part of "
                f"conv_kernels(model). Received: {missing[:5]}"
            )
        self._known = [
            dataclasses.replace(kernel, path=variable_path(variables[i]), index=i)
            for i, kernel in found.items()
        ] + rest
        return found

    def get_config(self) -> list[dict[str, Any]] | None:
        """What `kernels=` takes again, through `from_config`."""
        if self._given is None:
            return None
        return [kernel.get_config() for kernel in self._known or self._find()]

    @classmethod
    def from_config(
        cls, config: list[dict[str, Any]] | None
    ) -> list[ConvKernel] | None:
        """The reverse of `get_config`: a value for `kernels=`."""
        if config is None:
            return None
        if not isinstance(config, list):
            raise ValueError(
                f"kernels in a config must be a list, or None. Received: {config!r}"
            )
        return [ConvKernel.from_config(kernel) for kernel in config]

    def _find(self) -> list[ConvKernel]:
        if isinstance(self._given, layers.Layer):
            return conv_kernels(self._given)
        return self._given


def _locate_loaded(
    kernels: Sequence[ConvKernel], variables: Sequence[Any]
) -> dict[int, ConvKernel]:
    paths = [
        [i for i, variable in enumerate(variables) if _is_at(kernel, variable)]
        for kernel in kernels
    ]
    by_path = {
        positions[0]: kernel
        for positions, kernel in zip(paths, kernels, strict=True)
        if len(positions) == 1
    }
    by_index: dict[Any, ConvKernel] = {
        kernel.index: kernel for kernel in kernels if _fits(kernel, variables)
    }
    # Where neither finds all, some were frozen or set free since.
    return by_index if len(by_index) > len(by_path) else by_path


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
    names = {path.split("/")[-1] for path in (variable_path(variable), kernel.path)}
    return tuple(variable.shape) == kernel.shape and len(names) == 1


def _is_expected(kernel: ConvKernel) -> bool:
    """Whether the optimizer should train it: it is, or was, not frozen."""
    if kernel.variable is None:
        return kernel.index is not None
    return kernel.variable.trainable
