"""What happens to runs, and the text of their errors."""

import errno
from typing import Any, Literal, NamedTuple

from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.trial import Trial

FULL = (errno.ENOSPC, errno.EDQUOT)

# In the errors of Python, NumPy and the backends when there is no more memory.
_OUT_OF_MEMORY = (
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
        kind: `"start"`, with the process id as `detail`; `"epoch"`, with the last
            values of the curves; `"restore"`, the same for an epoch that an earlier
            process has trained; `"finish"`, with the `Result`; `"fail"`, with the
            reason; or `"pair"`, with the `TrialAnalysis`, when further pairs are whole.
        spec: The run.
        detail: As the kind says.
        error: That of a failed run of this process.
    """

    kind: Literal["start", "epoch", "restore", "finish", "fail", "pair"]
    spec: Any  # a RunSpec or a Trial
    detail: Any = None
    error: BaseException | None = None


class Failed(Exception):
    """The text of an error of a run, because the error itself may not be sent."""


def failure(spec: RunSpec | Trial, error: BaseException) -> Event:
    """The event of a run that has raised an error.

    Raises:
        OSError: If the disk is full, which ends the study.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        raise error
    return Event("fail", spec, format_error(error))


def format_error(error: BaseException) -> str:
    """The type and the message of an error."""
    if isinstance(error, Failed):
        return str(error)
    text = ": ".join(filter(None, (type(error).__name__, str(error))))
    return f"memory ran out ({text})" if is_out_of_memory(error) else text


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or a backend says that memory ran out."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)
