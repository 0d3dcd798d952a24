"""`compare` with arguments that cannot be used: one line, and nothing is written."""

from pathlib import Path

import keras
import numpy as np
import pytest
from support.comparing import TRAIN, VALIDATION, adam, compared, sgd

pytestmark = pytest.mark.any_backend

X, Y = TRAIN
SHARED = adam()
REFUSED = {
    "build_model": ({"build_model": "model"}, "build_model must be a function"),
    "build_model with an argument": (
        {"build_model": lambda units: None},
        "build_model must be a function that does not fail. Received: TypeError",
    ),
    "no arms": ({"optimizers": [adam, sgd]}, "optimizers must be a dictionary"),
    "one arm": ({"optimizers": {"adam": adam}}, "two arms or more"),
    "name": ({"optimizers": {"a\n": adam, "b": sgd}}, "names that can be printed"),
    "object": (
        {"optimizers": {"a": SHARED, "b": sgd}},
        r"optimizers\['a'\] must be a function that returns a new optimizer",
    ),
    "misspelled": (
        {"optimizers": {"a": "adamm", "b": sgd}},
        r"optimizers\['a'\] must be .*Did you mean 'adam'",
    ),
    "no optimizer": (
        {"optimizers": {"a": lambda: 3, "b": sgd}},
        r"optimizers\['a'\] must be .* Received: int",
    ),
    "rate without a grid": (
        {"optimizers": {"a": lambda rate: adam(), "b": sgd}},
        r"optimizers\['a'\] must be a function without arguments, or have learning_r",
    ),
    "raises": (
        {"optimizers": {"a": lambda: 1 / 0, "b": sgd}},
        r"optimizers\['a'\] must be a function that does not fail. Received: Zero",
    ),
    "no validation": ({"validation": None}, "validation must be given for the mon"),
    "no data": ({"train": None}, "train must be .* Received: None"),
    "path": ({"train": "folder"}, "train must be data, not a path"),
    "one class": ({"train": (X, Y * 0)}, "y of train must have at least two classes"),
    "lengths": ({"train": (X, Y[:-1])}, "must have the same length"),
    "sizes": (
        {"train": ([np.zeros((4, 4)), np.zeros((5, 5))], np.arange(2))},
        "give all images one size",
    ),
    "validation sizes": ({"validation": (X[:0], Y[:0])}, "at least one sample"),
    "function": ({"train": lambda: TRAIN}, "train must be a function of one argument"),
    "generator": ({"train": iter([TRAIN])}, "train must not be a generator"),
    "endless": ({"train": lambda seed: iter([TRAIN])}, "needs steps_per_epoch"),
    "failing data": (
        {"train": lambda seed: 1 / 0},
        "train must be a function that does not fail. Received: Zero",
    ),
    "monitor": ({"monitor": "val_acuracy"}, "Did you mean 'val_accuracy'"),
    "no monitor": ({"monitor": None}, "monitor must be a text"),
    "mode": ({"mode": "best"}, "mode must be one of auto, min, max"),
    "auto": (
        {"metrics": [lambda y, p: p[:, 0]], "monitor": "val_lambda"},
        "mode must be 'min' or 'max'",
    ),
    "tail": ({"tail": 1.5}, "tail must be at least 0 and at most 1"),
    "tail nan": ({"tail": float("nan")}, "tail must be at least 0"),
    "tail text": ({"tail": "0.3"}, "tail must be a number"),
    "epochs": ({"epochs": 0}, "epochs must be a whole number"),
    "epochs float": ({"epochs": 2.0}, "epochs must be a whole number"),
    "batch_size": ({"batch_size": 0}, "batch_size must be a whole number"),
    "batch text": ({"batch_size": "16"}, "batch_size must be a whole number"),
    "seeds": ({"seeds": 1}, "seeds must be two or more"),
    "seeds repeat": ({"seeds": [1, 2, 1]}, "seeds must not repeat"),
    "seeds text": ({"seeds": "12"}, "seeds must be a whole number"),
    "seeds float": ({"seeds": [0.5, 1]}, "seeds must be a whole number"),
    "seeds negative": ({"seeds": [-1, 1]}, "seeds must be a whole number"),
    "seeds large": ({"seeds": [2**31, 1]}, "seeds must be a whole number"),
    "budget": ({"budget": "soon"}, "budget must be a time such as"),
    "budget zero": ({"budget": 0}, "budget must be a time such as"),
    "budget list": ({"budget": [1]}, "budget must be a time such as"),
    "margin": ({"margin": -1}, "margin must be at least 0"),
    "margin text": ({"margin": "1"}, "margin must be a number"),
    "margin nan": ({"margin": float("nan")}, "margin must be"),
    "sequential": ({"sequential": 1}, "sequential must be True or False"),
    "grids": ({"learning_rates": {"adam": [1]}}, "a list for each of adam, sgd"),
    "grid sizes": (
        {"learning_rates": {"adam": [1, 2], "sgd": [1]}},
        "as many rates for each arm",
    ),
    "grid repeats": (
        {"learning_rates": {"adam": [1, 1], "sgd": [1, 2]}},
        "as many rates for each arm",
    ),
    "grid number": ({"learning_rates": {"adam": 1, "sgd": 1}}, "must be a list"),
    "grid zero": ({"learning_rates": {"adam": [0], "sgd": [1]}}, "above 0"),
    "grid of a schedule": (
        {
            "optimizers": {
                "a": lambda: keras.optimizers.SGD(
                    keras.optimizers.schedules.CosineDecay(0.1, 10)
                ),
                "b": sgd,
            },
            "learning_rates": {"a": [1], "b": [1]},
        },
        r"optimizers\['a'\] must be a function of the learning rate",
    ),
    "grid of batches": (
        {
            "train": lambda seed: iter([TRAIN]),
            "steps_per_epoch": 1,
            "learning_rates": {"adam": [1], "sgd": [1]},
        },
        "Holding out a part of train needs arrays",
    ),
    "tuning_seeds": ({"tuning_seeds": 0}, "tuning_seeds must be a whole number"),
    "callbacks": (
        {"callbacks": [keras.callbacks.EarlyStopping()]},
        "callbacks must be a function",
    ),
    "callback": ({"callbacks": lambda: ["stop"]}, "a list of keras.callbacks.Callb"),
    "class_weight": ({"class_weight": [1, 2]}, "class_weight must be a dictionary"),
    "steps_per_epoch": ({"steps_per_epoch": 0}, "steps_per_epoch must be a whole"),
    "too many steps": ({"steps_per_epoch": 99}, "steps_per_epoch must be at most"),
    "validation_steps": ({"validation_steps": 1.5}, "validation_steps must be a whole"),
    "dtype_policy": ({"dtype_policy": "half"}, "dtype_policy must be one of Keras"),
    "dtype number": ({"dtype_policy": 16}, "dtype_policy must be one of Keras"),
    "jit_compile": ({"jit_compile": "yes"}, "jit_compile must be True or False"),
    "steps_per_execution": (
        {"steps_per_execution": 0},
        "steps_per_execution must be a whole number",
    ),
    "jobs": ({"jobs": 0}, "jobs must be a whole number"),
    "ray": ({"ray": 1}, "ray must be a text"),
    "ray address": ({"ray": "nowhere:1"}, "must be the address of a cluster"),
    "devices": ({"devices": 0}, "devices must be a whole number"),
    "devices and jobs": ({"devices": 2, "jobs": 2}, "devices must be 1"),
    "progress": ({"progress": "bar"}, "progress must be True, False or a Rich"),
    "loss": ({"loss": "cross"}, "loss.*cross|cross.*loss"),
    "metrics": ({"metrics": ["exactness"]}, "exactness"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    changes, message = REFUSED[name]
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=message) as error:
        compared(**{"out": out} | changes)
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", [3, b"", "", True])
def test_other_than_folders_are_refused(out):
    with pytest.raises(ValueError, match="out must be the path of a folder"):
        compared(out=out)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("kept")
    for out in (path, path / "deeper"):
        with pytest.raises(ValueError, match="out must be a folder"):
            compared(out=out)
    assert path.read_text() == "kept"


def test_a_mended_call_begins_anew_in_the_same_folder(tmp_path):
    """Whether the folder was there or not."""
    (tmp_path / "kept").write_text("mine")
    for out in (tmp_path, tmp_path / "new"):
        with pytest.raises(ValueError, match="monitor must be one of"):
            compared(out=out, monitor="val_acuracy")
        assert len(compared(out=out, epochs=1).runs) == 4
    assert (tmp_path / "kept").read_text() == "mine"


def test_a_folder_in_use_is_refused_and_kept(tmp_path):
    from keras_wgd.experiments.store import claim

    with (
        claim.alone(tmp_path),
        pytest.raises(ValueError, match="that no other study is using"),
    ):
        compared(out=tmp_path)
    assert Path(tmp_path).exists()
    assert len(compared(out=str(tmp_path), validation=VALIDATION).runs) == 4
