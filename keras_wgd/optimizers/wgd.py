"""Whitened gradient descent: any Keras optimizer, fed with centred gradients."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Never, Self

import keras
from keras import layers, ops

from keras_wgd.choices import check_choice
from keras_wgd.optimizers import inner, means, updates
from keras_wgd.optimizers.kernels import ConvKernel
from keras_wgd.optimizers.means import PLACEMENTS
from keras_wgd.optimizers.norms import WhiteningNorms
from keras_wgd.optimizers.plan import WhiteningPlan
from keras_wgd.optimizers.selection import KernelSelection
from keras_wgd.optimizers.summary import Summary
from keras_wgd.optimizers.wrapper import OptimizerWrapper


@keras.saving.register_keras_serializable(package="keras_wgd")
class WGDWrapper(OptimizerWrapper):
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

    What is centred is decided for the variables that the inner optimizer holds. Where
    these change, as when it is built again, it is decided again.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer`, the name of one, such
            as `"adam"` or `"radam"`, or its config.
        mean_over: `"filters"` (default), `"fan_in"` or `"kernels"`.
        placement: `"gradient"` (default) centres what goes into the inner
            optimizer, as Algorithm 2 of the paper; `"update"` centres the
            step that the inner optimizer takes on each kernel, decoupled weight
            decay included, as the authors' released RAdam does after its first five
            steps; in those it centres its momentum, too. The step must be made by
            Keras's own `apply`. Constraints, averages of the weights and what an
            `apply` of your own does besides come after it, not centred.
        kernels: Which variables are convolution kernels. `None` (default) goes
            by the variables' names and shapes; a model, or a list from
            `conv_kernels(model)`, goes by the layers, which is exact for
            grouped convolutions and for layers with names of their own.
        name: The name of the optimizer.

    Raises:
        TypeError: If an argument of the inner optimizer is given.
        ValueError: If an argument is not one of the above, if
            `inner_optimizer` is a `LossScaleOptimizer` or has a `WGD` inside, or,
            when it is built, if `kernels` belong to another model. With
            `placement="update"`, if the inner optimizer steps a kernel without
            Keras's own `apply`.

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
        kernels: layers.Layer | Sequence[ConvKernel] | None = None,
        name: str | None = None,
        **kwargs: Never,
    ):
        if kwargs:
            raise TypeError(
                f"{type(self).__name__} takes inner_optimizer, mean_over, placement, "
                "kernels and name. All else belongs to the inner optimizer: write "
                f"WGD(keras.optimizers.Adam({next(iter(kwargs))}=...)) or the like. "
                f"Received: {', '.join(kwargs)}"
            )
        means.get(mean_over)
        check_choice("placement", placement, PLACEMENTS)
        selection = KernelSelection.of(kernels)
        super().__init__(inner_optimizer, name=name)
        self._mean_over = mean_over
        self._placement = placement
        self._selection = selection
        self._plan: WhiteningPlan | None = None
        self._norms: WhiteningNorms | None = None
        if self.inner_optimizer.built:
            self._current_plan()

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
        super().build(variables)
        held = self.inner_optimizer._trainable_variables
        self._current_plan(() if held else variables)

    def _current_plan(self, variables: Sequence[Any] = ()) -> WhiteningPlan:
        """The plan for the variables that the inner optimizer holds now.

        Args:
            variables: Variables that the plan must know, too. An inner optimizer with
                a `build` of its own may keep no list of them.
        """
        optimizer = self.inner_optimizer
        held = optimizer._trainable_variables
        plan = self._plan
        unhooked = self.placement == "update" and not updates.is_hooked(optimizer)
        known = plan and plan.is_for(held) and plan.knows(variables)
        if plan is None or unhooked or not known:
            self._check_not_nested(optimizer)  # some make their parts when built
            held_keys = set(map(optimizer._var_key, held))
            rest = [v for v in variables if optimizer._var_key(v) not in held_keys]
            self._plan = plan = WhiteningPlan(
                [*held, *rest], self.mean_over, self._selection, optimizer._var_key
            )
            self._norms = None
            if self.placement == "update":
                updates.hook(optimizer)
            if not plan.whitened:
                # With kernels= there is no more to tell it.
                hint = "Pass kernels=model if the model has convolutions; "
                warnings.warn(
                    f"{type(self).__name__} found nothing to centre among "
                    f"{len(plan.rows)} trainable variables: training goes as with the "
                    f"inner optimizer alone. {hint * self._selection.is_by_name}"
                    "summary() gives the reasons.",
                    stacklevel=4,
                )
        return plan

    def _held(self, plan: WhiteningPlan) -> Sequence[Any]:
        """The variables of the inner optimizer; those of the plan if it has no list."""
        return self.inner_optimizer._trainable_variables or plan.variables

    def _transform(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Sequence[Any]:
        if not gradients or not (variables or self.inner_optimizer.built):
            return gradients  # the inner optimizer does or says what Keras does
        plan = self._current_plan(variables or ())
        if self.placement == "update" and self._norms is None:
            return gradients
        places = plan.places(gradients, variables or self._held(plan))
        if self._norms is None:
            return plan.whiten_all(gradients, places)
        gradients = list(gradients)
        before = {index: gradients[at] for at, index in places.items()}
        squares = self._norms.squares(before)
        if self.placement == "update":
            after = {i: plan.whiten(gradient, i) for i, gradient in before.items()}
        else:
            gradients = plan.whiten_all(gradients, places)
            after = {index: gradients[at] for at, index in places.items()}
        self._norms.add(squares, after)
        return gradients

    def _step(
        self,
        take: Callable[..., Any],
        grads: Sequence[Any],
        variables: Sequence[Any] | None,
        **kwargs: Any,
    ) -> Any:
        if self.placement == "update" and grads and variables:
            self.build(variables)  # some make the optimizers that step when built
        optimizer = self.inner_optimizer
        if self.placement == "gradient" or not grads or not optimizer.built:
            return super()._step(take, grads, variables, **kwargs)
        plan = self._current_plan(variables or ())
        places = plan.places(grads, variables or self._held(plan))
        with updates.centred_steps(plan) as centred:
            result = super()._step(take, grads, variables, **kwargs)
        missed = set(places.values()) - centred
        for index in centred:
            plan.calls_missed.pop(index, None)
        plan.calls_missed.update(missed)
        # An optimizer that accumulates gradients steps once in so many calls.
        most = max((plan.calls_missed[index] for index in missed), default=0)
        if most and most >= updates.calls_per_step(optimizer):
            raise ValueError(
                f'placement="update" needs an inner optimizer that steps in Keras\'s '
                f"own apply; {type(optimizer).__name__} changed kernels "
                'without it. Choose placement="gradient", or wrap the optimizer that '
                f"it has inside. Received: {plan.rows[min(missed)].path}, not centred"
            )
        return result

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """The stateless version of `apply`; the norms are among the variables."""
        if self._norms is None:
            return super().stateless_apply(
                optimizer_variables, grads, trainable_variables
            )
        # A `LossScaleOptimizer` gives variables, whose values are those of its scope.
        values = [ops.convert_to_tensor(value) for value in optimizer_variables]
        norms = self._norms.variables
        mapping = list(zip(norms, values[-len(norms) :], strict=True))
        with keras.StatelessScope(mapping) as scope:
            weights, variables = super().stateless_apply(
                values[: -len(norms)], grads, trainable_variables
            )
        return weights, [*variables, *map(scope.get_current_value, norms)]

    def record_norms(self, residual: bool = True) -> WhiteningNorms:
        """Sum up in each step how much of the gradients is left.

        `WhiteningMonitor` does it in `fit`. The sums are among the `variables` as
        long as it is done, so programs that were compiled before must be made anew.
        It ends where the variables change that the inner optimizer holds.

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
        return [*super().variables, *norms]

    @property
    def whitened_variables(self) -> list[Any]:
        """The variables that are centred; none before the optimizer is built."""
        if not self.inner_optimizer.built:
            return []
        plan = self._current_plan()
        held = len(self._held(plan))
        return [plan.variables[index] for index in plan.whitened if index < held]

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
        if not self.inner_optimizer.built:
            raise ValueError(
                f"The optimizer must be built before its {wanted}: fit the model or "
                "call optimizer.build(model.trainable_variables). Received: "
                f"{self.name!r}, not built"
            )
        return self._current_plan()

    def _summary(self, plan: WhiteningPlan) -> Summary:
        title = (
            f'{type(self.inner_optimizer).__name__}, mean_over="{self.mean_over}", '
            f'placement="{self.placement}"'
        )
        return Summary(plan, title)

    def _repr_html_(self) -> str | None:
        if not self.inner_optimizer.built:
            return None
        return self._summary(self._current_plan())._repr_html_()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({type(self.inner_optimizer).__name__}, "
            f"mean_over={self.mean_over!r}, placement={self.placement!r})"
        )

    def get_config(self) -> dict[str, Any]:
        """The config; `kernels=` is written as paths, positions and shapes."""
        return {
            **super().get_config(),
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
        kernels: Any = KernelSelection.from_config(config.pop("kernels", None))
        return cls(inner_optimizer, kernels=kernels, **config)


WGD = WGDWrapper
