"""One run: data, network, optimizer, epochs, metrics, result."""

import math
import time
from pathlib import Path

import keras

from keras_wgd.environment import environment, keras_defaults
from keras_wgd.experiments import metrics
from keras_wgd.experiments.options import OnEpoch, Options
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.training import checkpoint, inputs, tensorboard
from keras_wgd.experiments.training.build import build_model, build_optimizer
from keras_wgd.experiments.training.checkpoint import Progress
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.files import atomic
from keras_wgd.tasks.datasets import Dataset

MODEL = "model.keras"

# The maximum of images in a test batch, and of numbers in them. Batches are larger
# than in training because evaluation needs no gradients.
_TEST_BATCH, _TEST_NUMBERS = 1000, 2**25


def make(
    out: Path,
    spec: RunSpec,
    options: Options = Options(),
    on_epoch: OnEpoch = lambda epoch, curves, restored: None,
    devices: OneDevice | None = None,
) -> Result:
    """Make one run of the study in the folder `out`, and keep its result there.

    The arguments are those of `train`. Of several processes, the first keeps the
    result.
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
    data: Dataset,
    on_epoch: OnEpoch = lambda epoch, curves, restored: None,
    folder: Path | None = None,
    options: Options = Options(),
    devices: OneDevice | None = None,
) -> Result:
    """Train and evaluate one run.

    Runs of the same seed start from the same weights and see the same batches,
    whatever their optimizer. A run that was stopped resumes from its last whole epoch,
    and ends with the same result.

    Args:
        spec: The run.
        data: The data set of the spec, of the sizes in the spec.
        on_epoch: Called after each epoch with its number, from 1, the last value of
            each curve, and whether the epoch was trained before this call. For such
            epochs it is called at once.
        folder: Where to keep the state after each epoch; nowhere if `None`.
        options: What else to keep there.
        devices: What to train on; one device if `None`.

    Returns:
        The result.

    Raises:
        ValueError: If the spec names a model that does not exist.
        RuntimeError: If WGD would center nothing.
    """
    devices = devices or OneDevice()
    keras.utils.clear_session()  # not in the scope, which it would reset
    with devices.scope():
        model = build_model(spec, data)
        optimizer = build_optimizer(spec, model)
        replicas = devices.spread(model)
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        replicas.compile(
            optimizer,
            loss=cross_entropy,
            # Keras's own loss includes the L2 of the weights.
            metrics=[
                keras.metrics.SparseCategoricalCrossentropy(
                    "loss_alone", from_logits=True
                ),
                keras.metrics.SparseCategoricalAccuracy("accuracy"),
            ],
        )
        optimizer.build(model.trainable_variables)
        norms = optimizer.record_norms(residual=False) if spec.mean_over else None
    centered = len(optimizer.whitened_variables) if spec.mean_over else 0
    if spec.mean_over and not centered:
        raise RuntimeError(f"{spec.model} has no kernel to center: {spec.id} is plain")

    numbers = math.prod(data.image_shape)
    batch_size = max(1, min(_TEST_BATCH, _TEST_NUMBERS // numbers))
    test = data.evaluation(batch_size, devices.count)

    def predict():
        # Where devices share the images, some images come a second time.
        return replicas.predict(**test, verbose=0)[: len(data.y_test)]

    kept = folder if devices.rank == 0 else None  # only the first process writes
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
    if logits is None:  # the run was stopped after its last epoch
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
        centered=centered,
        environment=environment() | {"devices": devices.count},
    )
