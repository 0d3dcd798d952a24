"""What a task is, as text: two tasks with other texts are other tasks."""

import base64
import functools
import hashlib
import inspect
import json
import marshal
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_wgd.experiments.training.custom import build
from keras_wgd.experiments.training.custom.data import Data
from keras_wgd.experiments.training.custom.fresh import digest_of, is_built
from keras_wgd.experiments.training.custom.task import CustomTask
from keras_wgd.experiments.trial import Trial
from keras_wgd.optimizers import inner


def fingerprint(
    task: CustomTask, trials: Sequence[Trial], data: Data
) -> dict[str, str]:
    """Build model and optimizers, and describe them and the data.

    Args:
        task: The task, in whose scope this is called.
        trials: A trial of each arm, all of one seed.
        data: The data of the first trial.

    Returns:
        By name, what decides the results of trials besides arm and seed.

    Raises:
        ValueError: If something cannot be built, or is not the same again for the same
            seed.
    """
    trial = trials[0]
    digest = _data_digest(task, trial, data)
    build.new_callbacks(task.callbacks)
    optimizers = {f"optimizers[{t.arm!r}]": _optimizer(task, t) for t in trials}
    model = build.new_model(task.build_model, trial.seed)
    weights = digest_of(model) if is_built(model, data) else ""
    described = _text(model)
    del model
    _check_weights(task, trial, data, weights)
    return {
        "backend": keras.backend.backend(),
        "dtype_policy": task.dtype_policy,
        "floatx": task.floatx,
        **optimizers,
        "data": digest,
        "batch_size": str(task.batch_size),
        "steps_per_epoch": str(task.steps_per_epoch),
        "epochs": str(trial.epochs),
        **{name: _text(value) for name, value in task.compile.items()},
        **{name: _text(value) for name, value in task.fit.items()},
        "callbacks": _text(task.callbacks),
        "model": described,
        "initial weights": weights,
    }


def _data_digest(task: CustomTask, trial: Trial, data: Data) -> str:
    digest = data.digest()
    if callable(task.train) or callable(task.validation):
        again = task.data(trial).digest()
        if again != digest:
            raise ValueError(
                "train and validation must be functions of the seed alone, so that the "
                "arms of a seed see the same data. Received: other data in a second "
                f"call with the seed {trial.seed}"
            )
    return digest


def _optimizer(task: CustomTask, trial: Trial) -> str:
    arm, made_by = trial.arm, task.optimizers[trial.arm]
    made, other = (
        build.new_optimizer(arm, made_by, trial.learning_rate) for _ in range(2)
    )
    if made is other:
        raise ValueError(
            f"optimizers[{arm!r}] must make a new optimizer in each call. "
            f"Received: {made.name}, the same in two calls"
        )
    return _text(inner.serialize(made))


def _check_weights(task: CustomTask, trial: Trial, data: Data, weights: str) -> None:
    """Check that a seed gives the same weights again."""
    if not weights:
        return
    keras.utils.clear_session()  # frees the first model
    keras.config.set_dtype_policy(task.dtype_policy)
    model = build.new_model(task.build_model, trial.seed)
    if is_built(model, data) and digest_of(model) != weights:
        raise ValueError(
            "build_model must make the same weights again after "
            "keras.utils.set_random_seed, so that the arms of a seed start equal. "
            f"Received: other weights in a second call with the seed {trial.seed}"
        )


@functools.singledispatch
def _text(value: Any) -> str:
    """A text that is the same for equal values in another process."""
    return _config(lambda: keras.saving.serialize_keras_object(value)) or _source(value)


@_text.register
def _(value: types.FunctionType) -> str:
    return _source(value)


@_text.register(list)
@_text.register(tuple)
def _(value: Any) -> str:
    return f"[{', '.join(map(_text, value))}]"


@_text.register
def _(value: dict) -> str:
    return f"{{{', '.join(f'{name}: {_text(part)}' for name, part in value.items())}}}"


@_text.register
def _(value: keras.Model) -> str:
    text = f"{_config(value.get_config)} {_source(value)}"
    return f"{type(value).__name__} {_digest(text)}"


def _config(get_config: Callable[[], Any]) -> str:
    """A config as text; empty if there is none, as for many classes of users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns about lambdas
        try:
            config = _without_places(get_config())
            return json.dumps(config, sort_keys=True, default=_source)
        except Exception:
            return ""


def _source(value: Any) -> str:
    """What a function or class does, or else the type of a value."""
    if isinstance(value, functools.partial):
        parts = (_source(value.func), *map(_text, (value.args, value.keywords)))
        return f"partial {_digest(' '.join(parts))}"
    if isinstance(value, types.MethodType):
        return _source(value.__func__)
    if isinstance(value, types.FunctionType):
        return f"{value.__name__} {_digest(_function(value))}"
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__.partition(".")[0] in ("keras", "builtins"):
        return kind.__qualname__
    try:
        text = inspect.getsource(kind)
    except (OSError, TypeError):  # a class of a notebook, for example
        methods = filter(
            lambda v: isinstance(v, types.FunctionType), vars(kind).values()
        )
        text = " ".join(map(_function, methods))
    return f"{kind.__qualname__} {_digest(text)}"


def _function(function: types.FunctionType, seen: tuple[Any, ...] = ()) -> str:
    """The code, and the values that it was made with, wherever it is written."""
    inside = [function.__defaults__, *(function.__kwdefaults__ or {}).items()]
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        if isinstance(value, types.FunctionType):
            value = "" if value in seen else _function(value, (*seen, function))
        inside.append(value)
    # Lists and the like may be what the function writes into.
    fixed = (str, int, float, tuple, type(None))
    values = [_text(v) if isinstance(v, fixed) else _source(v) for v in inside]
    return " ".join([_code(function.__code__), *values])


def _code(code: types.CodeType) -> str:
    constants = map(_constant, code.co_consts)
    return " ".join([code.co_code.hex(), *code.co_names, *constants])


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # its order differs between processes
        return repr(sorted(map(repr, value)))
    return repr(value)


def _without_places(config: Any) -> Any:
    """A config whose lambdas do not tell the file that they are written in."""
    if isinstance(config, list | tuple):
        return [_without_places(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "__lambda__":
        code = marshal.loads(base64.b64decode(config["config"]["code"]))
        return {**config, "config": {**config["config"], "code": _code(code)}}
    return {name: _without_places(part) for name, part in config.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
