"""The networks and what each can take, for those who do without Keras."""

from typing import NamedTuple

STEMS = ("small",)


class Network(NamedTuple):
    """Where a network is built, and from what.

    Attributes:
        module: The module of `keras_wgd.tasks.models` with the builder of its name.
        least: The least height and width in pixels, for each stem that it can
            have; `None` is its own.
        needs: The modules that it needs besides those of keras_wgd.
    """

    module: str
    least: dict[str | None, int]
    needs: tuple[str, ...] = ()


# The residual networks halve an image until 1 by 1 is left of the least one.
MODELS = {
    "resnet8": Network("resnet", {None: 4}),
    "resnet18": Network("resnet", {None: 32, "small": 8}),
    "resnet20": Network("resnet", {None: 4}),
    "resnet50": Network("applications", {None: 32, "small": 32}),
    "densenet121": Network("applications", {None: 32, "small": 32}),
    "keras_cv_resnet18": Network(
        "keras_cv", {None: 32}, needs=("keras_cv", "tensorflow")
    ),
}
