"""How runs are made, apart from what they are."""

import dataclasses
from collections.abc import Callable

from keras_wgd.experiments.fields import field

# Takes the number of an epoch, from 1, the last value of each curve, and whether the
# epoch was trained by an earlier process.
OnEpoch = Callable[[int, dict[str, float], bool], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to make runs. None of it changes their results.

    Attributes:
        gpus: The GPUs that the processes of a study share, as `gpus.visible` names
            them; if empty, the backend chooses.
        task: The file with the task of trials, which this program has written.
    """

    data_dir: str | None = field(
        None,
        help="The folder with the files of the data set.",
        metavar="FOLDER",
        envvar="KERAS_WGD_DATA",
    )
    save_model: bool = field(False, help="Keep each trained model as model.keras.")
    tensorboard: bool = field(
        False, help="Keep the curves of each run for TensorBoard."
    )
    devices: int = field(
        1,
        help="Split each batch over this many GPUs or, without a GPU, cores; 1 by "
        "default.",
    )
    gpus: tuple[str, ...] = ()
    task: str | None = None
