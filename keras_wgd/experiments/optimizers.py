"""The optimizers of runs, without Keras. A new optimizer is a new entry."""

from typing import Any, NamedTuple


class StudyOptimizer(NamedTuple):
    """An optimizer for a run, alone or in `WGD`.

    Attributes:
        label: The name in tables and figures.
        name: The name for `WGD`.
        options: The fields of a run that it takes besides the learning rate.
    """

    label: str
    name: str
    options: tuple[str, ...]


OPTIMIZERS = {
    "sgdm": StudyOptimizer("SGDM", "sgd", ("momentum",)),
    "adam": StudyOptimizer("Adam", "adam", ("epsilon",)),
    "nadam": StudyOptimizer("Nadam", "nadam", ("epsilon",)),
    "radam": StudyOptimizer("RAdam", "radam", ("epsilon",)),
}


def config(optimizer: str, learning_rate: float, **fields: Any) -> dict[str, Any]:
    """The config of an inner optimizer, as `WGD` takes it.

    Args:
        optimizer: A key of `OPTIMIZERS`.
        learning_rate: The learning rate.
        **fields: Fields of a run; those that the optimizer does not take are ignored.
    """
    inner = OPTIMIZERS[optimizer]
    options = {name: fields[name] for name in inner.options}
    return {
        "class_name": inner.name,
        "config": {"learning_rate": learning_rate, **options},
    }
