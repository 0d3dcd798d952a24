"""How runs are made, beside what they are."""

import dataclasses
from collections.abc import Callable

# Takes the number of an epoch, from 1, the last value of each curve, and whether the
# epoch was trained by an earlier process.
OnEpoch = Callable[[int, dict[str, float], bool], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run needs besides its spec, and what it keeps besides its result.

    Attributes:
        data_dir: The folder with the data set's files.
        save_model: Keep the trained model in the run's folder, as `model.keras`.
        tensorboard: Keep the curves there for TensorBoard, too.
        devices: On how many devices a run is made; it is the same run.
        gpus: The GPUs among which the processes of a study are divided, as
            `gpus.visible` names them; if there are none, the backend chooses.
    """

    data_dir: str | None = None
    save_model: bool = False
    tensorboard: bool = False
    devices: int = 1
    gpus: tuple[str, ...] = ()
