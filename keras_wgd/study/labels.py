"""What settings, optimizers and arms are called in tables and figures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_wgd.study import paper
from keras_wgd.study.spec import RunSpec

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
    return f"{paper.MODELS.get(model, model)} on {paper.DATASETS.get(dataset, dataset)}"


def differences(setting: Mapping[str, Any]) -> list[str]:
    """What differs from Table 1 of the paper, in words; and the backend."""
    words = {
        "train_size": "{:,} training images",
        "test_size": "{:,} test images",
        "image_size": "{} px",
        "stem": "{} stem",
        "epochs": "{} epochs",
        "batch_size": "batches of {}",
        "sampler": "{} sampler",
        "momentum": "momentum {:g}",
        "weight_decay": "weight decay {:g}",
        "epsilon": "epsilon {:g}",
    }
    found = [
        form.format(setting[field])
        for field, form in words.items()
        if setting[field] not in (None, _DEFAULTS[field])
        and (field, setting[field]) != ("image_size", paper.IMAGE_SIZE)
    ]
    if setting["image_size"] is None and setting["dataset"] in paper.DATASETS:
        found.append("images in their own size")
    return [*found, f"on {setting['backend']}"]


def block_name(row: Mapping[str, Any]) -> str:
    """An optimizer and its learning rate."""
    return f"{paper.OPTIMIZERS[row['optimizer']]} {row['learning_rate']:g}"


def arm_name(arm: str) -> str:
    """An arm as legends call it."""
    return arm if arm == "plain" else f"WGD {arm}"


def _number(setting):
    printed = paper.table_of(setting["dataset"], setting["model"])
    return f"Table {printed.number}: " if printed else ""
