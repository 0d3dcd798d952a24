"""What a task is, as text: two tasks with other texts are other tasks."""

import functools
import hashlib
import inspect
import json
from collections.abc import Sequence
from typing import Any

import keras

from keras_wgd.experiments.training.custom import CustomTask, digest_of
from keras_wgd.experiments.trial import Trial
from keras_wgd.optimizers import inner


def fingerprint(task: CustomTask, trials: Sequence[Trial]) -> dict[str, str]:
    """Build model, data and optimizers once, and describe them.

    Args:
        task: The task.
        trials: A trial of each arm, all of one seed.

    Returns:
        By name, what decides the results of trials besides arm and seed.

    Raises:
        ValueError: If something cannot be built.
    """
    with task.scope():
        keras.utils.clear_session()
        trial = trials[0]
        data = task.data(trial)
        if data.validation() == {} and task.monitor.startswith("val_"):
            raise ValueError(
                "validation must be given for the monitor "
                f"{task.monitor!r}. Received: None"
            )
        model = task.new_model(trial.seed)
        if data.ordered and not model.built:
            model(data.sample())
        optimizers = {
            f"optimizers[{trial.arm!r}]": _text(
                inner.serialize(task.new_optimizer(trial.arm, trial.learning_rate))
            )
            for trial in trials
        }
        return {
            **optimizers,
            "model": _text(model),
            "initial weights": digest_of(model) if model.built else "",
            "data": data.digest(),
            "batch_size": str(task.batch_size),
            "steps_per_epoch": str(task.steps_per_epoch),
            "epochs": str(trial.epochs),
            **{name: _text(value) for name, value in task.compile.items()},
            **{name: _text(value) for name, value in task.fit.items()},
            "callbacks": _text(task.callbacks),
            "dtype_policy": keras.config.dtype_policy().name,
        }


@functools.singledispatch
def _text(value: Any) -> str:
    """A text that is the same for equal values in another process."""
    try:
        config = keras.saving.serialize_keras_object(value)
        return json.dumps(config, sort_keys=True, default=_source)
    except Exception:  # no config, as many models of a class of one's own
        return _source(value)


def _source(value: Any) -> str:
    """The source of a function or class, or else the type of a value."""
    try:
        source = inspect.getsource(value if callable(value) else type(value))
    except (OSError, TypeError):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return f"source {hashlib.sha256(source.encode()).hexdigest()}"


@_text.register
def _(value: keras.Model) -> str:
    try:
        config = json.dumps(value.get_config(), sort_keys=True, default=_source)
    except Exception:
        config = _source(value)
    return f"{type(value).__name__} {hashlib.sha256(config.encode()).hexdigest()}"
