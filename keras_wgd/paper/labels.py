"""What settings, optimizers and arms are called in tables and figures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.paper import published
from keras_wgd.tasks.datasets.names import SIZES

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(RunSpec)}


def title(setting: Mapping[str, Any]) -> str:
    """What a setting is called: the paper's table, and what differs from Table 1."""
    return f"{_number(setting)}{plain_title(setting)}"


def plain_title(setting: Mapping[str, Any]) -> str:
    """What a setting is called, without the paper's table."""
    return f"{name(setting)}; {', '.join(differences(setting))}"


def name(setting: Mapping[str, Any]) -> str:
    """The network and the data set of a setting."""
    model, dataset = setting["model"], setting["dataset"]
    network = published.MODELS.get(model, model)
    return f"{network} on {published.DATASETS.get(dataset, dataset)}"


def distinct_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of settings, with what tells them apart where it is needed.

    Args:
        settings: Each once.

    Returns:
        In their order, as "resnet8 on CIFAR-100 (10 epochs, on jax)".
    """
    found = []
    for setting in settings:
        likes = [differences(s) for s in settings if name(s) == name(setting)]
        ends = [
            words
            for words in differences(setting)
            if not all(words in like for like in likes)
        ]
        found.append(f"{name(setting)} ({', '.join(ends)})" if ends else name(setting))
    return found


def counted(number: int, noun: str) -> str:
    """A number of things, as "1 epoch" or "1,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def differences(setting: Mapping[str, Any]) -> list[str]:
    """What differs from Table 1 of the paper, in words; the backend; and its settings.

    A size of images that was left to the data set is told too, even where it is
    that of the paper: it tells two settings apart.
    """
    words = {
        "train_size": lambda number: counted(number, "training image"),
        "test_size": lambda number: counted(number, "test image"),
        "image_size": "{} px".format,
        "stem": "{} stem".format,
        "epochs": lambda number: counted(number, "epoch"),
        "batch_size": "batches of {}".format,
        "sampler": "{} sampler".format,
        "momentum": "momentum {:g}".format,
        "weight_decay": "weight decay {:g}".format,
        "epsilon": "epsilon {:g}".format,
    }
    in_paper = setting["dataset"] in published.DATASETS
    usual = _DEFAULTS | ({"image_size": published.IMAGE_SIZE} if in_paper else {})
    found = [
        say(setting[field])
        for field, say in words.items()
        if setting[field] not in (None, usual[field])
    ]
    if setting["image_size"] is None and in_paper:
        found.append(f"{SIZES[setting['dataset']]} px by default")
    found.append(f"on {setting['backend']}")
    return [*found, f"with {setting['settings']}"] if setting["settings"] else found


def block_name(row: Mapping[str, Any]) -> str:
    """An optimizer and its learning rate."""
    return f"{OPTIMIZERS[row['optimizer']].label} {row['learning_rate']:g}"


def arm_name(arm: str) -> str:
    """An arm as legends call it."""
    return arm if arm == "plain" else f"WGD {arm}"


def _number(setting):
    printed = published.table_of(setting["dataset"], setting["model"])
    return f"Table {printed.number}: " if printed else ""
