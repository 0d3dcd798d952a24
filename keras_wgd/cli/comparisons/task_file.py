"""A Python file that defines the arguments of `compare` by their names."""

import difflib
import signal
import sys
import traceback
import types
from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any

# The similarity of a name that is taken for a misspelling: that of "epoch" and
# "epochs" is 0.91, that of "x_train" and "train" 0.83.
_NEAR = 0.88


def read(path: Path, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Run a file, and return what it defines of the parameters, by name.

    Other names are ignored, but for a near miss of a parameter that is not defined.
    What the file prints goes to standard error.
    """
    names = _run(path)
    found = {name: value for name, value in names.items() if name in parameters}
    missing = [name for name in parameters if name not in found]
    for name in names:
        near = difflib.get_close_matches(name.lower(), missing, 1, _NEAR)
        if name not in found and near:
            raise ValueError(
                f"{path} must define compare's arguments by their names. "
                f"Received: {name!r}. Did you mean {near[0]!r}?"
            )
    required = [n for n in missing if parameters[n].default is Parameter.empty]
    if required:
        raise ValueError(
            f"{path} must define {', '.join(required)}. "
            f"Received: {', '.join(found) or 'no argument of compare'}"
        )
    return found


def _run(path: Path) -> dict[str, Any]:
    """The public names of a file, without the modules that it imports."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"task must be a Python file. Received: {path} ({error.strerror})"
        ) from error
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    # The file may import others in its folder, also later and in other processes.
    sys.path.insert(0, str(path.parent.resolve()))
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses look for their module there
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM:
            raise  # not from the user's code
        raise ValueError(
            f"task must be a Python file that runs. Received: {_place(path, error)}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    finally:
        # Functions of a module that is not there travel to other processes whole.
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }


def _place(path: Path, error: BaseException) -> str:
    """The file and the last line of it that took part in an error."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    if isinstance(error, SyntaxError):
        lines.append(error.lineno)
    return f"{path}, line {lines[-1]}" if lines else str(path)
