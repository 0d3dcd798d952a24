"""NumPy archives that may be damaged, or a stranger's."""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# What NumPy raises, by where in the file the damage is.
_UNREADABLE = (
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def names(path: Path) -> list[str]:
    """The names of the arrays in an archive.

    Raises:
        ValueError: If it cannot be read.
    """
    return list(_load(path, lambda archive: archive.files))


def read(path: Path, wanted: Sequence[str]) -> list[np.ndarray]:
    """Some arrays of an archive; nothing in it is run.

    Args:
        path: The `.npz` file.
        wanted: Their names.

    Returns:
        The arrays, in that order.

    Raises:
        KeyError: If one is not there.
        ValueError: If the archive cannot be read. The message is the name of what
            NumPy has raised.
    """
    return _load(path, lambda archive: [archive[name] for name in wanted])


def _load(path, take):
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return take(archive)
    except _UNREADABLE as error:
        raise ValueError(type(error).__name__) from error
