"""The built-in networks. Importing this module loads no Keras."""

import dataclasses
from collections.abc import Mapping
from typing import Any

STEMS = ("small",)


@dataclasses.dataclass(frozen=True)
class Network:
    """How a network is built."""

    builder: str  # "module.function" in `keras_wgd.tasks.models`
    # The smallest height and width in pixels by the stems that the network can have;
    # `None` is its own.
    min_sizes: Mapping[str | None, int]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    packages: tuple[str, ...] = ()  # besides the dependencies of keras_wgd


MODELS = {
    "resnet8": Network("resnet.cifar_resnet", {None: 4}, {"blocks": 1}),
    "resnet8_gn": Network("resnet.cifar_resnet", {None: 4}, {"blocks": 1, "groups": 8}),
    "resnet18": Network("resnet.resnet18", {None: 32, "small": 8}),
    "resnet20": Network("resnet.cifar_resnet", {None: 4}, {"blocks": 3}),
    "resnet20_gn": Network(
        "resnet.cifar_resnet", {None: 4}, {"blocks": 3, "groups": 8}
    ),
    "resnet50": Network(
        "applications.build", {None: 32, "small": 32}, {"application": "ResNet50"}
    ),
    "densenet121": Network(
        "applications.build", {None: 32, "small": 32}, {"application": "DenseNet121"}
    ),
    "keras_cv_resnet18": Network(
        "keras_cv.resnet18", {None: 32}, packages=("keras_cv", "tensorflow")
    ),
}
