"""Watch in `fit` what WGD does to the gradients."""

from typing import Any

import keras

from keras_wgd.norms import WhiteningNorms
from keras_wgd.optimizers.wgd import WGDWrapper


class WhiteningMonitor(keras.callbacks.Callback):
    """Logs how much of the gradients WGD leaves.

    At the end of each epoch `logs`, and with it `History`, `CSVLogger`, `TensorBoard`,
    Keras's progress line and every other callback that comes later in the list, has

    - `whitening_ratio`: `||h|| / ||g||` over all kernels and steps of the epoch,
      between 0 and 1 (Eq. 17). Near 1 the gradients have next to no mean.
    - with `per_kernel`, `whitening_ratio/PATH` for the kernel at each path.

    The `history` of the monitor has both, and

    - `whitening_residual`: `||mean(h)|| / ||g||`, what is left of the mean. It is that
      of rounding; more, and the gradients are not what WGD makes of them.

    All are NaN while the gradients are 0. With `placement="update"` they are those of
    the projection of the gradients, not of the steps.

    The sums are kept on the device: a step waits for nothing, and the program of a
    step is made anew when training begins. Without the callback nothing is done.
    Where `fit` was broken off, `optimizer.forget_norms()` ends it; Keras does not tell
    the callback.

    Args:
        per_kernel: Whether each kernel is in `logs`, too, and so on Keras's progress
            line. `history` has them in any case.

    Attributes:
        history: A list for each of the keys above, with a value for each epoch of the
            last `fit`.

    Raises:
        ValueError: When training begins, if the model's optimizer is no `WGD`.

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
        """Begin to record; the step is compiled with it."""
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
        # On JAX, Keras 3.10 has counted the optimizer's variables before this.
        count = getattr(self.model, "_record_training_state_sharding_spec", None)
        if count is not None:
            count()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the ratios of the epoch to `logs` and `history`."""
        assert self._norms is not None  # training has begun
        ratios = self._norms.take()
        logged = {"whitening_ratio": ratios.overall}
        kernels = {
            f"whitening_ratio/{path}": ratio for path, ratio in ratios.kernels.items()
        }
        residual = {"whitening_residual": ratios.residual}
        for key, value in (logged | residual | kernels).items():
            self.history.setdefault(key, []).append(value)
        if logs is not None:
            logs.update(logged | kernels if self.per_kernel else logged)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Record no longer, at no cost to a later `fit`."""
        _wrapper(self.model.optimizer).forget_norms()
        self._norms = None
        self.model.train_function = None  # Keras makes it anew


def _wrapper(optimizer: Any) -> WGDWrapper:
    found = optimizer
    while not isinstance(found, WGDWrapper):  # a LossScaleOptimizer is around it
        found = getattr(found, "inner_optimizer", None)
        if found is None:
            raise ValueError(
                "WhiteningMonitor watches models that are compiled with WGD. "
                f"Received: optimizer {type(optimizer).__name__}"
            )
    return found
