"""RAdam for every Keras backend."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from keras_wgd.choices import check_choice

if keras.backend.backend() == "torch":
    from keras_wgd.optimizers import torch_steps

EarlySteps = Literal["momentum", "skip"]


@keras.saving.register_keras_serializable(package="keras_wgd")
class RAdam(keras.optimizers.Optimizer):
    """Optimizer that implements the RAdam (rectified Adam) algorithm.

    In its first steps Adam divides by an estimate of the second moment from
    few gradients, whose variance is high. RAdam estimates how many gradients
    the moving average represents. While they are too few, it does not divide;
    then it scales the step to correct the variance. With gradient `g`, step
    `t = 1, 2, ...` and all operations element by element:

    ```
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    m_hat = m / (1 - beta_1**t)
    rho_inf = 2 / (1 - beta_2) - 1
    rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
    if rho > rho_threshold:
        r = sqrt((rho - 4) * (rho - 2) * rho_inf
                 / ((rho_inf - 4) * (rho_inf - 2) * rho))
        w -= learning_rate * r * m_hat * sqrt(1 - beta_2**t) / (sqrt(v) + epsilon)
    elif early_steps == "momentum":
        w -= learning_rate * m_hat
    ```

    These are the semantics of `torch.optim.RAdam`. The paper rectifies from
    `rho > 4` on. `early_steps="skip"` leaves the weights alone until then.
    `rho` counts gradients: with `beta_2=0.999` the sixth step is the first
    rectified one.

    The scalars of a step are computed in float32 (in float64 for float64
    variables), in a form without cancellation. For float16 and bfloat16
    variables the whole step is computed in float32 and rounded once. In float16
    variables `v` still underflows for gradients below about 5e-3, as Adam's
    does: use a larger `epsilon`, or the policy "mixed_float16".

    Args:
        learning_rate: A float, a
            `keras.optimizers.schedules.LearningRateSchedule` instance, or
            a callable that takes no arguments and returns the actual value to
            use. The learning rate. Defaults to `0.001`.
        beta_1: A float in `[0, 1)`. The exponential decay rate for the 1st
            moment estimates. Defaults to `0.9`.
        beta_2: A float in `[0, 1)`. The exponential decay rate for the 2nd
            moment estimates. Where `2 / (1 - beta_2) - 1` is not above
            `rho_threshold`, no step is ever rectified. Defaults to `0.999`.
        epsilon: A float above 0, in units of the gradient. Added to the square
            root of the 2nd moment as it is, before the correction of its bias.
            Defaults to `1e-8`, as in PyTorch (Gholamalinejad and Khosravi,
            2022, use `1e-10`).
        rho_threshold: A float of at least 4. The number of gradients from
            which on the steps are rectified. Defaults to `5.0`.
        early_steps: What the steps before that do: `"momentum"` moves the
            weights by `learning_rate * m_hat`, `"skip"` leaves them as they
            are; the moments are updated by both. Defaults to `"momentum"`.
        weight_decay: Float. If set, every step first takes
            `learning_rate * weight_decay` of each weight (decoupled, as in
            `keras.optimizers.AdamW`), in the early steps too.
        clipnorm: Float. If set, the gradient of each weight is individually
            clipped so that its norm is no higher than this value.
        clipvalue: Float. If set, the gradient of each weight is clipped to be
            no higher than this value.
        global_clipnorm: Float. If set, the gradient of all weights is clipped
            so that their global norm is no higher than this value.
        use_ema: Boolean. Whether to keep an exponential moving average of the
            weights. Defaults to `False`.
        ema_momentum: Float. The momentum of that average. Defaults to `0.99`.
        ema_overwrite_frequency: Int or `None`. Every so many steps the weights
            are overwritten by their average.
        loss_scale_factor: Float or `None`. The loss is multiplied by this
            factor, the gradients by its inverse.
        gradient_accumulation_steps: Int or `None`. If set, the gradients of so
            many calls are averaged into one step.
        name: String. The name of the optimizer. Defaults to `"radam"`.

    Raises:
        ValueError: If an argument is out of its range, or `early_steps="skip"`
            comes with a `beta_2` that never lets a step be rectified.

    Example:

    >>> optimizer = RAdam(learning_rate=1e-3)
    >>> model.compile(optimizer=optimizer, loss="mse")

    References:
        - [Liu et al., 2020](https://arxiv.org/abs/1908.03265), Algorithm 2.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        rho_threshold: float = 5.0,
        early_steps: EarlySteps = "momentum",
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str = "radam",
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            name=name,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            **kwargs,
        )
        _check_range("beta_1", beta_1, 0, 1, "in [0, 1)")
        _check_range("beta_2", beta_2, 0, 1, "in [0, 1)")
        _check_range("epsilon", epsilon, math.ulp(0), math.inf, "above 0")
        _check_range("rho_threshold", rho_threshold, 4, math.inf, "of at least 4")
        check_choice("early_steps", early_steps, get_args(EarlySteps))
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)
        self.rho_threshold = float(rho_threshold)
        self.early_steps = early_steps
        if early_steps == "skip" and self._rho_inf <= self.rho_threshold:
            raise ValueError(
                '`early_steps="skip"` needs 2 / (1 - beta_2) - 1 > rho_threshold, '
                "else the weights never change. Received: "
                f"beta_2={beta_2!r}, rho_threshold={rho_threshold!r}"
            )

    def build(self, variables: Sequence[Any]) -> None:
        """Create a momentum and a velocity for each variable, in Adam's order.

        Args:
            variables: List of model variables to build RAdam variables on.
        """
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update step given gradient and the associated model variable.

        Args:
            gradient: The gradient of `variable`.
            variable: One of the variables the optimizer was built on.
            learning_rate: The learning rate, or the pair that `_step_sizes`
                made of it for all variables of this step.
        """
        dtype = _scalar_dtype(variable)
        if not isinstance(learning_rate, tuple):
            learning_rate = self._step_sizes(learning_rate, dtype)
        adaptive, plain = (ops.cast(size, dtype) for size in learning_rate)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # IndexedSlices: the values at a repeated index are summed here, as
            # they must be before the square.
            gradient = tf.convert_to_tensor(gradient)
        gradient = ops.cast(gradient, dtype)
        momentum = self._momentums[self._get_variable_index(variable)]
        velocity = self._velocities[self._get_variable_index(variable)]

        m = ops.cast(momentum, dtype)
        v = ops.cast(velocity, dtype)
        m = self.beta_1 * m + (1 - self.beta_1) * gradient
        v = self.beta_2 * v + (1 - self.beta_2) * ops.square(gradient)
        self.assign(momentum, m)
        self.assign(velocity, v)
        self.assign_sub(variable, m * (adaptive / (ops.sqrt(v) + self.epsilon) + plain))

    def _backend_update_step(
        self,
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
        learning_rate: Any,
    ) -> None:
        if keras.backend.backend() == "torch":
            torch_steps.radam_update(self, grads, trainable_variables, learning_rate)
            return
        dtype = _scalar_dtype(*trainable_variables)
        sizes = self._step_sizes(learning_rate, dtype)
        super()._backend_update_step(grads, trainable_variables, sizes)

    def _step_sizes(self, learning_rate: Any, dtype: str) -> tuple[Any, Any]:
        """What multiplies `m` in this step: `adaptive / (sqrt(v) + epsilon) + plain`.

        Both are scalars, and one of them is zero.
        """
        # Tensors meet Python numbers in operators alone: `ops` would copy the
        # number to the device, which on PyTorch waits for the device.
        t = ops.cast(self.iterations, dtype) + 1
        size = ops.cast(learning_rate, dtype) / _bias_correction(self.beta_1, t)
        if self._rho_inf <= self.rho_threshold:
            return 0 * size, size
        rho = _rho(self.beta_2, t)
        rectified = ops.cast(rho > self.rho_threshold, dtype)
        # relu: no root of a negative number in the steps that are not rectified.
        rectification = ops.sqrt(
            ops.relu(rho - 4)
            / (self._rho_inf - 4)
            * (rho - 2)
            / (self._rho_inf - 2)
            * (self._rho_inf / rho)
            * _bias_correction(self.beta_2, t)
        )
        plain = (1 - rectified) * size if self.early_steps == "momentum" else 0 * size
        return rectified * rectification * size, plain

    @property
    def _rho_inf(self) -> float:
        return 2 / (1 - self.beta_2) - 1

    def get_config(self) -> dict[str, Any]:
        """Returns the config of the optimizer."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "rho_threshold": self.rho_threshold,
            "early_steps": self.early_steps,
        }


def _check_range(name: str, value: Any, low: float, high: float, words: str) -> None:
    if not isinstance(value, int | float | np.floating) or not low <= value < high:
        raise ValueError(
            f"`{name}` must be a float {words}. Received: {name}={value!r}"
        )


def _scalar_dtype(*variables: Any) -> str:
    dtypes = {keras.backend.standardize_dtype(v.dtype) for v in variables}
    return "float64" if "float64" in dtypes else "float32"


def _bias_correction(beta: float, t: Any) -> Any:
    """`1 - beta**t`, exact to the rounding of `t`'s dtype for any `beta` in [0, 1)."""
    # No logarithm of 0: numeric checks would find the infinity.
    return -ops.expm1(math.log(beta) * t) if beta else t / t


def _rho(beta_2: float, t: Any) -> Any:
    """How many gradients the moving average of `v` represents after `t` of them.

    `2 / (1 - beta_2) - 1 - 2 t beta_2**t / (1 - beta_2**t)` is, in the first
    steps, a small difference of large numbers. With `a = -ln(beta_2)` and
    `L(x) = coth(x) - 1 / x` it equals `t - t L(a t / 2) + L(a / 2)`, where
    nothing cancels as long as `a t / 2` is small.
    """
    a = -math.log(beta_2)
    x = a / 2 * t
    early = t - t * _langevin(x) + _langevin(a / 2)
    # exp(-x), not exp(x): nothing overflows after many steps.
    late = 1 / math.tanh(a / 2) + 2 * t * ops.exp(-a * t) / ops.expm1(-a * t)
    return ops.where(x < 0.5, early, late)


def _langevin(x: Any) -> Any:
    """`coth(x) - 1 / x` for `0 < x < 0.5` to 2e-10, by its continued fraction."""
    y = x * x
    return x / (3 + y / (5 + y / (7 + y / 9)))
