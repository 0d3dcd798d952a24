"""Classifiers as `compare` trains them: from pixels to a score for each class."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from keras_wgd.choices import check_choice
from keras_wgd.tasks import models
from keras_wgd.tasks.models import applications
from keras_wgd.tasks.models.names import MODELS


def names() -> tuple[str, ...]:
    """The networks: our own, and those of keras.applications by lower-case name."""
    return tuple(dict.fromkeys([*MODELS, *sorted(applications.builders())]))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A function that builds a network; every call returns a new one.

    The network takes pixels from 0 to 255. A network of keras.applications prepares
    them with the `preprocess_input` of its module, where one channel becomes three. Our
    own networks subtract `mean` and divide by `std`.

    A saved model takes the place of the network, with its weights. It gets the pixels
    as `model` would; without a `model` it gets them as they are. If it ends in feature
    maps, average pooling and a new dense layer follow.
    """

    image_shape: tuple[int, int, int]  # `(height, width, channels)`
    classes: int
    mean: tuple[float, ...]  # of each channel, in pixel values
    std: tuple[float, ...]
    model: str | None = None  # one of `names()`
    weights: str | None = None  # the path of a `.keras` file

    def __call__(self) -> keras.Model:
        """Build the network, not compiled."""
        inputs = keras.Input(self.image_shape, name="pixels")
        x = inputs if self.model is None else self._prepared(self.model, inputs)
        if self.weights is None:
            network = self._new(self.model, tuple(x.shape[1:]))
        else:
            network = self._saved(self.weights, tuple(x.shape[1:]))
        scores = network(x)
        if len(scores.shape) == 4:
            scores = layers.GlobalAveragePooling2D()(scores)
            scores = layers.Dense(self.classes, name="logits")(scores)
        return keras.Model(inputs, scores, name=network.name)

    def _prepared(self, name, pixels):
        check_choice("model", name, names())
        builder = applications.builders().get(name)
        if builder is None:
            scale = [1 / std for std in self.std]
            offset = [
                -mean / std for mean, std in zip(self.mean, self.std, strict=True)
            ]
            return layers.Rescaling(scale, offset)(pixels)
        if pixels.shape[-1] == 1:
            pixels = ops.repeat(pixels, 3, axis=-1)
        module: Any = inspect.getmodule(builder)
        return module.preprocess_input(pixels)

    def _new(self, name, shape):
        if name in MODELS:
            return models.build(name, shape, self.classes)
        builder = applications.builders()[name]
        try:
            return builder(
                weights=None,
                input_shape=shape,
                classes=self.classes,
                classifier_activation=None,
            )
        except ValueError as error:
            raise ValueError(
                f"--image-size must be a size that {name} can have. "
                f"Received: {shape[0]} ({' '.join(str(error).split())})"
            ) from error

    def _saved(self, path, shape):
        network = applications.read(Path(path), "weights")
        where = f"Received: {path}, with"
        if len(network.inputs) != 1 or len(network.outputs) != 1:
            raise ValueError(
                f"weights must be a model of one input and one output. {where} "
                f"{len(network.inputs)} and {len(network.outputs)}"
            )
        wanted, given = network.inputs[0].shape[1:], shape
        if len(wanted) != len(given) or any(
            a not in (None, b) for a, b in zip(wanted, given, strict=True)
        ):
            raise ValueError(
                f"weights must be a model for images of {_as_text(shape)}, or another "
                f"--image-size is needed. {where} an input of {_as_text(wanted)}"
            )
        output = network.outputs[0].shape[1:]
        if len(output) != 3 and output != (self.classes,):
            raise ValueError(
                f"weights must be a model with {self.classes} outputs, or with feature "
                f"maps as of include_top=False. {where} outputs of {_as_text(output)}"
            )
        return network


def from_logits(model: keras.Model) -> bool:
    """Whether the scores of a model are logits: its last operation is no softmax."""
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model):
        return from_logits(last)
    activation = getattr(last, "activation", None)
    return type(last).__name__ != "Softmax" and activation is not _SOFTMAX


_SOFTMAX = keras.activations.softmax


def _as_text(shape):
    return " by ".join(map(str, shape))
