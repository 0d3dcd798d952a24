"""One run on several devices, with the engine of each backend.

A batch is split evenly, gradients are averaged, and batch normalization takes its
statistics over the whole batch. The run is that of a single device, except for the
order of sums.
"""

import contextlib
import os
from typing import Any

import keras
from keras import ops


class OneDevice:
    """One device, chosen by the backend."""

    rank = 0
    ranks = 1

    def __init__(self, count: int = 1):
        self.count = count

    def scope(self) -> contextlib.AbstractContextManager:
        """The context in which model and optimizer are built."""
        return contextlib.nullcontext()

    def spread(self, model: keras.Model) -> keras.Model:
        """The model to compile, fit and predict with, of the same variables."""
        return model

    def mean(self, value: Any) -> Any:
        """The mean of a value over the parts of a batch."""
        return value

    def wait(self) -> None:
        """Wait for the other processes, if there are any."""


class Sharded(OneDevice):
    """JAX: batches are split over devices of this process, variables are copied."""

    def __init__(self, devices):
        super().__init__(len(devices))
        self._distribution = keras.distribution.DataParallel(devices=devices)

    def scope(self):
        """No context: the distribution also holds in `fit`, until `clear_session`."""
        keras.distribution.set_distribution(self._distribution)
        return contextlib.nullcontext()


class Mirrored(OneDevice):
    """TensorFlow: each variable has a copy on each device of this process."""

    def __init__(self, names):
        import tensorflow as tf

        super().__init__(len(names))
        self._strategy = tf.distribute.MirroredStrategy(names)

    def scope(self):
        """The scope of the strategy."""
        return self._strategy.scope()

    def spread(self, model):
        """The model, with batch normalization over whole batches."""
        import tensorflow as tf

        def mean(value):
            replica = tf.distribute.get_replica_context()
            if replica is None:
                return value
            return replica.all_reduce(tf.distribute.ReduceOp.MEAN, value)

        _normalize_whole_batches(model, mean)
        return model


class Ranks(OneDevice):
    """PyTorch: this process and others, each with a device, in the default group."""

    def __init__(self):
        import torch.distributed as dist

        super().__init__(dist.get_world_size())
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()

    def spread(self, model):
        """A model around this one, which averages the gradients of all ranks."""
        import torch
        import torch.distributed as dist

        class Mean(torch.autograd.Function):
            @staticmethod
            def forward(context, value):
                mean = value / self.ranks
                dist.all_reduce(mean)
                return mean

            # A rank's part of the mean enters the loss of every rank.
            @staticmethod
            def backward(context, gradient):
                return Mean.forward(context, gradient)

        _normalize_whole_batches(model, Mean.apply)
        return _Replica(model)

    def mean(self, value):
        """The mean over the ranks, in float64."""
        import torch
        import torch.distributed as dist

        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return float(total) / self.ranks

    def wait(self):
        """Wait for all ranks."""
        import torch.distributed as dist

        dist.barrier()


class _Replica(keras.Model):
    """A model whose backward pass goes through DistributedDataParallel."""

    def __init__(self, network):
        from torch.nn.parallel import DistributedDataParallel

        super().__init__()
        self.network = network
        # In a tuple, so that torch does not find the network a second time.
        self._parallel = (DistributedDataParallel(network),)

    def call(self, inputs, training=None):
        if training:
            return self._parallel[0](inputs, training=True)
        return self.network(inputs, training=False)


def _normalize_whole_batches(model, mean):
    """Let batch normalization take its statistics over all parts of a batch.

    With `synchronized=True` Keras does so on TensorFlow only, and the other backends
    refuse the saved model. `mean` averages a tensor over the parts, and is
    differentiable.
    """

    def moments_of(layer):
        def moments(inputs, mask):
            assert mask is None  # no network of this package has one
            axes = tuple(layer._reduction_axes)
            center = mean(ops.mean(inputs, axes, keepdims=True))
            variance = mean(ops.mean(ops.square(inputs - center), axes))
            return ops.squeeze(center, axes), variance

        return moments

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = moments_of(layer)


def check(count: int, batch_size: int) -> None:
    """Check that a batch can be split over devices.

    Raises:
        ValueError: If not.
    """
    if count < 1 or batch_size % count:
        raise ValueError(
            f"devices must be a whole number that divides the batch size of "
            f"{batch_size}. Received: {count}"
        )


def start(count: int) -> OneDevice:
    """Use several devices of this machine. The backend must not be in use before.

    Args:
        count: The number of devices: GPUs or, without a GPU, cores.

    Returns:
        The engine for `train`; on PyTorch `processes.make` makes the run.

    Raises:
        ValueError: If there are fewer devices.
    """
    if count == 1:
        return OneDevice()
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        _use_jax(jax, count)
        devices = keras.distribution.list_devices()
        _check_enough(count, len(devices) if jax.default_backend() != "cpu" else 0)
        return Sharded(devices[:count])
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        _check_enough(count, len(gpus))
        if not gpus:
            cpu = tf.config.list_physical_devices("CPU")[0]
            parts = [tf.config.LogicalDeviceConfiguration()] * count
            tf.config.set_logical_device_configuration(cpu, parts)
        kind = "GPU" if gpus else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        return Mirrored(names[:count])
    import torch

    _check_enough(count, torch.cuda.device_count())
    return OneDevice(count)


def _use_jax(jax, count):
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise ValueError(
            "devices must be chosen before JAX is used, in a process of its own. "
            f"Received: {count}, after JAX had started"
        ) from error


def _check_enough(count, gpus):
    cores = os.cpu_count() or 1
    there, kind = (gpus, "GPUs") if gpus else (cores, "cores, as there is no GPU")
    if count > there:
        raise ValueError(
            f"devices must be at most this machine's {there} {kind}. Received: {count}"
        )
