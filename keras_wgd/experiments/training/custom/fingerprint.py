"""What a task is, as text: two tasks with other texts are other tasks."""

import base64
import functools
import json
import marshal
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_wgd.experiments.training.build import clear_session
from keras_wgd.experiments.training.custom import build
from keras_wgd.experiments.training.custom.data import Data
from keras_wgd.experiments.training.custom.fresh import digest_of, is_built
from keras_wgd.experiments.training.custom.source import (
    code_text,
    digest,
    own_code,
    source,
)
from keras_wgd.experiments.training.custom.task import CustomTask, wgd_of
from keras_wgd.experiments.trial import Trial
from keras_wgd.optimizers import inner
from keras_wgd.optimizers.kernels import guess_kernel, kernels_within, variable_path


class Fingerprint(NamedTuple):
    """What a task is, and what the reader of its verdict should know of it.

    Attributes:
        task: By name, what decides the results of trials besides arm and seed.
        warnings: Sentences.
    """

    task: dict[str, str]
    warnings: list[str]


def fingerprint(task: CustomTask, trials: Sequence[Trial], data: Data) -> Fingerprint:
    """Build model and optimizers, and describe them and the data.

    Args:
        task: The task, in whose scope this is called.
        trials: A trial of each arm, all of one seed.
        data: The data of the first trial.

    Raises:
        ValueError: If something cannot be built, or is not the same again for the same
            seed.
    """
    trial = trials[0]
    samples = _data_digest(task, trial, data)
    build.new_callbacks(task.callbacks)
    optimizers = {t.arm: _optimizer(task, t) for t in trials}
    model = build.new_model(task.build_model, trial.seed)
    weights = digest_of(model) if is_built(model, data) else ""
    described = _text(model)
    left_out = [text for item in optimizers.items() for text in _left_out(*item, model)]
    del model
    _check_weights(task, trial, data, weights)
    texts = {
        "backend": keras.backend.backend(),
        "dtype_policy": task.dtype_policy,
        "floatx": task.floatx,
        "epsilon": str(keras.config.epsilon()),
        "image_data_format": keras.config.image_data_format(),
        **{f"optimizers[{arm!r}]": _described(o) for arm, o in optimizers.items()},
        "data": samples,
        "batch_size": str(task.batch_size),
        "steps_per_epoch": str(task.steps_per_epoch),
        "epochs": str(trial.epochs),
        **{name: _text(value) for name, value in task.compile.items()},
        **{name: _text(value) for name, value in task.fit.items()},
        "callbacks": _text(task.callbacks),
        "model": described,
        "initial weights": weights,
    }
    return Fingerprint(texts, left_out)


def _data_digest(task: CustomTask, trial: Trial, data: Data) -> str:
    found = data.digest()
    if callable(task.train) or callable(task.validation):
        again = task.data(trial).digest()
        if again != found:
            raise ValueError(
                "train and validation must be functions of the seed alone, so that the "
                "arms of a seed see the same data. Received: other data in a second "
                f"call with the seed {trial.seed}"
            )
    # Of functions, that is one seed. Data that make batches themselves are not read.
    made = [data for data in (task.train, task.validation) if not _is_arrays(data)]
    return f"{found} {digest(' '.join(map(source, made)))}" if made else found


def _is_arrays(data: Any) -> bool:
    return data is None or isinstance(data, list | tuple | dict)


def _optimizer(task: CustomTask, trial: Trial) -> keras.optimizers.Optimizer:
    """A new optimizer of an arm, which must be another one in each call."""
    arm, made_by = trial.arm, task.optimizers[trial.arm]
    made, other = (
        build.new_optimizer(arm, made_by, trial.learning_rate) for _ in range(2)
    )
    if made is other:
        raise ValueError(
            f"optimizers[{arm!r}] must make a new optimizer in each call. "
            f"Received: {made.name}, the same in two calls"
        )
    return made


def _described(optimizer: keras.optimizers.Optimizer) -> str:
    parts = (optimizer, getattr(optimizer, "inner_optimizer", None))
    own = " ".join(own_code(part) for part in parts if part is not None).strip()
    config = _text(_unnamed(inner.serialize(optimizer)))
    return f"{config} {digest(own)}" if own else config


def _check_weights(task: CustomTask, trial: Trial, data: Data, weights: str) -> None:
    """Check that a seed gives the same weights again."""
    if not weights:
        return
    clear_session()  # frees the first model
    model = build.new_model(task.build_model, trial.seed)
    if is_built(model, data) and digest_of(model) != weights:
        raise ValueError(
            "build_model must make the same weights again after "
            "keras.utils.set_random_seed, so that the arms of a seed start equal. "
            f"Received: other weights in a second call with the seed {trial.seed}"
        )


def _unnamed(config: Any) -> Any:
    """A config without the names of objects, which may be numbered."""
    if isinstance(config, list | tuple):
        return [_unnamed(part) for part in config]
    if not isinstance(config, dict):
        return config
    return {name: _unnamed(part) for name, part in config.items() if name != "name"}


def _left_out(
    arm: str, optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> list[str]:
    """A warning if WGD, which goes by names, does not center what the layers say."""
    part = wgd_of(optimizer)
    if part is None or not part.goes_by_names:
        return []
    by_layer = {id(k.variable): k for k in kernels_within(model)[0]}
    wrong = []
    for index, variable in enumerate(model.trainable_variables):
        guess, kernel = guess_kernel(variable, index), by_layer.get(id(variable))
        if isinstance(guess, str) if kernel else not isinstance(guess, str):
            wrong.append(variable_path(variable))
    if not wrong:
        return []
    named = ", ".join(wrong[:3]) + (" ..." if len(wrong) > 3 else "")
    return [
        f"{arm} takes convolution kernels by their names, and the layers say otherwise "
        f"of {named}: build WGD with kernels=build_model(), and give its config, "
        "keras.optimizers.serialize(wgd)."
    ]


@functools.singledispatch
def _text(value: Any) -> str:
    """A text that is the same for equal values in another process."""
    text = _config(lambda: keras.saving.serialize_keras_object(value))
    if not text or isinstance(value, type):
        return source(value)
    own = own_code(value) if hasattr(value, "__dict__") else ""
    return f"{text} {digest(own)}" if own else text


@_text.register
def _(value: types.FunctionType) -> str:
    return source(value)


@_text.register(list)
@_text.register(tuple)
def _(value: Any) -> str:
    return f"[{', '.join(map(_text, value))}]"


@_text.register
def _(value: dict) -> str:
    return f"{{{', '.join(f'{name}: {_text(part)}' for name, part in value.items())}}}"


@_text.register
def _(value: keras.Model) -> str:
    own = map(own_code, value._flatten_layers())  # the model is the first of them
    text = " ".join([_config(value.get_config), *own])
    return f"{type(value).__name__} {digest(text)}"


def _config(get_config: Callable[[], Any]) -> str:
    """A config as text; empty if there is none, as for many classes of users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns about lambdas
        try:
            config = _without_places(get_config())
            return json.dumps(config, sort_keys=True, default=source)
        except Exception:
            return ""


def _without_places(config: Any) -> Any:
    """A config whose lambdas do not tell the file that they are written in."""
    if isinstance(config, list | tuple):
        return [_without_places(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "__lambda__":
        code = marshal.loads(base64.b64decode(config["config"]["code"]))
        return {**config, "config": {**config["config"], "code": code_text(code)}}
    return {name: _without_places(part) for name, part in config.items()}
