"""Curves of a run for TensorBoard."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from keras_wgd.files import DRAFT

if TYPE_CHECKING:
    # It imports Keras, which whoever calls `check` does without.
    from keras_wgd.experiments.training.checkpoint import Progress

FOLDER = "tensorboard"


def check() -> None:
    """Raise a ValueError where the package that writes the files is absent."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "--tensorboard needs tensorboardX: pip install 'keras-wgd[tensorboard]'. "
            f"Received: {error}"
        ) from error


def write(folder: Path, progress: "Progress", since: int) -> None:
    """Add what epochs have measured.

    TensorBoard shows these in place of what it was given for them before.

    Args:
        folder: The folder of the run.
        progress: What it has measured.
        since: The first epoch to write, from 1; the last is the last one done.

    Raises:
        ValueError: If a link is in the place of the curves' folder.
    """
    from tensorboardX import SummaryWriter

    place = folder / FOLDER
    if place.is_symlink():
        raise ValueError(
            f"{FOLDER} must be a folder of the run's own. Received: {place}, a link"
        )
    place.mkdir(exist_ok=True)
    # In a folder of its own no link of a stranger's has the file's name, either.
    with tempfile.TemporaryDirectory(dir=folder, prefix=DRAFT) as draft:
        with SummaryWriter(
            draft, purge_step=since, filename_suffix=f".{progress.epochs}"
        ) as writer:
            for step in range(since, progress.epochs + 1):
                for name, value in _scalars(progress, step).items():
                    writer.add_scalar(name.replace("_", "/", 1), value, step)
        for file in Path(draft).iterdir():
            file.replace(place / file.name)


def _scalars(progress, step):
    scalars = progress.at(step - 1) | {"seconds": progress.seconds[step - 1]}
    if progress.norm_ratios:
        scalars["norm_ratio"] = progress.norm_ratios[step - 1]
    return scalars
