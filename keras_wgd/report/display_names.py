"""The names of settings, optimizers and arms that people read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.experiments import optimizers
from keras_wgd.experiments.analysis.frames import SETTING
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.paper import published
from keras_wgd.tasks.datasets.names import SIZES

_TABLE_1 = {
    field.name: field.default
    for field in dataclasses.fields(RunSpec)
    if field.name in SETTING and field.default is not dataclasses.MISSING
}


def counted(number: int, noun: str) -> str:
    """A number of things, as "1 epoch" or "1,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# In the order of titles. The other fields follow, by their own names.
_WORDS = {
    "train_size": lambda number: counted(number, "training image"),
    "test_size": lambda number: counted(number, "test image"),
    "image_size": "{} px".format,
    "stem": "{} stem".format,
    "epochs": lambda number: counted(number, "epoch"),
    "batch_size": "batches of {}".format,
    "sampler": "{} sampler".format,
}


def title(setting: Mapping[str, Any]) -> str:
    """The name of a setting, with its table in the paper and its differences."""
    printed = published.table_of(setting["dataset"], setting["model"])
    number = f"Table {printed.number}: " if printed else ""
    return f"{number}{plain_title(setting)}"


def plain_title(setting: Mapping[str, Any]) -> str:
    """The name of a setting, with its differences from Table 1."""
    return f"{name(setting)}; {', '.join(differences(setting))}"


def name(setting: Mapping[str, Any]) -> str:
    """The network and the data set of a setting."""
    model, dataset = setting["model"], setting["dataset"]
    network = published.MODELS.get(model, model)
    return f"{network} on {published.DATASETS.get(dataset, dataset)}"


def distinct_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of different settings, with what they need to differ from each other.

    As "resnet8 on CIFAR-100 (10 epochs, on jax)".
    """
    found = []
    for setting in settings:
        alike = [differences(s) for s in settings if name(s) == name(setting)]
        ends = [
            words
            for words in differences(setting)
            if not all(words in other for other in alike)
        ]
        found.append(f"{name(setting)} ({', '.join(ends)})" if ends else name(setting))
    return found


def differences(setting: Mapping[str, Any]) -> list[str]:
    """The differences of a setting from Table 1, its backend and its settings.

    The size of images that is the data set's own is always named: settings with and
    without a size are different, even if the sizes are equal.
    """
    in_paper = setting["dataset"] in published.DATASETS
    usual = _TABLE_1 | ({"image_size": published.IMAGE_SIZE} if in_paper else {})
    found = [
        _words(field, setting[field])
        for field in dict.fromkeys([*_WORDS, *usual])
        if setting[field] not in (None, usual[field])
    ]
    if setting["image_size"] is None and in_paper:
        found.append(f"{SIZES[setting['dataset']]} px by default")
    found.append(f"on {setting['backend']}")
    return [*found, f"with {setting['settings']}"] if setting["settings"] else found


def block_name(row: Mapping[str, Any]) -> str:
    """An optimizer and its learning rate."""
    return f"{optimizers.of(row['optimizer']).label} {row['learning_rate']:g}"


def arm_name(arm: str) -> str:
    """An arm, as legends name it."""
    return arm if arm == "plain" else f"WGD {arm}"


def _words(field, value):
    if field in _WORDS:
        return _WORDS[field](value)
    text = value if isinstance(value, str) else f"{value:g}"
    return f"{field.replace('_', ' ')} {text}"
