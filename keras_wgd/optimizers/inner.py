"""The inner optimizer: what may be one, what is inside it, and its config."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_wgd.choices import did_you_mean
from keras_wgd.optimizers.radam import RAdam


def get(
    identifier: Any, custom_objects: dict[str, Any] | None = None
) -> keras.optimizers.Optimizer:
    """Return the optimizer that an object, a name in any case, or a config stands for.

    A config may come from an untrusted file: only optimizers are made from it.
    `custom_objects` are classes by their registered names.
    """
    optimizer, reason = identifier, ""
    try:
        if isinstance(identifier, str):
            optimizer = named()[identifier.lower()]()
        elif isinstance(identifier, dict) and "module" in identifier:
            optimizer = _deserialize(identifier, custom_objects)
        elif isinstance(identifier, dict):
            made = named()[identifier["class_name"].lower()]
            optimizer = made.from_config(dict(identifier["config"]))
    except KeyError:
        optimizer = None
    except (AttributeError, TypeError, ValueError) as error:
        optimizer, reason = None, f" ({' '.join(str(error).split())})"
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "inner_optimizer must not scale the loss: compile would scale it once "
            "more around it. Write LossScaleOptimizer(WGD(inner)) instead of "
            f"WGD(LossScaleOptimizer(inner)). Received: {optimizer.name!r}"
        )
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    near = did_you_mean(identifier, named()) if isinstance(identifier, str) else ""
    raise ValueError(
        "inner_optimizer must be a Keras optimizer, its config, or one of the names "
        f"{', '.join(sorted(named()))}. Received: {identifier!r}{reason}{near}"
    )


def _deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None) -> Any:
    """Deserialize as Keras does, but classes of optimizers only.

    Making an object of any other class may have any effect.
    """
    made = keras.saving.get_registered_object(
        config.get("registered_name"), custom_objects
    ) or vars(keras.optimizers).get(config["class_name"])
    if not (isinstance(made, type) and issubclass(made, keras.optimizers.Optimizer)):
        raise ValueError("not an optimizer that is known here")
    if made in vars(keras.optimizers).values():  # whatever module the config names
        config = {**config, "module": "keras.optimizers", "registered_name": None}
    return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


def serialize(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return the config of an optimizer, which every backend can load."""
    return _portable(keras.saving.serialize_keras_object(optimizer))


def _portable(config: Any) -> Any:
    """A config without the modules of one backend, at any depth.

    On PyTorch Keras replaces its classes by faster ones and writes their module, which
    the other backends cannot import.
    """
    if isinstance(config, list):
        return [_portable(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: _portable(value) for key, value in config.items()}
    if str(config.get("module")).startswith("keras.src.backend."):
        config.update(module="keras.optimizers", registered_name=None)
    return config


def named() -> dict[str, type[keras.optimizers.Optimizer]]:
    """The optimizers that need nothing but their name."""
    named = {
        name.lower(): value
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }
    for wrapper in ("optimizer", "lossscaleoptimizer", "multioptimizer"):
        named.pop(wrapper, None)
    return {**named, "radam": RAdam}


def optimizers_within(
    optimizer: keras.optimizers.Optimizer,
) -> Iterator[keras.optimizers.Optimizer]:
    """Yield an optimizer and those in its attributes, at any depth, each once."""
    waiting: list[Any] = [optimizer]
    seen = set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, keras.optimizers.Optimizer):
            yield part
            waiting.extend(vars(part).values())
        elif isinstance(part, Mapping):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            waiting.extend(part)  # TensorFlow's wrapper of a tuple has no +
