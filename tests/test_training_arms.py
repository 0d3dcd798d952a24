"""The network and the optimizer of a run, against Keras and PyTorch."""

import dataclasses

import keras
import numpy as np
import pytest
from support.networks import values
from support.runs import ARMS, SPEC

from keras_wgd import WGD
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.training import train
from keras_wgd.experiments.training.build import build_model, build_optimizer
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.tasks import datasets, models


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", None, SPEC.train_size, SPEC.test_size)


def test_initial_weights_are_those_of_keras(data):
    ours = values(build_model(SPEC, data).variables)
    keras.utils.set_random_seed(SPEC.seed)
    theirs = models.build(SPEC.model, data.image_shape, data.classes)
    for a, b in zip(ours, values(theirs.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_initial_weights_depend_only_on_the_seed(data):
    plain, *others = (
        values(build_model(spec, data).variables) for spec in ARMS.values()
    )
    for other in others:
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_array_equal(a, b)
    seeded = build_model(dataclasses.replace(SPEC, seed=1), data)
    assert any(
        (a != b).any() for a, b in zip(plain, values(seeded.variables), strict=True)
    )


def test_l2_on_every_weight(data):
    model = build_model(dataclasses.replace(SPEC, weight_decay=1.0), data)
    expected = sum(
        0.5 * np.sum(array.astype("float64") ** 2)
        for array in values(model.trainable_variables)
    )
    losses = sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert len(model.losses) == len(model.trainable_variables)


def test_weight_decay_in_the_gradient(data):
    """As in torch: w -= rate * (gradient + weight_decay * w)."""
    steps = {}
    for decay in (0.0, 0.5):
        spec = dataclasses.replace(SPEC, optimizer="sgdm", weight_decay=decay)
        model = build_model(spec, data)
        model.compile(keras.optimizers.SGD(1.0), loss="mse")
        before = values(model.trainable_variables)
        x = data.preprocess(data.train[np.arange(16)])
        model.train_on_batch(x, np.zeros((16, 10)))
        after = values(model.trainable_variables)
        steps[decay] = [b - a for b, a in zip(before, after, strict=True)]
    for plain_step, decayed, weight in zip(steps[0.0], steps[0.5], before, strict=True):
        np.testing.assert_allclose(decayed - plain_step, 0.5 * weight, atol=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [("sgdm", "SGD"), ("adam", "Adam"), ("nadam", "Nadam"), ("radam", "RAdam")],
)
def test_optimizers_of_runs(data, optimizer, name):
    spec = dataclasses.replace(SPEC, optimizer=optimizer, epsilon=1e-6, momentum=0.75)
    model = build_model(spec, data)
    plain = build_optimizer(spec, model)
    assert type(plain).__name__ == name
    config = plain.get_config()
    assert config["learning_rate"] == pytest.approx(1e-3)
    key = "momentum" if optimizer == "sgdm" else "epsilon"
    assert config[key] == (0.75 if optimizer == "sgdm" else 1e-6)
    wrapped = build_optimizer(
        dataclasses.replace(spec, mean_over="kernels", placement="update"), model
    )
    assert isinstance(wrapped, WGD)
    assert (wrapped.mean_over, wrapped.placement) == ("kernels", "update")
    assert type(wrapped.inner_optimizer).__name__ == name


def linear(name, input_shape, classes, stem):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


def trained_by_torch(spec, data, weights, optimizer, **options):
    """Train the weights of `linear` with torch; also return the loss of each epoch."""
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    steps = optimizer(
        parameters, spec.learning_rate, weight_decay=spec.weight_decay, **options
    )
    curve = []
    for epoch in range(spec.epochs):
        images = data.epoch(spec.seed, epoch, spec.batch_size, spec.sampler)
        batches = [
            torch.tensor(images[name]).split(spec.batch_size) for name in ("x", "y")
        ]
        losses = []
        for x, y in zip(*batches, strict=True):
            steps.zero_grad()
            logits = x.flatten(1) @ parameters[0] + parameters[1]
            loss = torch.nn.functional.cross_entropy(logits, y)
            loss.backward()
            steps.step()
            losses.append(loss.item())
        curve.append(np.mean(losses))
    return [parameter.detach().numpy() for parameter in parameters], curve


# Keras's Nadam has torch's schedule of the momentum, run 250 times as fast.
TORCH = {
    "sgdm": ("SGD", {"momentum": 0.9}),
    "adam": ("Adam", {"eps": 1e-10}),
    "nadam": ("NAdam", {"eps": 1e-10, "momentum_decay": 1.0}),
    "radam": ("RAdam", {"eps": 1e-10}),
}


def weights_of_a_linear_run(optimizer, data, folder):
    spec = dataclasses.replace(
        SPEC,
        optimizer=optimizer,
        model="linear",
        epochs=5,
        batch_size=8,
        weight_decay=0.1,
    )
    weights = values(build_model(spec, data).trainable_variables)
    keep = Options(save_model=True)
    result = train.train(spec, StudyTask(data), folder=folder, options=keep)
    model = keras.saving.load_model(folder / train.MODEL)
    return spec, weights, values(model.trainable_variables), result


@pytest.mark.parametrize("optimizer", list(TORCH))
def test_plain_run_against_torch(data, tmp_path, monkeypatch, optimizer):
    """In torch, the weight decay is that of the optimizer."""
    import torch

    monkeypatch.setattr(models, "build", linear)
    spec, weights, ours, result = weights_of_a_linear_run(optimizer, data, tmp_path)
    name, options = TORCH[optimizer]
    theirs, curve = trained_by_torch(
        spec, data, weights, getattr(torch.optim, name), **options
    )
    moved = max(np.abs(a - b).max() for a, b in zip(theirs, weights, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3 * moved)
    assert result.curves["train_loss"] == pytest.approx(curve, rel=1e-4)


def test_nadam_differs_from_torch_defaults(data, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(models, "build", linear)
    spec, weights, ours, _ = weights_of_a_linear_run("nadam", data, tmp_path)
    theirs, _ = trained_by_torch(spec, data, weights, torch.optim.NAdam, eps=1e-10)
    moved = np.linalg.norm(theirs[0] - weights[0])
    assert np.linalg.norm(ours[0] - theirs[0]) > 0.01 * moved


def test_wrapped_run_without_kernels(data, monkeypatch):
    monkeypatch.setattr(models, "build", linear)
    spec = dataclasses.replace(ARMS["filters"], model="linear")
    with (
        pytest.warns(UserWarning, match="found nothing to center"),
        pytest.raises(RuntimeError, match="linear has no kernel to center"),
    ):
        train.train(spec, StudyTask(data))
