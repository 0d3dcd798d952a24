"""NumPy archives that may be damaged, or a stranger's."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from keras_wgd.files import printable

# As NumPy packs. Another way may ask for much memory before there is a byte.
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Bytes before the numbers of an array; NumPy reads no more of them either.
_MOST_HEADER = 2**14


def names(path: Path) -> list[str]:
    """The names of the arrays in an archive.

    Raises:
        ValueError: If it cannot be read. The message is the reason.
    """
    return _opened(
        path, lambda archive: [n.removesuffix(".npy") for n in archive.namelist()]
    )


def read(path: Path, wanted: Sequence[str], most: int) -> list[np.ndarray]:
    """Some arrays of an archive; nothing in it is run, and nothing else unpacked.

    Args:
        path: The `.npz` file.
        wanted: Their names.
        most: How many bytes they may have, all together. An archive that says it
            has more is refused, and it is held to what it says, so that no memory
            is taken for more.

    Returns:
        The arrays, in that order.

    Raises:
        KeyError: If one is not there.
        ValueError: If the archive cannot be read. The message is the reason.
    """
    return _opened(path, lambda archive: _arrays(archive, wanted, most))


def _opened(path, take):
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return take(archive)
    except KeyError:
        raise
    except Exception as error:  # by where in the file the damage is
        reason = str(error) or type(error).__name__
        raise ValueError(printable(reason)) from error


def _arrays(archive, wanted, most):
    members = []
    for name in wanted:
        try:
            members.append(archive.getinfo(f"{name}.npy"))
        except KeyError:
            raise KeyError(name) from None
    if any(member.compress_type not in _PACKED for member in members):
        raise ValueError("it is packed in another way than NumPy's")
    size = sum(member.file_size for member in members)
    if size > most + len(members) * _MOST_HEADER:
        raise ValueError(f"it unpacks to {size:,} bytes, of at most {most:,}")
    return [_array(archive, member) for member in members]


def _array(archive, member):
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = (
            npy.read_array_header_1_0
            if version == (1, 0)
            else npy.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
        left = member.file_size - file.tell()
    # NumPy takes memory for what the header says before it reads on.
    if math.prod(shape) * dtype.itemsize > left:
        raise ValueError("the header of an array says more than there is")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
