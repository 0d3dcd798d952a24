"""Curves of a run for TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # It imports Keras, which whoever calls `check` does without.
    from keras_wgd.study.checkpoint import Progress

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
    """
    from tensorboardX import SummaryWriter

    with SummaryWriter(
        str(folder / FOLDER), purge_step=since, filename_suffix=f".{progress.epochs}"
    ) as writer:
        for step in range(since, progress.epochs + 1):
            scalars = progress.at(step - 1) | {"seconds": progress.seconds[step - 1]}
            if progress.norm_ratios:
                scalars["norm_ratio"] = progress.norm_ratios[step - 1]
            for name, value in scalars.items():
                writer.add_scalar(name.replace("_", "/", 1), value, step)
