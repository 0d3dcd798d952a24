"""How runs are made, beside what they are."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run needs besides its spec, and what it keeps besides its result.

    Attributes:
        data_dir: The folder with the data set's files.
        save_model: Keep the trained model in the run's folder, as `model.keras`.
        tensorboard: Keep the curves there for TensorBoard, too.
        devices: On how many devices a run is made; it is the same run.
    """

    data_dir: str | None = None
    save_model: bool = False
    tensorboard: bool = False
    devices: int = 1
