"""A script with a comparison, as a user writes it: no functions of a module.

Its arguments: the folder, then keyword arguments of `compare` in JSON. It prints
"epoch" for each epoch that it trains, and writes the curves into `curves.json`.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from keras_wgd import compare
from keras_wgd.experiments.training import checkpoint

out, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
units, dropout = changes.pop("units", 8), changes.pop("dropout", 0.2)
random = np.random.default_rng(0)
y = np.arange(64) % 4
x = (random.normal(size=(4, 6))[y] + random.normal(size=(64, 6))).astype("float32")


def build_model():
    hidden = keras.layers.Dense(units, activation="relu")
    layers = [hidden, keras.layers.Dropout(dropout), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((6,)), *layers])


class Progress:
    """Prints an epoch from outside of `fit`, since callbacks would hinder resuming."""

    def __init__(self, save):
        self.save = save

    def __call__(self, *arguments):
        self.save(*arguments)
        print("epoch", flush=True)


checkpoint.save = Progress(checkpoint.save)

comparison = compare(
    build_model,
    {
        "adam": lambda: keras.optimizers.Adam(0.01),
        "lion": lambda rate=0.001: keras.optimizers.Lion(rate),
    },
    train=(x, y),
    validation=(x, y),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    batch_size=16,
    out=out,
    progress=False,
    **changes,
)
epochs = comparison.epochs.drop("seconds")
(out / "curves.json").write_text(json.dumps(epochs.rows(), default=str))
print("stopped", comparison.stopped, flush=True)
