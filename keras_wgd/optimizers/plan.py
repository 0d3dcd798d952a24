"""What is centred and what is left alone, for the variables of an optimizer."""

import dataclasses
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_wgd.optimizers.kernels import (
    ConvKernel,
    guess_kernel,
    variable_path,
)
from keras_wgd.optimizers.whitening import whiten

if keras.backend.backend() == "torch":
    from keras_wgd.optimizers import torch_steps

if TYPE_CHECKING:
    from keras_wgd.optimizers.selection import KernelSelection


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """What happens to one variable.

    Attributes:
        path: The variable's path.
        shape: The variable's shape.
        kernel: The convolution kernel it is, or `None`.
        axes: The axes of the mean, or `None` where the variable is left alone.
        groups: Into how many runs the last axis is split.
        mean_size: Elements in each mean, P; 1/P of the kernel's freedom goes.
        reason: Why it is left alone, or `""`.
    """

    path: str
    shape: tuple[int, ...]
    kernel: ConvKernel | None = None
    axes: tuple[int, ...] | None = None
    groups: int = 1
    mean_size: int = 0
    reason: str = ""


class WhiteningPlan:
    """Which of an optimizer's variables are centred, and over what.

    Args:
        variables: The optimizer's trainable variables, in their order.
        mean_over: `"filters"`, `"fan_in"` or `"kernels"`.
        selection: The kernels among the variables.
        key: Maps a variable to what identifies it: one that TensorFlow spreads over
            devices comes in more than one object.

    Attributes:
        variables: The variables.
        rows: A `PlanRow` for each variable, in the same order.
        whitened: The rows that are centred, by the position of their variable.
        calls_missed: The calls since the last step that was centred, for those whose
            step should have been, by the position of their variable.
    """

    def __init__(
        self,
        variables: Sequence[Any],
        mean_over: str,
        selection: "KernelSelection",
        key: Callable[[Any], Any] = id,
    ):
        self.variables = tuple(variables)
        self.mean_over = mean_over
        self._key = key
        self.calls_missed = Counter[int]()
        self._workspace = None
        if keras.backend.backend() == "torch":
            self._workspace = torch_steps.Workspace()
        self._indices: dict[Any, int] = {}
        for index, variable in enumerate(variables):
            self._indices.setdefault(key(variable), index)
        located = selection.locate(self.variables, self.index_of)
        self.rows: list[PlanRow] = []
        for index, variable in enumerate(variables):
            first = self._indices[key(variable)]
            if first < index:  # a variable that is there twice
                self.rows.append(self.rows[first])
                continue
            found = guess_kernel(variable, index)
            if located is not None:
                if isinstance(found, ConvKernel):
                    found = "not among the kernels given"
                found = located.get(index, found)
            self.rows.append(self._row(variable, index, found))
        self.whitened = {
            index: self.rows[index]
            for index in self._indices.values()
            if self.rows[index].axes is not None
        }

    def _row(self, variable: Any, index: int, found: ConvKernel | str) -> PlanRow:
        path, shape = variable_path(variable), tuple(variable.shape)
        if getattr(variable, "overwrite_with_gradient", False):
            found = "its gradient is its new value"
        if isinstance(found, str):
            return PlanRow(path, shape, reason=found)
        kernel = dataclasses.replace(
            found, path=path, shape=shape, index=index, variable=variable
        )
        size = kernel.mean_size(self.mean_over)
        if size <= 1:
            reason = "a mean of one, without which it would not train"
            return PlanRow(path, shape, kernel, mean_size=size, reason=reason)
        return PlanRow(
            path,
            shape,
            kernel,
            axes=kernel.axes(self.mean_over),
            groups=kernel.mean_groups(self.mean_over),
            mean_size=size,
        )

    @property
    def kernels(self) -> list[ConvKernel]:
        """The convolution kernels among the variables, centred or not."""
        return [row.kernel for row in self.rows if row.kernel is not None]

    def is_for(self, variables: Sequence[Any]) -> bool:
        """Whether these are, in this order, the first of the plan's variables."""
        fits = len(variables) <= len(self.variables)
        return fits and all(map(operator.is_, variables, self.variables))

    def knows(self, variables: Sequence[Any]) -> bool:
        """Whether all of these are among the plan's variables."""
        return self.is_for(variables) or all(
            self.index_of(variable) is not None for variable in variables
        )

    def index_of(self, variable: Any) -> int | None:
        """The position of a variable in the plan, or `None`."""
        return self._indices.get(self._key(variable))

    def places(
        self, gradients: Sequence[Any], variables: Sequence[Any]
    ) -> dict[int, int]:
        """Which gradients are centred.

        Args:
            gradients: A gradient, or `None`, for each variable.
            variables: The variables, in any order; one may be there twice.

        Returns:
            From the position of a gradient to that of its variable in the plan.

        Raises:
            ValueError: If there are not as many gradients as variables.
        """
        if len(variables) != len(gradients):
            raise ValueError(
                "There must be one gradient, or None, for each trainable variable. "
                f"Received: {len(gradients)} gradients for {len(variables)} variables"
            )
        is_each_once = len(self._indices) == len(self.variables)
        if is_each_once and self.is_for(variables):
            found = {index: index for index in self.whitened if index < len(variables)}
        else:
            found = {
                at: index
                for at, variable in enumerate(variables)
                if (index := self.index_of(variable)) in self.whitened
            }
        return {at: i for at, i in found.items() if gradients[at] is not None}

    def whiten(self, gradient: Any, index: int) -> Any:
        """Centre what belongs to the variable at position `index`."""
        row = self.whitened.get(index)
        if row is None or row.axes is None:
            return gradient
        return whiten(gradient, row.axes, row.groups)

    def whiten_all(
        self, gradients: Sequence[Any], places: dict[int, int]
    ) -> Sequence[Any]:
        """Centre the gradients of a step.

        Args:
            gradients: A gradient, or `None`, for each variable.
            places: Which of them are centred, as of `places`.

        Returns:
            The gradients, centred or as they are. On PyTorch some are centred in
            their own memory.
        """
        gradients = list(gradients)
        if self._workspace is None:
            for at, index in places.items():
                gradients[at] = self.whiten(gradients[at], index)
            return gradients
        jobs = [
            torch_steps.Job(
                gradients[at], self.variables[index], index, row.axes, row.groups
            )
            for at, index in places.items()
            if (row := self.whitened[index]).axes is not None
        ]
        for at, centered in zip(places, self._workspace.whiten(jobs), strict=True):
            gradients[at] = centered
        return gradients
