"""What is centred and what is left alone: decided once, when an optimizer is built."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_wgd.optimizers.kernels import (
    ConvKernel,
    guess_kernel,
    variable_path,
)
from keras_wgd.optimizers.whitening import whiten, whiten_


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
        located: The kernels among them by position, as `KernelSelection` finds
            them, or `None` to go by the variables' names and shapes.

    Attributes:
        rows: A `PlanRow` for each variable, in the same order.
        whitened: The rows that are centred, by the position of their variable.
    """

    def __init__(
        self,
        variables: Sequence[Any],
        mean_over: str,
        located: dict[int, ConvKernel] | None,
    ):
        self.mean_over = mean_over
        self.rows = []
        for index, variable in enumerate(variables):
            found = guess_kernel(variable, index)
            if located is not None:
                if isinstance(found, ConvKernel):
                    found = "not among the kernels given"
                found = located.get(index, found)
            self.rows.append(self._row(variable, index, found))
        self.whitened = {
            index: row for index, row in enumerate(self.rows) if row.axes is not None
        }

    def _row(self, variable: Any, index: int, found: ConvKernel | str) -> PlanRow:
        path, shape = variable_path(variable), tuple(variable.shape)
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

    def whiten(self, gradient: Any, index: int) -> Any:
        """Centre what belongs to the variable at position `index`."""
        row = self.whitened.get(index)
        if row is None or row.axes is None:
            return gradient
        return whiten(gradient, row.axes, row.groups)

    def whiten_(self, gradients: dict[int, Any]) -> None:
        """Centre PyTorch tensors where they are, those of one shape at once.

        Args:
            gradients: Tensors that may be written to, by the position of their
                variable; all are of variables that are centred.
        """
        alike: dict[Any, list[Any]] = {}
        for index, gradient in gradients.items():
            row = self.whitened[index]
            key = (row.shape, row.axes, row.groups, gradient.dtype, gradient.device)
            alike.setdefault(key, []).append(gradient)
        for (_, axes, groups, _, _), together in alike.items():
            whiten_(together, axes, groups)
