"""The network and the optimizer of a run."""

import sys
from typing import Any

import keras

from keras_wgd.choices import check_choice
from keras_wgd.experiments import optimizers
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.optimizers import inner
from keras_wgd.optimizers.wgd import WGD
from keras_wgd.tasks import models
from keras_wgd.tasks import optimizers as by_name
from keras_wgd.tasks.datasets import Dataset


def build_model(spec: RunSpec, data: Dataset) -> keras.Model:
    """The network of a run, with the initial weights of its seed.

    `weight_decay * w` is added to the gradient of each weight `w`, as torch's
    optimizers do: that is the gradient of `weight_decay / 2 * w**2`.
    """
    set_random_seed(spec.seed)
    model = models.build(spec.model, data.image_shape, data.classes, stem=spec.stem)
    if spec.weight_decay:
        regularizer = keras.regularizers.L2(spec.weight_decay / 2)
        for variable in model.trainable_variables:
            variable.regularizer = regularizer
    return model


def clear_session() -> None:
    """Clear Keras's state, but keep the dtype policy, which Keras forgets with it."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def set_random_seed(seed):
    """Set Keras's seed without importing TensorFlow, which Keras imports if it can.

    On another backend that costs each worker seconds and hundreds of megabytes, for a
    generator that is never used.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        keras.utils.set_random_seed(seed)
        return
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        keras.utils.set_random_seed(seed)
    finally:
        del sys.modules["tensorflow"]


def settings_of(spec: RunSpec) -> dict[str, Any]:
    """The `optimizer_settings` of a run as arguments of its optimizer.

    Raises:
        ValueError: If there is no such optimizer, or it takes no such argument.
    """
    known = dict.fromkeys([*optimizers.OPTIMIZERS, *inner.named()])
    check_choice("optimizer", spec.optimizer, known)
    texts = (spec.optimizer_settings or "").split(",")
    name = optimizers.of(spec.optimizer).name
    return by_name.settings(name, [text for text in texts if text])


def build_optimizer(spec: RunSpec, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a run, wrapped unless the run is a plain one."""
    config = optimizers.config(**spec.to_dict())
    config["config"] |= settings_of(spec)
    if spec.mean_over is None:
        return inner.get(config)
    return WGD(config, spec.mean_over, spec.placement, kernels=model)
