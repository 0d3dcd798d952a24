"""The optimizers of runs, without Keras.

Those of the paper have an entry; any other of Keras goes by its lower-case name.
"""

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


def of(optimizer: str) -> StudyOptimizer:
    """The entry of an optimizer; one without takes no option of a run."""
    return OPTIMIZERS.get(optimizer, StudyOptimizer(optimizer, optimizer, ()))


def config(optimizer: str, learning_rate: float, **fields: Any) -> dict[str, Any]:
    """The config of an inner optimizer, as `WGD` takes it.

    Of the fields of a run, those that the optimizer does not take are ignored.
    """
    inner = of(optimizer)
    options = {name: fields[name] for name in inner.options}
    return {
        "class_name": inner.name,
        "config": {"learning_rate": learning_rate, **options},
    }
