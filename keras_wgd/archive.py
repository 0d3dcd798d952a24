"""NumPy archives that may be damaged or hostile."""

import contextlib
import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from keras_wgd.files import printable

# What NumPy writes. Other methods may allocate much memory before the first byte.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Bytes before the numbers of an array. NumPy reads no longer header either.
_MAX_HEADER = 2**14


def names(path: Path) -> list[str]:
    """The names of the arrays. The message of a ValueError is the reason."""
    with _open(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read(path: Path, names: Sequence[str], max_bytes: int) -> list[np.ndarray]:
    """Read arrays of an archive. Nothing is unpickled, and no other array is read.

    `max_bytes` limits their size together. It is checked before memory is allocated,
    and no more than the declared size is unpacked. The message of a ValueError is the
    reason; a KeyError has the name of a missing array.
    """
    with _open(path) as archive:
        members = []
        for name in names:
            try:
                members.append(archive.getinfo(f"{name}.npy"))
            except KeyError:
                raise KeyError(name) from None
        if any(member.compress_type not in _COMPRESSIONS for member in members):
            raise ValueError("it is not compressed as NumPy compresses")
        size = sum(member.file_size for member in members)
        if size > max_bytes + len(members) * _MAX_HEADER:
            raise ValueError(f"it unpacks to {size:,} bytes, of at most {max_bytes:,}")
        return [_array(archive, member) for member in members]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield archive
    except KeyError:
        raise
    except Exception as error:  # zipfile and NumPy raise many types on damage
        raise ValueError(printable(str(error) or type(error).__name__)) from error


def _array(archive, member):
    with archive.open(member) as file:
        old = npy.read_magic(file) == (1, 0)
        read_header = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        available = member.file_size - file.tell()
    # NumPy allocates what the header declares before it reads on.
    if math.prod(shape) * dtype.itemsize > available:
        raise ValueError("the header of an array declares more than there is")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
