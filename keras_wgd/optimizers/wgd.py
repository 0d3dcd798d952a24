"""The wrapper: any Keras optimizer, fed with centred gradients."""

import contextlib
import operator
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_wgd.optimizers import inner, means, updates
from keras_wgd.optimizers.kernels import ConvKernel
from keras_wgd.optimizers.means import PLACEMENTS
from keras_wgd.optimizers.norms import WhiteningNorms
from keras_wgd.optimizers.plan import WhiteningPlan
from keras_wgd.optimizers.selection import KernelSelection
from keras_wgd.optimizers.summary import Summary

# Private state of the inner optimizer that Keras's trainers, callbacks and
# base class read on whatever optimizer they are given.
_FORWARDED = (
    "_iterations",
    "_learning_rate",
    "_model_variables_moving_average",
    "_trainable_variables",
    "_trainable_variables_indices",
    "_variables",
)


@keras.saving.register_keras_serializable(package="keras_wgd")
class WGDWrapper(keras.optimizers.Optimizer):
    """Whitened gradient descent around any Keras optimizer.

    The gradient `g` of each convolution kernel is replaced by the gradient
    less a mean before the inner optimizer sees it:

    ```
    h = g - mean(g)            theta <- inner_optimizer(theta, h)
    ```

    All else (dense and recurrent kernels, biases, normalisation, embeddings)
    goes to the inner optimizer as it is. Three readings of the mean exist:

    | `mean_over` | the mean is taken over |
    | --- | --- |
    | `"filters"` | the filters that read the same input channels, at each kernel position and input channel (Eq. 11 of the paper) |
    | `"fan_in"` | each filter's own elements (Gradient Centralization, and the code that the authors released) |
    | `"kernels"` | all 2-D kernels of the layer, at each kernel position |

    The wrapper has no state of its own: its `variables` are the inner
    optimizer's (and, while a `WhiteningMonitor` watches, its sums, which no file
    has), so checkpoints of `Adam()` and of `WGD(Adam())` load into each other, and
    the public attributes of the inner optimizer can be read and set on it.
    Clipping, weight decay, EMA and gradient accumulation stay with the inner
    optimizer, after the centring. A NaN in a gradient reaches every element
    that shares its mean. On PyTorch, `placement="gradient"` centres the `.grad`
    of a variable in its own memory: after the step it holds `h`.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer`, the name of one, such
            as `"adam"` or `"radam"`, or its config.
        mean_over: `"filters"` (default), `"fan_in"` or `"kernels"`.
        placement: `"gradient"` (default) centres what goes into the inner
            optimizer, as Algorithm 2 of the paper; `"update"` centres the
            step that the inner optimizer takes on each kernel, decoupled weight
            decay included, as the authors' released RAdam does.
        kernels: Which variables are convolution kernels. `None` (default) goes
            by the variables' names and shapes; a model, or a list from
            `conv_kernels(model)`, goes by the layers, which is exact for
            grouped convolutions and for layers with names of their own.
        name: The name of the optimizer.

    Raises:
        ValueError: If an argument is not one of the above, if
            `inner_optimizer` is a `LossScaleOptimizer`, or, when it is built,
            if `kernels` belong to another model.

    Example:

    ```python
    model.compile(optimizer=WGD(RAdam(1e-3)), loss="sparse_categorical_crossentropy")
    model.fit(x, y)
    model.optimizer.summary()
    ```

    References:
        Gholamalinejad and Khosravi, "Whitened gradient descent, a new updating
        method for optimizers in deep neural networks", 2022, Algorithm 2.
        Yong et al., "Gradient Centralization", 2020, arXiv 2004.01461.
    """  # noqa: E501, a table row is one line

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str | dict[str, Any],
        mean_over: str = "filters",
        placement: str = "gradient",
        kernels: keras.layers.Layer | Sequence[ConvKernel] | None = None,
        name: str | None = None,
    ):
        means.get(mean_over)
        if placement not in PLACEMENTS:
            raise ValueError(
                f"placement must be one of {', '.join(PLACEMENTS)}. "
                f"Received: {placement!r}"
            )
        inner_optimizer = inner.get(inner_optimizer)
        selection = KernelSelection(kernels)
        super().__init__(learning_rate=0.0, name=name)
        # What the base class has just set is the inner optimizer's to say:
        # forget it, so that reads and writes go through. (TensorFlow's tracking
        # keeps its own in attributes that begin with _self_.)
        own = ("name", "_lock", "_tracker", "_distribution_strategy")
        for attribute in list(vars(self)):
            if attribute not in own and not attribute.startswith("_self_"):
                delattr(self, attribute)
        self._mean_over = mean_over
        self._placement = placement
        self._selection = selection
        self._plan: WhiteningPlan | None = None
        self._norms: WhiteningNorms | None = None
        self.inner_optimizer = inner_optimizer
        if inner_optimizer.built:
            self._make_plan()

    @property
    def mean_over(self) -> str:
        """What the mean is taken over; it is settled with the optimizer."""
        return self._mean_over

    @property
    def placement(self) -> str:
        """What is centred; it is settled with the optimizer."""
        return self._placement

    def build(self, variables: Sequence[Any]) -> None:
        """Build the inner optimizer and decide what is centred.

        Args:
            variables: The model's trainable variables.
        """
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        if self._plan is None:
            self._make_plan()

    def _make_plan(self) -> WhiteningPlan:
        variables = self.inner_optimizer._trainable_variables
        located = self._selection.locate(variables, self._index_of)
        self._plan = plan = WhiteningPlan(variables, self.mean_over, located)
        if self.placement == "update":
            updates.hook(self, plan, self._index_of)
        if not plan.whitened:
            # With located kernels there is no more to tell it.
            hint = "Pass kernels=model if the model has convolutions; "
            advice = hint if located is None else ""
            warnings.warn(
                f"{type(self).__name__} found nothing to centre among "
                f"{len(plan.rows)} trainable variables: training goes as with "
                f"the inner optimizer alone. {advice}summary() gives the reasons.",
                stacklevel=4,
            )
        return plan

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Iterable[Any] | None = None,
    ) -> None:
        """Centre the gradients of the kernels and let the inner optimizer step.

        Args:
            grads: A gradient, or `None`, for each variable.
            trainable_variables: The variables, in any order, or `None` for all
                that the optimizer was built with.
        """
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        if grads and trainable_variables:
            self.build(trainable_variables)
        with self._applying():
            self.inner_optimizer.apply(
                self._whiten_gradients(grads, trainable_variables), trainable_variables
            )

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """The stateless version of `apply`, for JAX.

        Args:
            optimizer_variables: The values of `variables`.
            grads: A gradient, or `None`, for each variable.
            trainable_variables: The values of the variables that the optimizer
                was built with, in that order.

        Returns:
            The new values of the trainable and of the optimizer's variables.
        """
        if self._norms is None:
            with self._applying():
                return self.inner_optimizer.stateless_apply(
                    optimizer_variables,
                    self._whiten_gradients(grads),
                    trainable_variables,
                )
        # A `LossScaleOptimizer` gives variables, whose values are those of its scope.
        values = [ops.convert_to_tensor(value) for value in optimizer_variables]
        norms = self._norms.variables
        mapping = list(zip(norms, values[-len(norms) :], strict=True))
        with self._applying(), keras.StatelessScope(mapping) as scope:
            weights, variables = self.inner_optimizer.stateless_apply(
                values[: -len(norms)],
                self._whiten_gradients(grads),
                trainable_variables,
            )
        return weights, [*variables, *map(scope.get_current_value, norms)]

    def _applying(self) -> contextlib.AbstractContextManager[None]:
        hooked = self.placement == "update"
        return updates.applying(self) if hooked else contextlib.nullcontext()

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print which variables are centred, over what, and why others are not.

        Args:
            print_fn: Called with the text; by default it goes to the terminal, and in
                a notebook below the cell, as HTML.

        Raises:
            ValueError: If the optimizer is not built yet.
        """
        self._summary(self._built_plan("summary")).print(print_fn)

    def _built_plan(self, wanted: str) -> WhiteningPlan:
        if self._plan is None:
            raise ValueError(
                f"The optimizer must be built before its {wanted}: fit the model or "
                "call optimizer.build(model.trainable_variables). Received: "
                f"{self.name!r}, not built"
            )
        return self._plan

    def _summary(self, plan: WhiteningPlan) -> Summary:
        title = (
            f'{type(self.inner_optimizer).__name__}, mean_over="{self.mean_over}", '
            f'placement="{self.placement}"'
        )
        return Summary(plan, title)

    def _repr_html_(self) -> str | None:
        return self._summary(self._plan)._repr_html_() if self._plan else None

    def _index_of(self, variable: Any) -> int | None:
        optimizer = self.inner_optimizer
        return optimizer._trainable_variables_indices.get(optimizer._var_key(variable))

    def _indices_of(
        self, variables: Sequence[Any] | None = None
    ) -> Sequence[int | None]:
        """The places in the plan: all of them, where none or all are given."""
        built_on = self.inner_optimizer._trainable_variables
        if variables is None or _same(variables, built_on):
            return range(len(built_on))
        return [self._index_of(variable) for variable in variables]

    def _whiten_gradients(
        self, grads: Sequence[Any], variables: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        if not grads or not self.inner_optimizer.built:
            return grads  # for the inner optimizer to make of it what Keras does
        # Without a plan, the inner optimizer was built by itself.
        plan = self._plan or self._make_plan()
        built_on = self.inner_optimizer._trainable_variables
        indices = self._indices_of(variables)
        if len(indices) != len(grads):
            raise ValueError(
                "There must be one gradient, or None, for each trainable variable. "
                f"Received: {len(grads)} gradients for {len(indices)} variables"
            )
        norms = self._norms
        if self.placement == "update" and norms is None:
            return grads
        # An unknown variable is for the inner optimizer to complain of.
        places = {
            at: index
            for at, index in enumerate(indices)
            if index in plan.whitened and grads[at] is not None
        }
        grads = list(grads)
        if norms is not None:
            squares = norms.squares({i: grads[at] for at, i in places.items()})
        if self.placement == "gradient":
            # Among some of the gradients none can be told to share no memory.
            unshared = _unshared(grads) if isinstance(indices, range) else set()
            kept = {}
            for at, index in places.items():
                if at in unshared and _is_kept(grads[at], built_on[index]):
                    kept[index] = grads[at]
                else:
                    grads[at] = plan.whiten(grads[at], index)
            plan.whiten_(kept)
        if norms is not None:
            left = {i: grads[at] for at, i in places.items()}
            if self.placement == "update":
                left = {i: plan.whiten(h, i) for i, h in left.items()}
            norms.add(squares, left)
        return grads

    def record_norms(self, residual: bool = True) -> WhiteningNorms:
        """Sum up in each step how much of the gradients is left.

        `WhiteningMonitor` does it in `fit`. The sums are among the `variables` as
        long as it is done, so programs that were compiled before must be made anew.

        Args:
            residual: Whether to record what is left of the mean, too.

        Returns:
            The sums, from 0; `take()` makes ratios of them, and begins anew.

        Raises:
            ValueError: If the optimizer is not built yet.
        """
        self._norms = WhiteningNorms(self._built_plan("norms"), residual)
        return self._norms

    def forget_norms(self) -> None:
        """End what `record_norms` has begun; programs must be made anew again."""
        self._norms = None

    @property
    def variables(self) -> list[Any]:
        """The inner optimizer's variables, and the norms while these are recorded."""
        norms = self._norms.variables if self._norms else []
        return [*self.inner_optimizer.variables, *norms]

    @property
    def whitened_variables(self) -> list[Any]:
        """The variables that are centred; none before the optimizer is built."""
        if self._plan is None:
            return []
        variables = self.inner_optimizer._trainable_variables
        return [variables[index] for index in self._plan.whitened]

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The inner optimizer's count of steps."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, iterations: Any) -> None:
        self.inner_optimizer.iterations = iterations

    def scale_loss(self, loss: Any) -> Any:
        """Scale the loss as the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Let the inner optimizer set the final values, as with EMA."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(
        self,
        var_list: Collection[Any] | None = None,
        var_names: Collection[str] | None = None,
    ) -> None:
        """Exclude variables from the inner optimizer's weight decay."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the inner optimizer's variables."""
        self.inner_optimizer.set_weights(weights)

    def save_own_variables(self, store: Any) -> None:
        """Save the inner optimizer's variables, in its own layout."""
        self.inner_optimizer.save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Load the inner optimizer's variables."""
        self.inner_optimizer.load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        """The config; `kernels=` is written as paths, positions and shapes."""
        return {
            "name": self.name,
            "inner_optimizer": inner.serialize(self.inner_optimizer),
            "mean_over": self.mean_over,
            "placement": self.placement,
            "kernels": self._selection.get_config(),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """The reverse of `get_config`."""
        config = dict(config)
        inner_optimizer = inner.get(config.pop("inner_optimizer"), custom_objects)
        kernels = KernelSelection.from_config(config.pop("kernels", None))
        return cls(inner_optimizer, kernels=kernels, **config)

    def __getattr__(self, name: str) -> Any:
        if "inner_optimizer" in vars(self) and _is_forwarded(name):
            return getattr(self.inner_optimizer, name)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        own = name in vars(self) or hasattr(type(self), name)
        if not own and hasattr(self, name):
            setattr(self.inner_optimizer, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        # Saving walks dir(): listed, the inner optimizer would be stored twice.
        return [name for name in super().__dir__() if name != "inner_optimizer"]


WGD = WGDWrapper


def _same(variables: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(variables) == len(others) and all(map(operator.is_, variables, others))


def _unshared(gradients: Sequence[Any]) -> set[int]:
    """The places of PyTorch's gradients whose memory is no other gradient's.

    Where weights of different shapes meet in a sum, autograd may give them views of
    the same memory. Arrays are passed over: no `.grad` is one.
    """
    if keras.backend.backend() != "torch":
        return set()
    import torch

    if torch.compiler.is_compiling():
        return set()
    places: dict[int, list[int]] = {}
    for at, gradient in enumerate(gradients):
        is_tensor = isinstance(gradient, torch.Tensor)
        if is_tensor and gradient.layout is torch.strided:
            memory = gradient.untyped_storage().data_ptr()
            places.setdefault(memory, []).append(at)
    return {found[0] for found in places.values() if len(found) == 1}


def _is_kept(gradient: Any, variable: Any) -> bool:
    """Whether it is the `.grad` that PyTorch keeps for a variable, fit to write to."""
    return (
        variable.value.grad is gradient
        and gradient.is_contiguous()
        and not gradient.requires_grad
        and not gradient.is_inference()
    )


def _is_forwarded(name: str) -> bool:
    return name in _FORWARDED or not name.startswith("_")
