"""Which of an optimizer's variables are centered, and the centering of a step."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_wgd.optimizers import means
from keras_wgd.optimizers.kernels import ConvKernel, guess_kernel, variable_path
from keras_wgd.optimizers.means import MeanOver
from keras_wgd.optimizers.selection import KernelSelection
from keras_wgd.optimizers.whitening import whiten
from keras_wgd.summary.summary import Row, Summary

if keras.backend.backend() == "torch":
    from keras_wgd.optimizers import torch_steps


class WhiteningPlan:
    """Which of an optimizer's variables are centered; decided once.

    `variables` are `held`, the optimizer's own, and `others`: some optimizers keep no
    list of theirs. `key` maps a variable to its identity: TensorFlow has several
    objects for one variable that is spread over devices. `kernels` and `centered` are
    by position.
    """

    def __init__(
        self,
        held: Sequence[Any],
        mean_over: MeanOver,
        selection: KernelSelection,
        key: Callable[[Any], Any] = id,
        others: Sequence[Any] = (),
    ):
        known = set(map(key, held))
        self.held = tuple(held)
        self.variables = (*held, *(v for v in others if key(v) not in known))
        self.mean_over = mean_over
        self._key = key
        on_torch = keras.backend.backend() == "torch"
        self._workspace = torch_steps.Workspace() if on_torch else None
        self._indices: dict[Any, int] = {}
        for index, variable in enumerate(self.variables):
            self._indices.setdefault(key(variable), index)
        self.selection, self.warning = selection.locate(self.variables, self.index_of)
        self.kernels: dict[int, ConvKernel] = {}
        self._reasons: dict[int, str] = {}  # why a variable is not centered
        located = {kernel.index: kernel for kernel in self.selection.kernels or ()}
        for index in self._indices.values():
            found = self._find(index, located)
            if isinstance(found, str):
                self._reasons[index] = found
                continue
            self.kernels[index] = found
            if found.mean_size(mean_over) <= 1:
                self._reasons[index] = (
                    "a mean of one element: its gradient would be zero"
                )
        self.centered = {
            index: kernel
            for index, kernel in self.kernels.items()
            if index not in self._reasons
        }
        # The arguments of `whiten`: looking them up is a part of every eager step.
        self._arguments = {
            index: (kernel.axes(mean_over), kernel.mean_groups(mean_over))
            for index, kernel in self.centered.items()
        }

    def _find(
        self, index: int, located: dict[int | None, ConvKernel]
    ) -> ConvKernel | str:
        """The kernel at a position, or the reason why there is none."""
        if getattr(self.variables[index], "overwrite_with_gradient", False):
            return "overwrite_with_gradient: its gradient replaces its value"
        guess = guess_kernel(self.variables[index], index)
        if self.selection.is_by_name:
            return guess
        left_out = guess if isinstance(guess, str) else "not among the kernels given"
        return located.get(index, left_out)

    def is_for(self, variables: Sequence[Any]) -> bool:
        """Whether this is the plan for an optimizer that holds these variables.

        One that held none yet may have been built on the others since.
        """
        own = self.held or (variables and self.variables)
        return len(variables) == len(own) and all(map(operator.is_, variables, own))

    def knows(self, variables: Sequence[Any]) -> bool:
        """Whether all of these are among the plan's variables."""
        return self.is_for(variables) or all(
            self.index_of(variable) is not None for variable in variables
        )

    def index_of(self, variable: Any) -> int | None:
        """The position of a variable in the plan, or `None`."""
        return self._indices.get(self._key(variable))

    def select(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> dict[int, int]:
        """The position in the plan, by the position of each gradient that is centered.

        `variables` may be in any order, also twice; `None` stands for the optimizer's.
        """
        variables = variables or self.held or self.variables
        if len(variables) != len(gradients):
            raise ValueError(
                "There must be one gradient, or None, for each trainable variable. "
                f"Received: {len(gradients)} gradients for {len(variables)} variables"
            )
        is_each_once = len(self._indices) == len(self.variables)
        if is_each_once and self.is_for(variables):
            found = {index: index for index in self.centered if index < len(variables)}
        else:
            found = {
                at: index
                for at, variable in enumerate(variables)
                if (index := self.index_of(variable)) in self.centered
            }
        return {at: i for at, i in found.items() if gradients[at] is not None}

    def kernel_gradients(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> dict[int, Any]:
        """The gradients that `select` selects, by position in the plan."""
        selected = self.select(gradients, variables)
        return {index: gradients[at] for at, index in selected.items()}

    def whiten(self, gradient: Any, index: int) -> Any:
        """Center the gradient, or the step, of the variable at position `index`."""
        return whiten(gradient, *self._arguments[index])

    def whiten_all(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Sequence[Any]:
        """Center the gradients that `select` selects; on PyTorch some in place."""
        selected = self.select(gradients, variables)
        gradients = list(gradients)
        if self._workspace is None:
            for at, index in selected.items():
                gradients[at] = self.whiten(gradients[at], index)
            return gradients
        jobs = [
            torch_steps.Job(
                gradients[at], self.variables[index], index, *self._arguments[index]
            )
            for at, index in selected.items()
        ]
        for at, centered in zip(selected, self._workspace.whiten(jobs), strict=True):
            gradients[at] = centered
        return gradients

    def summary(self, title: str) -> Summary:
        """The plan as a table, for all variables."""
        rows = []
        for variable in self.variables:
            index = self._indices[self._key(variable)]
            kernel = self.kernels.get(index)
            axes, groups = self._arguments.get(index, (None, 1))
            row = Row(
                path=variable_path(variable),
                shape=tuple(variable.shape),
                layer=kernel.layer if kernel else None,
                is_guessed=kernel.guessed if kernel else False,
                axes=axes,
                groups=groups,
                mean_size=kernel.mean_size(self.mean_over) if kernel else 0,
                reason=self._reasons.get(index, ""),
            )
            rows.append(row)
        return Summary(rows, self.mean_over, means.get(self.mean_over).unit, title)
