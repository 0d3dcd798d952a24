"""The inner optimizer: what may be one, and how it is written to a file."""

import keras

from keras_wgd.optimizers.radam import RAdam


def get(identifier) -> keras.optimizers.Optimizer:
    """The optimizer that an object, a name or a config stands for.

    Args:
        identifier: A `keras.optimizers.Optimizer`, the name of one in upper or
            lower case, or its config.

    Returns:
        The optimizer.

    Raises:
        ValueError: If it stands for none, or for one that scales the loss.
    """
    optimizer = identifier
    if isinstance(identifier, str):
        named = _named().get(identifier.lower())
        optimizer = named() if named is not None else None
    if isinstance(identifier, dict):
        try:
            optimizer = keras.saving.deserialize_keras_object(identifier)
        except (ValueError, TypeError, KeyError):
            optimizer = None
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "inner_optimizer must not scale the loss: compile would scale it once "
            "more around it. Write LossScaleOptimizer(WGD(inner)) instead of "
            f"WGD(LossScaleOptimizer(inner)). Received: {optimizer.name!r}"
        )
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    raise ValueError(
        "inner_optimizer must be a Keras optimizer, its config, or one of the names "
        f"{', '.join(sorted(_named()))}. Received: {identifier!r}"
    )


def serialize(optimizer: keras.optimizers.Optimizer) -> dict:
    """The config of an optimizer, loadable under every backend."""
    config = keras.saving.serialize_keras_object(optimizer)
    # On torch Keras swaps its classes for faster ones and writes their module,
    # which the other backends cannot import.
    if config["module"].startswith("keras.src.backend."):
        config.update(module="keras.optimizers", registered_name=None)
    return config


def _named():
    """The optimizers that can be made from their name alone."""
    named = {
        name.lower(): value
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }
    for wrapper in ("optimizer", "lossscaleoptimizer", "multioptimizer"):
        named.pop(wrapper, None)
    return {**named, "radam": RAdam}
