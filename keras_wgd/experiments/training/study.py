"""A run of a study: built-in data and networks, and the paper's metrics."""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_wgd.environment import keras_defaults
from keras_wgd.experiments import metrics
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.training.build import build_model, build_optimizer
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.experiments.training.task import Record
from keras_wgd.tasks.datasets import Dataset

# The maximum of images in a test batch, and of numbers in them. Batches are larger
# than in training because evaluation needs no gradients.
_TEST_BATCH, _TEST_NUMBERS = 1000, 2**25


@dataclasses.dataclass(frozen=True)
class StudyTask:
    """Training on a data set of the sizes in the run's spec."""

    data: Dataset

    def scope(self):
        """Keras's default settings, whatever those of the user."""
        return keras_defaults()

    def start(self, run: RunSpec, devices: OneDevice) -> "StudyTraining":
        """Build network and optimizer.

        Raises:
            RuntimeError: If WGD would center nothing.
        """
        return StudyTraining(run, self.data, devices)


class StudyTraining:
    """A `task.Training`, which resumes from any epoch."""

    resumable = True

    def __init__(self, spec: RunSpec, data: Dataset, devices: OneDevice):
        self._spec, self._data, self._devices = spec, data, devices
        with devices.scope():
            model = build_model(spec, data)
            optimizer = build_optimizer(spec, model)
            self._replicas = devices.spread(model)
            self._loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self._replicas.compile(
                optimizer,
                loss=self._loss,
                # Keras's own loss includes the L2 of the weights.
                metrics=[
                    keras.metrics.SparseCategoricalCrossentropy(
                        "loss_alone", from_logits=True
                    ),
                    keras.metrics.SparseCategoricalAccuracy("accuracy"),
                ],
            )
            optimizer.build(model.trainable_variables)
            wrapped = spec.mean_over is not None
            self._norms = optimizer.record_norms(residual=False) if wrapped else None
        self.centered = len(optimizer.whitened_variables) if wrapped else 0
        if wrapped and not self.centered:
            raise RuntimeError(
                f"{spec.model} has no kernel to center: {spec.id} is plain"
            )
        self._model, self._optimizer = model, optimizer
        self.variables: Sequence[Any] = [*model.variables, *optimizer.variables]
        numbers = math.prod(data.image_shape)
        batch_size = max(1, min(_TEST_BATCH, _TEST_NUMBERS // numbers))
        self._test = data.evaluation(batch_size, devices.count)
        self._logits: Any = None

    def fit(self, first: int, record: Record) -> None:
        """Train on the epochs of the data set; evaluate after each."""
        spec, devices = self._spec, self._devices
        for epoch in range(first, spec.epochs):
            batches = self._data.epoch(
                spec.seed,
                epoch,
                spec.batch_size,
                spec.sampler,
                devices.rank,
                devices.ranks,
            )
            start = time.perf_counter()
            history = self._replicas.fit(**batches, verbose=0).history
            seconds = time.perf_counter() - start
            self._logits = self._predict()
            scores = self._scores()
            measured = {
                "train_loss": devices.mean(history["loss_alone"][0]),
                "train_accuracy": devices.mean(history["accuracy"][0]),
                "test_loss": scores["loss"],
                "test_accuracy": scores["accuracy"],
            }
            ratio = None if self._norms is None else self._norms.take().overall
            record(measured, seconds, ratio)

    def _predict(self):
        # Where devices share the images, some images come a second time.
        logits = self._replicas.predict(**self._test, verbose=0)
        return logits[: len(self._data.y_test)]

    def _scores(self):
        return metrics.classification_metrics(self._data.y_test, self._logits)

    def measurements(self) -> dict[str, Any]:
        """The paper's metrics on the test images, and their confusion matrix."""
        if self._logits is None:  # the run was stopped after its last epoch
            self._logits = self._predict()
        confusion = metrics.confusion_matrix(self._data.y_test, self._logits)
        return {"metrics": self._scores(), "confusion": confusion.tolist()}

    def save(self, path: Path) -> None:
        """Save the network, compiled without the metrics of the study."""
        with self._devices.scope():
            self._model.compile(self._optimizer, loss=self._loss)
        self._model.save(path)
