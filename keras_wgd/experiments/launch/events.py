"""What happens to runs, and how an error of theirs is told."""

import errno
from typing import Any, Literal, NamedTuple

from keras_wgd.experiments.spec import RunSpec

FULL = (errno.ENOSPC, errno.EDQUOT)

# Of what an error says where memory ran out, in small letters.
_NO_MEMORY = (
    "memoryerror",
    "out of memory",
    "resource_exhausted",
    "resourceexhausted",
    "allocate memory",
    "bad_alloc",
)


class Event(NamedTuple):
    """Something that happened to a run.

    Attributes:
        kind: `"start"`, with the number of its process as `detail`; `"epoch"`,
            with the curves' last values; `"restore"`, the same for an epoch that an
            earlier process has trained; `"finish"`, with the `Result`; or `"fail"`,
            with the reason.
        spec: The run.
        detail: What belongs to the kind.
    """

    kind: Literal["start", "epoch", "restore", "finish", "fail"]
    spec: RunSpec
    detail: Any = None


def failure(spec: RunSpec, error: BaseException) -> Event:
    """The event of a run that has raised an error, unless it ends the study.

    Raises:
        OSError: If the disk is full.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        raise error
    return Event("fail", spec, in_words(error))


class Failed(Exception):
    """What a run has raised, in words: the error itself may not be sent whole."""


def in_words(error: BaseException) -> str:
    """An error in one line, for those to whom it cannot be sent whole."""
    if isinstance(error, Failed):
        return str(error)
    words = ": ".join(filter(None, (type(error).__name__, str(error))))
    return f"memory ran out ({words})" if is_lack_of_memory(error) else words


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or a backend says that there is no more."""
    words = f"{type(error).__name__}: {error}".lower()
    return any(sign in words for sign in _NO_MEMORY)
