"""Watch in `fit` what WGD does to the gradients."""

from typing import Any

import keras

from keras_wgd.norms import WhiteningNorms
from keras_wgd.optimizers.wgd import WGDWrapper


class WhiteningMonitor(keras.callbacks.Callback):
    """Logs how much of the gradients WGD leaves.

    At the end of each epoch it adds to `logs`, and so to `History`, `CSVLogger`,
    `TensorBoard`, Keras's progress line and every callback after it in the list:

    - `whitening_ratio`: `||h|| / ||g||` over all kernels and steps of the epoch,
      between 0 and 1 (Eq. 17). Near 1, the gradients have almost no mean.
    - with `per_kernel`, `whitening_ratio/PATH` for the kernel at each path.

    The `history` of the monitor has both, and

    - `whitening_residual`: `||mean(h)|| / ||g||`, what is left of the mean. Rounding
      leaves some. If it is larger, something else has changed the gradients.

    All values are NaN while the gradients are 0. With `placement="update"` they
    describe the projection of the gradients, not of the steps.

    The sums stay on the device, so no step waits for them. Training begins with a new
    compilation of the step. Without the callback nothing is computed. If `fit` raises
    an error, Keras does not tell the callback: call `optimizer.forget_norms()`.

    Args:
        per_kernel: Whether to add each kernel to `logs`, and so to Keras's progress
            line. `history` always has them.

    Attributes:
        history: A list for each of the keys above, with a value for each epoch of the
            last `fit`.

    Raises:
        ValueError: When training begins, if the model's optimizer is not a `WGD`.

    Example:

    ```python
    monitor = WhiteningMonitor()
    model.fit(x, y, epochs=5, callbacks=[monitor, keras.callbacks.CSVLogger("log.csv")])
    monitor.history["whitening_ratio"]
    ```

    References:
        Gholamalinejad and Khosravi, 2022, Eq. 17.
    """

    def __init__(self, per_kernel: bool = False):
        super().__init__()
        self.per_kernel = per_kernel
        self.history: dict[str, list[float]] = {}
        self._norms: WhiteningNorms | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start to record; the step is compiled again."""
        optimizer = _wrapper(self.model.optimizer)
        self.history = {}
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        if keras.backend.backend() == "tensorflow":
            with self.model.distribute_strategy.scope():
                self._norms = optimizer.record_norms()
        else:
            self._norms = optimizer.record_norms()
        self.model.make_train_function(force=True)
        # On JAX, Keras 3.10 has already counted the optimizer's variables.
        count = getattr(self.model, "_record_training_state_sharding_spec", None)
        if count is not None:
            count()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the ratios of the epoch to `logs` and `history`."""
        assert self._norms is not None  # training has begun
        ratios = self._norms.take()
        logged = {"whitening_ratio": ratios.overall}
        residual = {"whitening_residual": ratios.residual}
        kernels = {f"whitening_ratio/{p}": ratio for p, ratio in ratios.kernels.items()}
        for key, value in (logged | residual | kernels).items():
            self.history.setdefault(key, []).append(value)
        if logs is not None:
            logs.update(logged | kernels if self.per_kernel else logged)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop to record; a later `fit` pays nothing."""
        _wrapper(self.model.optimizer).forget_norms()
        self._norms = None
        self.model.train_function = None  # Keras compiles it again


def _wrapper(optimizer: Any) -> WGDWrapper:
    """The WGD that an optimizer is, or that a LossScaleOptimizer has inside."""
    found = optimizer
    while not isinstance(found, WGDWrapper):
        found = getattr(found, "inner_optimizer", None)
        if found is None:
            raise ValueError(
                "WhiteningMonitor needs a model that is compiled with WGD. "
                f"Received: optimizer {type(optimizer).__name__}"
            )
    return found
