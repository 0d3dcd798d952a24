"""One run: spec, data, network, optimizer, epochs, metrics, result."""

import math
import sys
import time
from pathlib import Path
from typing import cast

import keras

from keras_wgd.environment import environment, keras_defaults
from keras_wgd.experiments import metrics, optimizers
from keras_wgd.experiments.options import OnEpoch, Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.training import checkpoint, inputs, tensorboard
from keras_wgd.experiments.training.checkpoint import Progress
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.files import atomic
from keras_wgd.optimizers import inner
from keras_wgd.optimizers.means import MeanOver, Placement
from keras_wgd.optimizers.wgd import WGD
from keras_wgd.tasks import datasets, models

MODEL = "model.keras"

# Evaluation needs no gradients, so it takes larger batches: at most so many images,
# and so many numbers in them.
_TEST_BATCH, _TEST_NUMBERS = 1000, 2**25


def make(
    out: Path,
    spec: RunSpec,
    options: Options = Options(),
    on_epoch: OnEpoch = lambda epoch, curves, restored: None,
    devices: OneDevice | None = None,
) -> Result:
    """Make one run of a study: load its data, train, and keep the result.

    Args:
        out: The folder of the study.
        spec: The run.
        options: How to make it.
        on_epoch: As in `train`.
        devices: As in `train`.

    Returns:
        The result; it is on disk, if this is the first of several processes.
    """
    data = inputs.load(spec, options)
    devices = devices or OneDevice()
    folder = results.draft_of(out, spec)
    result = train(spec, data, on_epoch, folder, options, devices)
    if devices.rank == 0:
        checkpoint.remove(results.write(out, result))
    return result


@keras_defaults()
def train(
    spec: RunSpec,
    data: datasets.Dataset,
    on_epoch: OnEpoch = lambda epoch, curves, restored: None,
    folder: Path | None = None,
    options: Options = Options(),
    devices: OneDevice | None = None,
) -> Result:
    """Train and evaluate one run.

    Runs of the same seed start from the same weights and see the same batches,
    whatever their optimizer. A run that has been stopped goes on from the last
    epoch that it ended, and ends as if it had not been.

    Args:
        spec: The run.
        data: The data set that the spec names, of the sizes that it names.
        on_epoch: Called after each epoch with its number, from 1, the last value
            of each curve, and whether the epoch was trained before this call: with
            those it is called at once.
        folder: Where to keep the state after each epoch; nowhere if `None`.
        options: What else to keep there.
        devices: What to train on; one device if `None`.

    Returns:
        The result.

    Raises:
        ValueError: If the spec names a model that does not exist.
        RuntimeError: If WGD would centre nothing.
    """
    devices = devices or OneDevice()
    keras.utils.clear_session()  # not in the scope, which it would take away
    with devices.scope():
        model = build_model(spec, data)
        optimizer = build_optimizer(spec, model)
        replicas = devices.spread(model)
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        replicas.compile(
            optimizer,
            loss=cross_entropy,
            # Keras's own loss has the L2 of the weights in it.
            metrics=[
                keras.metrics.SparseCategoricalCrossentropy(
                    "loss_alone", from_logits=True
                ),
                keras.metrics.SparseCategoricalAccuracy("accuracy"),
            ],
        )
        optimizer.build(model.trainable_variables)
        norms = optimizer.record_norms(residual=False) if spec.mean_over else None
    centred = len(optimizer.whitened_variables) if spec.mean_over else 0
    if spec.mean_over and not centred:
        raise RuntimeError(f"{spec.model} has no kernel to centre: {spec.id} is plain")

    numbers = math.prod(data.image_shape)
    test = data.evaluation(
        max(1, min(_TEST_BATCH, _TEST_NUMBERS // numbers)), devices.count
    )

    def predict():
        # Some images come a second time where devices share them.
        return replicas.predict(**test, verbose=0)[: len(data.y_test)]

    kept = folder if devices.rank == 0 else None  # the first process alone writes
    variables = [*model.variables, *optimizer.variables]
    progress = Progress()
    if folder is not None:
        progress = checkpoint.restore(folder, spec, variables)
        devices.wait()  # before one of them moves what the others read
    for epoch in range(progress.epochs):
        on_epoch(epoch + 1, progress.at(epoch), True)
    if kept is not None and options.tensorboard and progress.epochs:
        tensorboard.write(kept, progress, since=1)
    logits = None
    for epoch in range(progress.epochs, spec.epochs):
        batches = data.epoch(
            spec.seed,
            epoch,
            spec.batch_size,
            spec.sampler,
            devices.rank,
            devices.ranks,
        )
        start = time.perf_counter()
        history = replicas.fit(**batches, verbose=0).history
        progress.seconds.append(time.perf_counter() - start)
        logits = predict()
        scores = metrics.classification_metrics(data.y_test, logits)
        measured = {
            "train_loss": devices.mean(history["loss_alone"][0]),
            "train_accuracy": devices.mean(history["accuracy"][0]),
            "test_loss": scores["loss"],
            "test_accuracy": scores["accuracy"],
        }
        for name, value in measured.items():
            progress.curves[name].append(value)
        if norms is not None:
            progress.norm_ratios.append(norms.take().overall)
        if kept is not None:
            checkpoint.save(kept, spec, progress, variables)
            if options.tensorboard:
                tensorboard.write(kept, progress, since=progress.epochs)
        on_epoch(epoch + 1, progress.at(epoch), False)
    if logits is None:  # stopped after its last epoch
        logits = predict()
    if kept is not None and options.save_model:
        with devices.scope():
            model.compile(optimizer, loss=cross_entropy)
        with atomic(kept / MODEL) as draft:
            model.save(draft)
    return Result(
        spec=spec,
        metrics=metrics.classification_metrics(data.y_test, logits),
        curves=progress.curves,
        seconds=progress.seconds,
        norm_ratios=progress.norm_ratios,
        confusion=metrics.confusion_matrix(data.y_test, logits).tolist(),
        centred=centred,
        environment=environment() | {"devices": devices.count},
    )


def build_model(spec: RunSpec, data: datasets.Dataset) -> keras.Model:
    """The network of a run, with the initial weights of its seed.

    `weight_decay * w` is added to the gradient of each weight `w`, as torch's
    optimizers do: that is the gradient of `weight_decay / 2 * w**2`.
    """
    _set_random_seed(spec.seed)
    model = models.build(spec.model, data.image_shape, data.classes, stem=spec.stem)
    if spec.weight_decay:
        regularizer = keras.regularizers.L2(spec.weight_decay / 2)
        for variable in model.trainable_variables:
            variable.regularizer = regularizer
    return model


def _set_random_seed(seed):
    """That of Keras, which also imports TensorFlow wherever it is installed.

    With another backend that is seconds and hundreds of megabytes of each worker, for
    a generator that draws nothing there.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        keras.utils.set_random_seed(seed)
        return
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        keras.utils.set_random_seed(seed)
    finally:
        del sys.modules["tensorflow"]


def build_optimizer(spec: RunSpec, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a run, wrapped unless the run is a plain one."""
    config = optimizers.config(
        spec.optimizer,
        spec.learning_rate,
        momentum=spec.momentum,
        epsilon=spec.epsilon,
    )
    if spec.mean_over is None:
        return inner.get(config)
    mean_over = cast("MeanOver", spec.mean_over)
    placement = cast("Placement", spec.placement)
    return WGD(config, mean_over, placement, kernels=model)
