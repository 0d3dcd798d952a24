"""Networks that others made: keras.applications, by name, and .keras files."""

import inspect
from pathlib import Path

import keras


def load(network: str) -> keras.Model:
    """A network of `keras.applications`, with random weights, or from a file.

    Args:
        network: A name, in upper or lower case, or the path of a `.keras` file.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no network of that name, or the file is absent
            or damaged.
    """
    if network.endswith(".keras"):
        return _read(Path(network))
    builders = {
        name.lower(): builder
        for name, builder in vars(keras.applications).items()
        if inspect.isfunction(builder)
    }
    if network.lower() not in builders:
        raise ValueError(
            "network must be a .keras file or one of "
            f"{', '.join(sorted(builders))}. Received: {network!r}"
        )
    return builders[network.lower()](weights=None)


def _read(path):
    if not path.is_file():
        raise ValueError(f"network must be a file that exists. Received: {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever a damaged file leads to
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"network must be a whole .keras file of layers that are known here. "
            f"Received: {path}: {reason}"
        ) from error
