"""Curves of a run for TensorBoard."""

from pathlib import Path

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


def write(folder: Path, progress: Progress) -> None:
    """Add what the last epoch has measured.

    Where an epoch is written twice, since the run was stopped in between,
    TensorBoard shows the second.

    Args:
        folder: The folder of the run.
        progress: What it has measured.
    """
    from tensorboardX import SummaryWriter

    step = progress.epochs
    scalars = {**progress.at(step - 1), "seconds": progress.seconds[-1]}
    if progress.norm_ratios:
        scalars["norm_ratio"] = progress.norm_ratios[-1]
    with SummaryWriter(
        str(folder / FOLDER), purge_step=step, filename_suffix=f".{step}"
    ) as writer:
        for name, value in scalars.items():
            writer.add_scalar(name.replace("_", "/", 1), value, step)
