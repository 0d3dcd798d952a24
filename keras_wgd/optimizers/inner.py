"""The inner optimizer: what may be one, and how it is written to a file."""

from typing import Any

import keras

from keras_wgd.choices import did_you_mean
from keras_wgd.optimizers.radam import RAdam


def get(
    identifier: Any, custom_objects: dict[str, Any] | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer that an object, a name or a config stands for.

    Args:
        identifier: A `keras.optimizers.Optimizer`, the name of one in upper or
            lower case, or its config. One may come from a stranger's file:
            nothing is made of it that is no optimizer.
        custom_objects: Classes by their registered names, beside those that
            Keras knows.

    Returns:
        The optimizer.

    Raises:
        ValueError: If it stands for none, or for one that scales the loss.
    """
    optimizer, reason = identifier, ""
    try:
        if isinstance(identifier, str):
            optimizer = _named()[identifier.lower()]()
        elif isinstance(identifier, dict) and "module" in identifier:
            optimizer = _deserialize(identifier, custom_objects)
        elif isinstance(identifier, dict):
            made = _named()[identifier["class_name"].lower()]
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
    near = did_you_mean(identifier, _named()) if isinstance(identifier, str) else ""
    raise ValueError(
        "inner_optimizer must be a Keras optimizer, its config, or one of the names "
        f"{', '.join(sorted(_named()))}. Received: {identifier!r}{reason}{near}"
    )


def _deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None) -> Any:
    """As Keras does, where the class is an optimizer's: else it may do anything."""
    made = keras.saving.get_registered_object(
        config.get("registered_name"), custom_objects
    ) or vars(keras.optimizers).get(config["class_name"])
    if not (isinstance(made, type) and issubclass(made, keras.optimizers.Optimizer)):
        raise ValueError("no optimizer that is known here")
    if made in vars(keras.optimizers).values():  # whatever module is named
        config = {**config, "module": "keras.optimizers", "registered_name": None}
    return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


def serialize(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """The config of an optimizer, loadable under every backend."""
    return _portable(keras.saving.serialize_keras_object(optimizer))


def _portable(config: Any) -> Any:
    """A config without the modules of one backend, at any depth.

    On torch Keras swaps its classes for faster ones and writes their module,
    which the other backends cannot import.
    """
    if isinstance(config, list):
        return [_portable(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: _portable(value) for key, value in config.items()}
    if str(config.get("module")).startswith("keras.src.backend."):
        config.update(module="keras.optimizers", registered_name=None)
    return config


def _named() -> dict[str, type[keras.optimizers.Optimizer]]:
    """The optimizers that can be made from their name alone."""
    named = {
        name.lower(): value
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }
    for wrapper in ("optimizer", "lossscaleoptimizer", "multioptimizer"):
        named.pop(wrapper, None)
    return {**named, "radam": RAdam}
