"""A trial of `compare`: the user's model, data and optimizers, trained with `fit`."""

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wgd.choices import did_you_mean
from keras_wgd.experiments.training.build import set_random_seed
from keras_wgd.experiments.training.custom import build
from keras_wgd.experiments.training.custom.data import Data
from keras_wgd.experiments.training.custom.fresh import copies, digest_of, is_built
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.experiments.training.randomness import generators
from keras_wgd.experiments.training.task import Record
from keras_wgd.experiments.trial import Trial
from keras_wgd.optimizers.wgd import WGD

# The share of the training data that the search for learning rates is validated on.
HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class CustomTask:
    """What the trials of a comparison have in common.

    Attributes:
        build_model: Returns a new model that is not compiled.
        optimizers: For each arm a function that returns a new optimizer, a name, or
            a config. The function may take the learning rate.
        train: Training data, as `Data` takes them.
        validation: Likewise, or `None`.
        batch_size: Samples in each batch of arrays.
        steps_per_epoch: As in `fit`.
        compile: Keyword arguments of `compile` besides the optimizer.
        fit: Further keyword arguments of `fit`.
        callbacks: Returns new callbacks; `None` for none.
        dtype_policy: Keras's dtype policy.
        floatx: Keras's default float type.
        monitor: The measured value that is compared.
        mode: `"min"`, `"max"` or `"auto"`, as for Keras's callbacks.
    """

    build_model: Callable[[], keras.Model]
    optimizers: Mapping[str, Any]
    train: Any
    validation: Any
    batch_size: int
    steps_per_epoch: int | None
    compile: Mapping[str, Any]
    fit: Mapping[str, Any]
    callbacks: Callable[[], Any] | None
    dtype_policy: Any
    floatx: str
    monitor: str
    mode: str

    @contextlib.contextmanager
    def scope(self):
        """The float types of the trials; a worker's own may be others."""
        before = keras.config.floatx(), keras.config.dtype_policy()
        keras.config.set_floatx(self.floatx)
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            yield
        finally:
            keras.config.set_floatx(before[0])
            keras.config.set_dtype_policy(before[1])

    def data(self, trial: Trial) -> Data:
        """The data of a trial. The search for learning rates has no validation data."""
        set_random_seed(trial.seed)  # for a function of the seed that draws with it
        data = Data(
            self.train,
            None if trial.tuning else self.validation,
            self.batch_size,
            trial.seed,
            self.steps_per_epoch,
        )
        return data.held_out(HELD_OUT, trial.seed) if trial.tuning else data

    def start(self, run: Trial, devices: OneDevice) -> "CustomTraining":
        """Build model and optimizer of a trial, and compile.

        Raises:
            ValueError: If the model or the optimizer is not new, or the model is
                compiled.
            RuntimeError: If WGD would center nothing.
        """
        return CustomTraining(self, run, devices)

    def fit_arguments(self, trial: Trial) -> dict[str, Any]:
        """The further arguments of `fit` for a trial."""
        arguments = dict(self.fit)
        if trial.tuning:  # its validation data are others
            arguments.pop("validation_steps", None)
        return arguments


class CustomTraining:
    """A `task.Training` by one call of `fit`."""

    def __init__(self, task: CustomTask, trial: Trial, devices: OneDevice):
        self._task, self._trial = task, trial
        self._data = task.data(trial)
        self._callbacks = build.new_callbacks(task.callbacks)
        with devices.scope():
            model = build.new_model(task.build_model, trial.seed)
            self._replicas = devices.spread(model)
            optimizer = build.new_optimizer(
                trial.arm, task.optimizers[trial.arm], trial.learning_rate
            )
            self._replicas.compile(optimizer, **copies(task.compile))
            optimizer = self._replicas.optimizer  # scaled, with mixed_float16
            # What callbacks keep, and where other data are, cannot be set back.
            self.resumable = self._data.ordered and not self._callbacks
            if is_built(model, self._data):
                optimizer.build(model.trainable_variables)
            else:
                self.resumable = False
        self._model, self._optimizer = model, optimizer
        self._initial_weights = digest_of(model) if self.resumable else ""
        self._best = ""
        self._generators = generators()
        self._random: list[np.ndarray] = []

    @property
    def variables(self) -> Sequence[Any]:
        """Those of model and optimizer, and the states of the random generators."""
        parts = self._model.variables, self._optimizer.variables, self._generators
        return [variable for part in parts for variable in part]

    @property
    def centered(self) -> int:
        """The number of variables that are centered."""
        wgd = wgd_of(self._optimizer)
        return 0 if wgd is None else len(wgd.whitened_variables)

    def fit(self, first: int, record: Record) -> None:
        """Call `fit` for the epochs from `first` on."""
        if first:
            self._random = [np.array(generator) for generator in self._generators]
        arguments = self._task.fit_arguments(self._trial)
        with warnings.catch_warnings():
            # `fit` would go on with epochs that train nothing.
            warnings.filterwarnings("error", "Your input ran out of data")
            try:
                self._replicas.fit(
                    **self._data.training(),
                    **self._data.validation(arguments.get("validation_steps")),
                    **arguments,
                    initial_epoch=first,
                    epochs=self._trial.epochs,
                    callbacks=[*self._callbacks, _Recorder(self, self._data, record)],
                    verbose=0,
                )
            except UserWarning:
                raise ValueError(
                    "train and validation must have batches for all steps: let them "
                    "repeat, or ask for fewer steps. "
                    "Received: data that end in an epoch"
                ) from None

    def begin(self) -> None:
        """Note what holds before the first step, when all variables are there.

        TensorFlow builds some models in the first step.
        """
        if self._model.built:
            self._initial_weights = self._initial_weights or digest_of(self._model)
            if not self._optimizer.built:
                self._optimizer.build(self._model.trainable_variables)
            self._check_centered()
        if self._random:  # `fit` has drawn from them to begin
            for generator, state in zip(self._generators, self._random, strict=True):
                generator.assign(state)

    def _check_centered(self):
        if wgd_of(self._optimizer) is not None and not self.centered:
            raise RuntimeError(
                f"optimizers[{self._trial.arm!r}] is WGD, and the model has no "
                "convolution kernel that it centers"
            )

    def check(self, values: Mapping[str, float]) -> None:
        """Check after an epoch that the monitor is there and has a direction."""
        self._check_centered()
        task = self._task
        if task.monitor not in values:
            raise ValueError(
                f"monitor must be one of {', '.join(values)}. "
                f"Received: {task.monitor!r}{did_you_mean(task.monitor, values)}"
            )
        # Keras's own rule, which it applies at the end of an epoch.
        stopping = keras.callbacks.EarlyStopping(task.monitor, mode=task.mode)
        stopping.set_model(self._model)
        stopping.on_train_begin()
        try:
            stopping.on_epoch_end(0, values)
        except ValueError:
            raise ValueError(
                f"mode must be 'min' or 'max', because Keras does not know which is "
                f"better for {task.monitor!r}. Received: 'auto'"
            ) from None
        self._best = "max" if stopping.monitor_op is ops.greater else "min"

    def measurements(self) -> dict[str, Any]:
        """What `Result` has besides curves and times."""
        details = {
            "steps": int(ops.convert_to_numpy(self._optimizer.iterations)),
            "initial_weights": self._initial_weights,
            "best": self._best,
        }
        return {"metrics": {}, "confusion": [], "details": details}

    def save(self, path: Path) -> None:
        """Save the trained model."""
        self._model.save(path)


class _Recorder(keras.callbacks.Callback):
    """Orders the data of each epoch, and records what it has measured."""

    def __init__(self, training: CustomTraining, data: Data, record: Record):
        super().__init__()
        self._training, self._data, self._record = training, data, record
        self._start = 0.0

    def on_train_begin(self, logs=None):
        self._training.begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._data.begin(epoch)
        self._start = time.perf_counter()

    # The time of the validation is no part of the training.

    def on_test_begin(self, logs=None):
        self._start -= time.perf_counter()

    def on_test_end(self, logs=None):
        self._start += time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._start
        values = {
            name: float(value)
            for name, value in (logs or {}).items()
            if np.ndim(value) == 0
        }
        self._training.check(values)
        self._record(values, seconds, None)


def wgd_of(optimizer: keras.optimizers.Optimizer) -> WGD | None:
    """The WGD of an optimizer, under a loss scale or not."""
    parts = (optimizer, getattr(optimizer, "inner_optimizer", None))
    return next((part for part in parts if isinstance(part, WGD)), None)
