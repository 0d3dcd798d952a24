"""What the commands share: options, and how a mistake is told."""

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
from keras_wgd.tasks.datasets.names import SAMPLERS
from keras_wgd.tasks.models.names import STEMS

PROGRAM = "keras-wgd"


class UserError(typer.TyperException):
    """A mistake in the command or its input: one line, exit code 2."""


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Where what goes wrong is the user's to mend."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def program() -> str:
    """What starts this command line, for commands to paste."""
    started = Path(sys.argv[0])
    if started.parts[-2:] == ("keras_wgd", "__main__.py"):
        return f"{_short(sys.executable)} -m keras_wgd"
    return _short(started) if started.name == PROGRAM else PROGRAM


def _short(path):
    """A program without its folder, if a shell finds it all the same."""
    name = Path(path).name
    found = shutil.which(name)
    return name if found and os.path.abspath(path) == found else shlex.quote(str(path))


def folder(text: str) -> Path:
    """A folder's path; an empty one (an unset variable) is not the current folder."""
    if not text:
        raise typer.BadParameter("must name a folder. Received: ''")
    return Path(text)


def text_of(path: Path | None) -> str | None:
    """The path as text, if there is one."""
    return None if path is None else str(path)


def choose_backend(name: str | None) -> str:
    """Settle the backend, before Keras is imported here or in a worker.

    Args:
        name: The backend that the user asks for, or `None` for what KERAS_BACKEND,
            or else keras.json says, or else the only one that is installed, or else
            Keras's own choice.

    Returns:
        Its name.

    Raises:
        UserError: If it is no backend, or is not installed, or there is no choice, or
            Keras's settings are such that it cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with user_errors():
        chosen = settings.backend_of_keras_json()
    keras = sys.modules.get("keras")
    there = keras.backend.backend() if keras else None
    asked = name or os.environ.get("KERAS_BACKEND") or there
    where = "" if asked else f" in {settings.keras_json()}"
    name = asked or (_only_choice() if chosen is None else chosen)
    with user_errors():
        check_choice(f"backend{where}", name, BACKENDS)
    if name not in installed_backends():
        raise UserError(
            f"backend must be installed: pip install 'keras-wgd[{name}]', or choose "
            f"another of {', '.join(BACKENDS)} with --backend. Received: {name!r}"
            f"{where}"
        )
    if there not in (None, name):
        raise UserError(
            f"backend must be {there}, with which Keras has been imported in this "
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
    # A folder of that name, with no package in it, has no origin.
    return [name for name, spec in specs.items() if spec and spec.origin]


def one_of(names: Collection[str], text: str = "One of {}.", **settings: Any) -> Any:
    """An option whose values a shell can complete.

    Args:
        names: The values.
        text: Its help; `{}` in it becomes the names.
        **settings: What `typer.Option` takes besides.
    """
    return typer.Option(
        help=text.format(", ".join(names)),
        autocompletion=lambda: list(names),
        **settings,
    )


Backend = Annotated[
    str | None,
    one_of(
        BACKENDS,
        "One of {}; by default what KERAS_BACKEND or keras.json says, or the only one "
        "installed.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="The folder with the data set's files.",
        envvar="KERAS_WGD_DATA",
        show_default=False,
        parser=folder,
        metavar="FOLDER",
    ),
]


def field(text: str, metavar: str | None = None, names: Collection[str] = ()) -> Any:
    """An option for a field of a run; it is `None` where it is not given."""
    return one_of(
        names, text, show_default=False, rich_help_panel="Runs", metavar=metavar
    )


# Fields of a run that `run` and `study` can set; `help` tells their defaults.
Epochs = Annotated[int | None, field("Passes over the images.")]
BatchSize = Annotated[int | None, field("Images in a step.")]
LearningRate = Annotated[
    float | None, field("The learning rate of every optimizer; it stays constant.")
]
Momentum = Annotated[float | None, field("Of sgdm alone.")]
WeightDecay = Annotated[float | None, field("L2 on every weight, as torch applies it.")]
Epsilon = Annotated[float | None, field("Of all but sgdm.")]
Sampler = Annotated[
    str | None,
    field("weighted, every class as often as any other; or shuffled.", names=SAMPLERS),
]
ImageSize = Annotated[
    int | None, field("Resize images to this height and width.", "PIXELS")
]
Stem = Annotated[
    str | None, field("small: a first layer for small images.", names=STEMS)
]
TrainSize = Annotated[
    int | None, field("Training images to use, the classes in balance.")
]
TestSize = Annotated[int | None, field("Test images to use, likewise.")]

SaveModel = Annotated[
    bool, typer.Option("--save-model", help="Keep each trained model, as model.keras.")
]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Keep each run's curves for TensorBoard.")
]
Devices = Annotated[
    int,
    typer.Option(
        help="Split each batch among so many GPUs or, where there is none, cores.",
    ),
]


def given(**fields: Any) -> dict[str, Any]:
    """The fields that the user has set."""
    return {name: value for name, value in fields.items() if value is not None}
