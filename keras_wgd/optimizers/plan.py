"""What is centred and what is left alone: decided once, when an optimizer is built."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from keras_wgd.files import printable
from keras_wgd.optimizers.kernels import (
    ConvKernel,
    guess_kernel,
    variable_path,
)
from keras_wgd.optimizers.whitening import whiten, whiten_

# What a mean is taken over, in words: many and one.
_UNITS = {
    "filters": ("filters", "filter"),
    "fan_in": ("inputs", "input"),
    "kernels": ("kernels", "kernel"),
}


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

    def _row(self, variable, index, found: ConvKernel | str) -> PlanRow:
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

    def whiten(self, gradient, index: int):
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
        alike: dict[Any, list] = {}
        for index, gradient in gradients.items():
            row = self.whitened[index]
            key = (row.shape, row.axes, row.groups, gradient.dtype, gradient.device)
            alike.setdefault(key, []).append(gradient)
        for (_, axes, groups, _, _), together in alike.items():
            whiten_(together, axes, groups)

    def table(self, title: str):
        """A `rich` table of the kernels, and a line for each kind of the rest."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        def plain(text):
            """The names are those of a file's layers and variables, perhaps."""
            return escape(printable(text))

        table = Table(title=plain(title), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.title_justify = table.caption_justify = "left"
        table.add_column("kernel", overflow="fold")
        table.add_column("shape", no_wrap=True)
        table.add_column("layer", overflow="fold")
        table.add_column("mean of", no_wrap=True)
        table.add_column("removed", justify="right", no_wrap=True)
        roots = {row.path.split("/")[0] for row in self.rows}
        root = roots.pop() if len(roots) == 1 else ""
        for row in self.rows:
            if row.kernel is None:
                continue
            path = row.path.removeprefix(f"{root}/")
            unit = _UNITS[self.mean_over][row.mean_size == 1]
            centred = row.axes is not None
            table.add_row(
                plain(path),
                "x".join(map(str, row.shape)),
                plain(row.kernel.layer),
                f"{row.mean_size} {unit}"
                + (f", {row.groups} groups" if row.groups > 1 else ""),
                f"{1 / row.mean_size:.2%}" if centred else "left alone",
            )
        table.caption = "\n".join(map(plain, self._caption()))
        return table

    def print(self, title: str, print_fn=None):
        """Print the table to the terminal, or hand its text to `print_fn`."""
        from rich.console import Console

        if print_fn is None:
            Console().print(self.table(title))
            return
        console = Console(width=120)
        with console.capture() as capture:
            console.print(self.table(title))
        print_fn(capture.get())

    def _caption(self):
        reasons = Counter(row.reason for row in self.rows)
        yield f"{reasons.pop('', 0)} of {len(self.rows)} trainable variables centred"
        for reason, count in reasons.most_common():
            yield f"{count} left alone: {reason}"
        if any(row.kernel and row.kernel.layer.endswith("?") for row in self.rows):
            yield "? told by name and shape; kernels=model goes by the layers"
