"""One run: spec, data, network, optimizer, epochs, metrics, result."""

import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_wgd import datasets, metrics, models
from keras_wgd.optimizers.radam import RAdam
from keras_wgd.optimizers.wgd import WGD
from keras_wgd.study.results import CURVES, Result
from keras_wgd.study.spec import RunSpec

# Evaluation needs no gradients, so it takes larger batches.
_TEST_BATCH = 1000


def train(
    spec: RunSpec,
    data: datasets.Dataset,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, curves: None,
) -> Result:
    """Train and evaluate one run.

    Runs of the same seed start from the same weights and see the same batches,
    whatever their optimizer.

    Args:
        spec: The run.
        data: The data set that the spec names, of the sizes that it names.
        on_epoch: Called after each epoch with its number, from 1, and the last
            value of each curve.

    Returns:
        The result.

    Raises:
        ValueError: If the spec names a model that does not exist.
        RuntimeError: If WGD would centre nothing.
    """
    model = build_model(spec, data)
    optimizer = build_optimizer(spec, model)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer,
        loss=cross_entropy,
        # Keras's own loss has the L2 of the weights in it.
        metrics=[
            keras.metrics.SparseCategoricalCrossentropy("loss_alone", from_logits=True),
            keras.metrics.SparseCategoricalAccuracy("accuracy"),
        ],
    )
    optimizer.build(model.trainable_variables)
    centred = len(optimizer.whitened_variables) if spec.mean_over else 0
    if spec.mean_over and not centred:
        raise RuntimeError(f"{spec.model} has no kernel to centre: {spec.id} is plain")

    x_test = data.normalized(data.x_test)
    curves: dict[str, list[float]] = {name: [] for name in CURVES}
    seconds = []
    for epoch in range(spec.epochs):
        x, y = data.epoch(spec.seed, epoch, spec.batch_size)
        start = time.perf_counter()
        history = model.fit(
            x, y, batch_size=spec.batch_size, shuffle=False, verbose=0
        ).history
        seconds.append(time.perf_counter() - start)
        logits = model.predict(x_test, batch_size=_TEST_BATCH, verbose=0)
        scores = metrics.classification_metrics(data.y_test, logits)
        curves["train_loss"].append(history["loss_alone"][0])
        curves["train_accuracy"].append(history["accuracy"][0])
        curves["test_loss"].append(scores["loss"])
        curves["test_accuracy"].append(scores["accuracy"])
        on_epoch(epoch + 1, {name: curve[-1] for name, curve in curves.items()})
    return Result(
        spec=spec,
        metrics=scores,
        curves=curves,
        seconds=seconds,
        confusion=metrics.confusion_matrix(data.y_test, logits).tolist(),
        centred=centred,
        environment=environment(),
    )


def build_model(spec: RunSpec, data: datasets.Dataset) -> keras.Model:
    """The network of a run, with the initial weights of its seed.

    `weight_decay * w` is added to the gradient of each weight `w`, as torch's
    optimizers do: that is the gradient of `weight_decay / 2 * w**2`.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(spec.seed)
    return models.build(
        spec.model, data.image_shape, data.classes, l2=spec.weight_decay / 2
    )


def build_optimizer(spec: RunSpec, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a run, wrapped unless the run is a plain one."""
    rate, epsilon = spec.learning_rate, spec.epsilon
    optimizer = {
        "sgdm": lambda: keras.optimizers.SGD(rate, momentum=spec.momentum),
        "adam": lambda: keras.optimizers.Adam(rate, epsilon=epsilon),
        "nadam": lambda: keras.optimizers.Nadam(rate, epsilon=epsilon),
        "radam": lambda: RAdam(rate, epsilon=epsilon),
    }[spec.optimizer]()
    if spec.mean_over is None:
        return optimizer
    return WGD(optimizer, spec.mean_over, spec.placement, kernels=model)


def environment() -> dict[str, Any]:
    """What a result may depend on besides its spec."""
    backend = keras.backend.backend()
    packages = {"keras-wgd", "keras", "numpy"}
    packages |= (
        {"tensorflow-cpu", "tensorflow"} if backend == "tensorflow" else {backend}
    )
    versions = {}
    for package in sorted(packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "backend": backend,
        "versions": versions,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
    }


def _commit():
    """The commit of the checkout that this file belongs to, if it is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
