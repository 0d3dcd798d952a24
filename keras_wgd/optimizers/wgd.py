"""Whitened gradient descent: any Keras optimizer, fed with centered gradients."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Never, Self

import keras
from keras import layers

from keras_wgd.choices import check_choice
from keras_wgd.norms import WhiteningNorms
from keras_wgd.optimizers import inner, means
from keras_wgd.optimizers.kernels import ConvKernel
from keras_wgd.optimizers.means import PLACEMENTS, MeanOver, Placement
from keras_wgd.optimizers.plan import WhiteningPlan
from keras_wgd.optimizers.selection import KernelSelection
from keras_wgd.optimizers.updates import UpdateCentering
from keras_wgd.optimizers.wrapper import OptimizerWrapper, check_not_nested
from keras_wgd.summary.summary import Summary


@keras.saving.register_keras_serializable(package="keras_wgd")
class WGDWrapper(OptimizerWrapper):
    """Whitened gradient descent around any Keras optimizer.

    The gradient `g` of each convolution kernel is centered before the inner optimizer
    sees it:

    ```
    h = g - mean(g)            theta <- inner_optimizer(theta, h)
    ```

    All other gradients (dense and recurrent kernels, biases, normalization,
    embeddings) go to the inner optimizer as they are. Three readings of the mean exist:

    | `mean_over` | the mean is taken over |
    | --- | --- |
    | `"filters"` | the filters that read the same input channels, at each kernel position and input channel (Eq. 11 of the paper) |
    | `"fan_in"` | each filter's own elements (Gradient Centralization, and the code that the authors released) |
    | `"kernels"` | all 2-D kernels of the layer, at each kernel position |

    The wrapper has no state of its own: its `variables` are the inner optimizer's
    (and, while a `WhiteningMonitor` watches, its sums, which are not saved). So
    `.keras` and `.weights.h5` files of `Adam()` and of `WGD(Adam())` load into each
    other, and the public attributes of the inner optimizer can be read and set on the
    wrapper. Clipping, weight decay, EMA and gradient accumulation stay with the inner
    optimizer, after the centering. A NaN in a gradient reaches every element that
    shares its mean. On PyTorch, `placement="gradient"` centers the `.grad` of a
    variable in its own memory: after the step it holds `h`.

    What is centered is decided when the inner optimizer is built, and again if it comes
    to hold other variables.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer`, the name of one, such
            as `"adam"` or `"radam"`, or its config.
        mean_over: `"filters"` (default), `"fan_in"` or `"kernels"`.
        placement: `"gradient"` (default) centers what goes into the inner
            optimizer, as Algorithm 2 of the paper; `"update"` centers the
            step that the inner optimizer takes on each kernel, decoupled weight
            decay included, as the authors' released RAdam does after its first five
            steps. It needs an inner optimizer that steps in Keras's own `apply`.
            Constraints, averages of the weights and whatever an overridden `apply`
            adds come after the step and are not centered.
        kernels: Which variables are convolution kernels. `None` (default) goes
            by the variables' names and shapes; a model, or a list from
            `conv_kernels(model)`, goes by the layers, which is exact for
            grouped convolutions and for layers with custom names.
        name: The name of the optimizer.

    Raises:
        TypeError: If an argument of the inner optimizer is given.
        ValueError: If an argument has another value, if `inner_optimizer` is a
            `LossScaleOptimizer` or has a `WGD` inside, or, when it is built, if
            `kernels` belong to another model. With `placement="update"`, if the
            inner optimizer steps a kernel without Keras's own `apply`.

    Example:

    ```python
    model.compile(optimizer=WGD(RAdam(1e-3), "fan_in"), loss="sparse_categorical_crossentropy")
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
        mean_over: MeanOver = "filters",
        placement: Placement = "gradient",
        kernels: layers.Layer | Sequence[ConvKernel] | None = None,
        name: str | None = None,
        **kwargs: Never,
    ):
        if kwargs:
            raise TypeError(
                f"{type(self).__name__} takes inner_optimizer, mean_over, placement, "
                "kernels and name. Pass other arguments to the inner optimizer: "
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
        self._updates: UpdateCentering | None = None
        if self.inner_optimizer.built:
            self._update_plan()

    @property
    def mean_over(self) -> MeanOver:
        """What the mean is taken over; read-only."""
        return self._mean_over

    @property
    def goes_by_names(self) -> bool:
        """Whether names and shapes decide what is centered: without `kernels`."""
        return self._selection.is_by_name

    @property
    def placement(self) -> Placement:
        """What is centered; read-only."""
        return self._placement

    def build(self, variables: Sequence[Any]) -> None:
        """Build the inner optimizer and decide what is centered.

        Args:
            variables: The model's trainable variables.
        """
        super().build(variables)
        held = self.inner_optimizer._trainable_variables
        self._update_plan(() if held else variables)

    def _update_plan(self, variables: Sequence[Any] = ()) -> WhiteningPlan:
        """Return the plan for the variables that the inner optimizer holds now.

        It knows `variables` too: an inner optimizer with a `build` of its own may keep
        no list.
        """
        optimizer = self.inner_optimizer
        held = optimizer._trainable_variables
        plan, updates = self._plan, self._updates
        replaced = updates is not None and updates.optimizer is not optimizer
        if plan and not replaced and plan.is_for(held) and plan.knows(variables):
            return plan
        check_not_nested(optimizer)  # some create their parts in `build`
        self._plan = plan = WhiteningPlan(
            held, self.mean_over, self._selection, optimizer._var_key, variables
        )
        self._selection = plan.selection
        self._monitor = None
        if self.placement == "update":
            self._updates = UpdateCentering(optimizer, plan)
        if plan.warning:
            warnings.warn(plan.warning, stacklevel=3)
        if not plan.centered:
            message = (
                f"{type(self).__name__} found nothing to center among "
                f"{len(plan.variables)} trainable variables: training goes as with the "
                "inner optimizer alone. summary() gives the reasons."
            )
            if self._selection.is_by_name:
                message += " Pass kernels=model if the model has convolutions."
            warnings.warn(message, stacklevel=3)
        return plan

    def _prepare(self, variables: Sequence[Any] | None) -> None:
        if self.placement == "update" and variables:
            # Some optimizers create the optimizers inside them in `build`.
            self.build(variables)
        self._update_plan(variables or ())

    def _transform(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None
    ) -> Sequence[Any]:
        if self.placement == "update":
            return gradients  # `_take_step` centers the step instead
        assert self._plan is not None  # `_prepare` came before
        return self._plan.whiten_all(gradients, variables)

    def _take_step(
        self,
        step: Callable[..., Any],
        gradients: Sequence[Any],
        variables: Sequence[Any] | None,
        **kwargs: Any,
    ) -> Any:
        if self._updates is None or not gradients or not self.built:
            return step(gradients, variables, **kwargs)
        with self._updates.step(gradients, variables):
            return step(gradients, variables, **kwargs)

    def record_norms(self, residual: bool = True) -> WhiteningNorms:
        """Sum in each step how much of the gradients is left.

        `WhiteningMonitor` does it in `fit`. Meanwhile the sums are among the
        `variables`, so steps that were compiled before must be compiled again. The
        recording ends when the inner optimizer's variables change.

        Args:
            residual: Whether to record what is left of the mean too.

        Returns:
            The sums, from 0. `take()` returns their ratios and starts again from 0.

        Raises:
            ValueError: If the optimizer is not built yet.
        """
        plan = self._built_plan("norms")
        paths = {index: kernel.path for index, kernel in plan.centered.items()}
        norms = WhiteningNorms(paths, plan.kernel_gradients, plan.whiten, residual)
        self._monitor = norms
        return norms

    def forget_norms(self) -> None:
        """End what `record_norms` has started; steps must be compiled again."""
        self._monitor = None

    @property
    def whitened_variables(self) -> list[Any]:
        """The variables that are centered; none before the optimizer is built."""
        if not self.built:
            return []
        plan = self._update_plan()
        count = len(plan.held or plan.variables)
        return [plan.variables[index] for index in plan.centered if index < count]

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print which variables are centered, over what, and why others are not.

        Args:
            print_fn: Called with the text. By default it is printed, and in a notebook
                shown below the cell as HTML.

        Raises:
            ValueError: If the optimizer is not built yet.
        """
        self._summary().print(print_fn)

    def _summary(self) -> Summary:
        name = type(self.inner_optimizer).__name__
        title = f'{name}, mean_over="{self.mean_over}", placement="{self.placement}"'
        return self._built_plan("summary").summary(title)

    def _repr_html_(self) -> str | None:
        return self._summary()._repr_html_() if self.built else None

    def _built_plan(self, wanted: str) -> WhiteningPlan:
        if not self.built:
            raise ValueError(
                f"The optimizer must be built before its {wanted}: fit the model or "
                "call optimizer.build(model.trainable_variables). Received: "
                f"{self.name!r}, not built"
            )
        return self._update_plan()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({type(self.inner_optimizer).__name__}, "
            f"mean_over={self.mean_over!r}, placement={self.placement!r})"
        )

    def get_config(self) -> dict[str, Any]:
        """Return the config; `kernels=` is written as paths, positions and shapes."""
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
        """Make the optimizer that `get_config` describes."""
        config = dict(config)
        inner_optimizer = inner.get(config.pop("inner_optimizer"), custom_objects)
        kernels: Any = KernelSelection.from_config(config.pop("kernels", None))
        return cls(inner_optimizer, kernels=kernels, **config)


WGD = WGDWrapper
