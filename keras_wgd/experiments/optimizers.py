"""The optimizers of the study, without Keras: an entry makes another."""

from typing import Any, NamedTuple


class Inner(NamedTuple):
    """An optimizer that a run can have, alone or in `WGD`.

    Attributes:
        label: What tables and figures call it.
        name: What `WGD` knows it by.
        options: The fields of a run that it takes besides the learning rate.
    """

    label: str
    name: str
    options: tuple[str, ...]


OPTIMIZERS = {
    "sgdm": Inner("SGDM", "sgd", ("momentum",)),
    "adam": Inner("Adam", "adam", ("epsilon",)),
    "nadam": Inner("Nadam", "nadam", ("epsilon",)),
    "radam": Inner("RAdam", "radam", ("epsilon",)),
}


def config(optimizer: str, learning_rate: float, **fields: float) -> dict[str, Any]:
    """What `WGD` makes an optimizer from.

    Args:
        optimizer: A key of `OPTIMIZERS`.
        learning_rate: The learning rate.
        **fields: The fields of a run that optimizers take, by their names; those
            of other optimizers are left out.

    Returns:
        The config.
    """
    inner = OPTIMIZERS[optimizer]
    options = {name: fields[name] for name in inner.options}
    return {
        "class_name": inner.name,
        "config": {"learning_rate": learning_rate, **options},
    }
