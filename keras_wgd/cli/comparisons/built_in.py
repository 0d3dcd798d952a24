"""The arguments of `compare` for a built-in task: images, a network, optimizers."""

import dataclasses
from pathlib import Path
from typing import Any, cast

from keras_wgd.choices import check_choice
from keras_wgd.experiments.fields import check_fields, described, field
from keras_wgd.optimizers.means import MEANS, PLACEMENTS, MeanOver, Placement
from keras_wgd.tasks.datasets.names import SIZES

EPOCHS = 10
_OPTIMIZER, _MEAN = "adam", "fan_in"

# The default of an option, for the help.
SHOWN = {
    "image_size": "that of the images",
    "train_size": "all",
    "test_size": "all",
    "optimizer": _OPTIMIZER,
    "mean_over": f"{_MEAN} for one optimizer, none for several",
    "placement": "gradient",
}


def _means(name: str, value: list[str]) -> None:
    for mean in value:
        check_choice(name, mean, MEANS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A task without a file, as the options of the command describe it."""

    images: str | None = field(
        None,
        metavar="FOLDER",
        help="Photos in a folder for each class, perhaps below train/ and val/; "
        "otherwise a fifth of each class is for validation.",
    )
    dataset: str | None = field(None, choices=SIZES, help="Or a data set.")
    data_dir: str | None = field(
        None,
        metavar="FOLDER",
        envvar="KERAS_WGD_DATA",
        help="The folder with the files of the data set.",
    )
    image_size: int | None = field(
        None,
        metavar="PIXELS",
        help="Height and width that images are resized to, in pixels.",
    )
    train_size: int | None = field(
        None, help="Training images to use, the classes in balance."
    )
    test_size: int | None = field(
        None, help="Validation images to use, the classes in balance."
    )
    model: str | None = field(
        None,
        help="A network of keras.applications in lower case, such as mobilenetv2 or "
        "efficientnetb0, or one of those of keras-wgd run. Its weights are new.",
    )
    weights: str | None = field(
        None,
        metavar="FILE.keras",
        help="A saved model, whose weights are the start of every run. It gets pixels "
        "from 0 to 255, or as the network of --model would. One that ends in feature "
        "maps gets a new dense layer.",
    )
    optimizer: list[str] | None = field(
        None,
        help="An optimizer of Keras in lower case, such as adam, adamw, sgd or lion, "
        "or radam; may be repeated.",
    )
    mean_over: list[str] | None = field(
        None,
        check=_means,
        help="Compare each optimizer with itself in WGD with this mean: one of "
        f"{', '.join(MEANS)}; may be repeated.",
    )
    placement: str | None = field(
        None, choices=PLACEMENTS, help="What WGD removes the mean from."
    )
    set: list[str] | None = field(
        None,
        metavar="NAME=VALUE",
        help="An argument of all optimizers, such as weight_decay=0.01, or of one, "
        "such as sgd.momentum=0.9; may be repeated.",
    )

    def __post_init__(self):
        check_fields(self)

    def options(self) -> list[str]:
        """The options that were given; the environment may give the data folder."""
        return [
            f"--{name.replace('_', '-')}"
            for name in described(type(self))
            if name != "data_dir" and getattr(self, name) is not None
        ]


def comparisons(task: BuiltIn) -> tuple[dict[str, Any], list[str], list[str]]:
    """The arguments of each comparison, by its name, and lines to print.

    The name is empty for the only one, and else that of its optimizer. The lines are a
    problem each, and a warning each, of the images.
    """
    from keras_wgd.environment import keras_defaults
    from keras_wgd.tasks import classification, datasets, optimizers
    from keras_wgd.tasks.datasets import folder

    if task.model is None and task.weights is None:
        raise ValueError(
            "--model must name a network, or --weights a saved model. Received: neither"
        )
    names = list(dict.fromkeys(task.optimizer or [_OPTIMIZER]))
    usual = [_MEAN] if len(names) == 1 else []
    means = cast("list[MeanOver]", list(dict.fromkeys(task.mean_over or usual)))
    # With means, there is a comparison for each of several optimizers.
    is_split = means and len(names) > 1
    groups = {name: [name] for name in names} if is_split else {"": names}
    placement = cast("Placement | None", task.placement)
    arms = {
        name: optimizers.arms(group, task.set or (), means, placement, names)
        for name, group in groups.items()
    }
    sizes = task.train_size, task.test_size
    if task.images is not None:
        data = folder.load(Path(task.images), task.image_size).subset(*sizes)
    else:
        assert task.dataset is not None
        data = datasets.load(task.dataset, task.data_dir, *sizes, task.image_size)
    with keras_defaults():
        arguments = classification.arguments(data, task.model, task.weights)
    arguments["epochs"] = EPOCHS
    found = {name: {**arguments, "optimizers": each} for name, each in arms.items()}
    return found, list(data.problems), list(data.warnings)
