"""The task of a data set and a network, as the arguments of `compare`."""

from typing import Any

import keras

from keras_wgd.tasks.datasets import Dataset
from keras_wgd.tasks.models.classifiers import Classifier, from_logits


def arguments(
    data: Dataset, model: str | None = None, weights: str | None = None
) -> dict[str, Any]:
    """`build_model`, `train`, `validation`, `loss` and `metrics` of `compare`.

    `model` and `weights` are those of a `Classifier`. The images are in memory, as
    uint8; the test images are the validation data.
    """
    build_model = Classifier(
        data.image_shape, data.classes, data.mean, data.std, model, weights
    )
    logits = from_logits(build_model())  # an error is found before the images are read
    train, test = data.pixels()
    return {
        "build_model": build_model,
        "train": (train, data.y_train),
        "validation": (test, data.y_test),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=logits),
        "metrics": ["accuracy"],
    }
