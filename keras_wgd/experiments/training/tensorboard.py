"""The curves of a run for TensorBoard."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from keras_wgd.files import DRAFT

if TYPE_CHECKING:
    # It imports Keras, which `check` does not need.
    from keras_wgd.experiments.training.checkpoint import Progress

FOLDER = "tensorboard"


def check() -> None:
    """Raise a ValueError if the package that writes the files is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "--tensorboard needs tensorboardX: pip install 'keras-wgd[tensorboard]'. "
            f"Received: {error}"
        ) from error


def write(folder: Path, progress: "Progress", since: int) -> None:
    """Write the curves from an epoch, counted from 1, to the last whole one.

    They replace earlier values of these epochs.

    Raises:
        ValueError: If a link is in the place of the folder of the curves.
    """
    from tensorboardX import SummaryWriter

    place = folder / FOLDER
    if place.is_symlink():
        raise ValueError(
            f"{FOLDER} must be a folder of the run's own. Received: {place}, a link"
        )
    place.mkdir(exist_ok=True)
    # In a new folder no link of a stranger can have the name of the file.
    with tempfile.TemporaryDirectory(dir=folder, prefix=DRAFT) as draft:
        with SummaryWriter(
            draft, purge_step=since, filename_suffix=f".{progress.epochs}"
        ) as writer:
            for step in range(since, progress.epochs + 1):
                scalars = progress.at(step - 1)
                scalars["seconds"] = progress.seconds[step - 1]
                if progress.norm_ratios:
                    scalars["norm_ratio"] = progress.norm_ratios[step - 1]
                for name, value in scalars.items():
                    writer.add_scalar(name.replace("_", "/", 1), value, step)
        for file in Path(draft).iterdir():
            file.replace(place / file.name)
