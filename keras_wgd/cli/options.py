"""What the commands share: options, errors of the user, and the choice of a backend."""

import contextlib
import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_wgd import settings
from keras_wgd.choices import check_choice
from keras_wgd.settings import BACKENDS

PROGRAM = "keras-wgd"


class UserError(typer.TyperException):
    """An error in the command or its input: one line, exit code 2."""


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """A context in which errors are the user's to correct."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def program() -> str:
    """The start of a command for users to paste: as they have started this one."""
    started = Path(sys.argv[0])
    if started.parts[-2:] == ("keras_wgd", "__main__.py"):
        return f"{_short(sys.executable)} -m keras_wgd"
    return _short(started) if started.name == PROGRAM else PROGRAM


def _short(path):
    """A program without its folder, if a shell finds it by its name."""
    name = Path(path).name
    found = shutil.which(name)
    return name if found and os.path.abspath(path) == found else shlex.quote(str(path))


def folder(text: str) -> Path:
    """A folder's path. An empty one (an unset variable) is an error."""
    if not text:
        raise typer.BadParameter("must name a folder. Received: ''")
    return Path(text)


def folder_option(text: str, default: str | bool = False, **settings: Any) -> Any:
    """An option for a folder, with its help and the default to show."""
    return typer.Option(
        help=text, parser=folder, metavar="FOLDER", show_default=default, **settings
    )


def one_of(
    names: Collection[str], text: str = "One of {}.", *flags: str, **settings: Any
) -> Any:
    """An option whose values a shell can complete; `{}` in the text becomes them."""
    return typer.Option(
        *flags,
        help=text.format(", ".join(names)),
        autocompletion=lambda: list(names),
        **settings,
    )


Backend = Annotated[
    str | None,
    one_of(
        BACKENDS,
        "One of {}; by default that of KERAS_BACKEND or keras.json, or the only one "
        "installed.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


def choose_backend(name: str | None) -> str:
    """Set KERAS_BACKEND before Keras is imported here or in a worker, and return it.

    Without a name: that of KERAS_BACKEND, of this process or of keras.json, or the only
    backend that is installed, or Keras's default.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with user_errors():
        in_file = settings.backend_of_keras_json()
    keras = sys.modules.get("keras")
    imported = keras.backend.backend() if keras else None
    asked = name or os.environ.get("KERAS_BACKEND") or imported
    where = "" if asked else f" in {settings.keras_json()}"
    name = asked or (_only_choice() if in_file is None else in_file)
    with user_errors():
        check_choice(f"backend{where}", name, BACKENDS)
    if name not in installed_backends():
        raise UserError(
            f"backend must be installed: pip install 'keras-wgd[{name}]', or choose "
            f"another of {', '.join(BACKENDS)} with --backend. Received: {name!r}"
            f"{where}"
        )
    if imported not in (None, name):
        raise UserError(
            f"backend must be {imported}, with which Keras has been imported in this "
            f"process. Received: {name!r}"
        )
    os.environ["KERAS_BACKEND"] = name
    return name


def _only_choice() -> str:
    """The backend where the user has named none."""
    installed = installed_backends()
    if len(installed) == 1:
        print(
            f"keras-wgd: using {installed[0]}, the only backend installed "
            "(set KERAS_BACKEND to choose)",
            file=sys.stderr,
        )
        return installed[0]
    if settings.DEFAULT_BACKEND in installed:
        return settings.DEFAULT_BACKEND
    if not installed:
        raise UserError(
            "a backend must be installed: pip install 'keras-wgd[jax]', or another of "
            f"{', '.join(BACKENDS)}. Received: none"
        )
    raise UserError(
        f"choose a backend with --backend or KERAS_BACKEND: {' or '.join(installed)} "
        "is installed. Received: none"
    )


def installed_backends() -> list[str]:
    """The backends that can be imported, without importing them."""
    specs = {name: importlib.util.find_spec(name) for name in BACKENDS}
    # A folder of that name without a package in it has no origin.
    return [name for name, spec in specs.items() if spec and spec.origin]
