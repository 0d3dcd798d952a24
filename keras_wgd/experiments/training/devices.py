"""One run on many devices, with the engine that each backend has.

A batch is split evenly, gradients are averaged, and batch normalisation takes its
statistics over the whole batch: the run is the one that a single device makes, but
for the order of sums.
"""

import contextlib
import os
from typing import Any

import keras
from keras import ops


class OneDevice:
    """One device, which the backend chooses."""

    rank = 0
    ranks = 1

    def __init__(self, count: int = 1):
        self.count = count

    def scope(self) -> contextlib.AbstractContextManager:
        """The context in which model and optimizer are made."""
        return contextlib.nullcontext()

    def spread(self, model: keras.Model) -> keras.Model:
        """The model to compile, fit and predict with; its variables are the same."""
        return model

    def mean(self, value: Any) -> Any:
        """The mean of a value over the parts of a batch."""
        return value

    def wait(self) -> None:
        """Wait for the other processes, if there are any."""


class Sharded(OneDevice):
    """JAX: each batch on many devices of this process, the variables on each."""

    def __init__(self, devices):
        super().__init__(len(devices))
        self._distribution = keras.distribution.DataParallel(devices=devices)

    def scope(self):
        """None: the distribution stays, for `fit`. `clear_session` takes it away."""
        keras.distribution.set_distribution(self._distribution)
        return contextlib.nullcontext()


class Mirrored(OneDevice):
    """TensorFlow: a copy of each variable on each device of this process."""

    def __init__(self, names):
        import tensorflow as tf

        super().__init__(len(names))
        self._strategy = tf.distribute.MirroredStrategy(names)

    def scope(self):
        """The strategy's."""
        return self._strategy.scope()

    def spread(self, model):
        """The model, its batch normalisation made to see whole batches."""
        import tensorflow as tf

        def mean(value):
            replica = tf.distribute.get_replica_context()
            if replica is None:
                return value
            return replica.all_reduce(tf.distribute.ReduceOp.MEAN, value)

        _normalize_whole_batches(model, mean)
        return model


class Ranks(OneDevice):
    """PyTorch: a process for each device, this one among them, in its default group."""

    def __init__(self):
        import torch.distributed as dist

        super().__init__(dist.get_world_size())
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()

    def spread(self, model):
        """A model around this one that averages the gradients of all ranks."""
        import torch
        import torch.distributed as dist

        class Mean(torch.autograd.Function):
            @staticmethod
            def forward(context, value):
                mean = value / self.ranks
                dist.all_reduce(mean)
                return mean

            # What a rank gives to the mean is in the loss of every rank.
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
        """Wait until all ranks have come here."""
        import torch.distributed as dist

        dist.barrier()


class _Replica(keras.Model):
    """A model whose backward pass goes through DistributedDataParallel."""

    def __init__(self, network):
        from torch.nn.parallel import DistributedDataParallel

        super().__init__()
        self.network = network
        # In a tuple, where torch does not see it: it has the network once more.
        self._parallel = (DistributedDataParallel(network),)

    def call(self, inputs, training=None):
        if training:
            return self._parallel[0](inputs, training=True)
        return self.network(inputs, training=False)


def _normalize_whole_batches(model, mean):
    """Take the statistics of batch normalisation over all parts of a batch.

    Keras does so (`synchronized=True`) on TensorFlow alone, and writes it into the
    saved model, which the other backends then refuse.

    Args:
        model: The model.
        mean: Averages a tensor over the parts, and passes gradients back.
    """

    def moments_of(layer):
        def moments(inputs, mask):
            assert mask is None  # no network of a study has one
            axes = tuple(layer._reduction_axes)
            center = mean(ops.mean(inputs, axes, keepdims=True))
            variance = mean(ops.mean(ops.square(inputs - center), axes))
            return ops.squeeze(center, axes), variance

        return moments

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = moments_of(layer)


def check(count: int, batch_size: int) -> None:
    """See that a batch can be split, before anything is started.

    Args:
        count: The devices.
        batch_size: Images in a batch.

    Raises:
        ValueError: If it cannot.
    """
    if count < 1 or batch_size % count:
        raise ValueError(
            f"devices must be a whole number that divides the batch size of "
            f"{batch_size}. Received: {count}"
        )


def start(count: int) -> OneDevice:
    """Take so many devices of this machine, before the backend has been used.

    Args:
        count: How many: GPUs where there are any, else cores.

    Returns:
        What to make the run with; on PyTorch it is made by `processes.make`.

    Raises:
        ValueError: If there are fewer.
    """
    if count == 1:
        return OneDevice()
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        _use_jax(jax, count)
        devices = keras.distribution.list_devices()
        _see_enough(count, len(devices) if jax.default_backend() != "cpu" else 0)
        return Sharded(devices[:count])
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        _see_enough(count, len(gpus))
        if not gpus:
            cpu = tf.config.list_physical_devices("CPU")[0]
            parts = [tf.config.LogicalDeviceConfiguration()] * count
            tf.config.set_logical_device_configuration(cpu, parts)
        kind = "GPU" if gpus else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        return Mirrored(names[:count])
    import torch

    _see_enough(count, torch.cuda.device_count())
    return OneDevice(count)


def _use_jax(jax, count):
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise ValueError(
            "devices must be chosen before JAX is used, in a process of its own. "
            f"Received: {count}, after JAX had started"
        ) from error


def _see_enough(count, gpus):
    cores = os.cpu_count() or 1
    there, kind = (gpus, "GPUs") if gpus else (cores, "cores, as there is no GPU")
    if count > there:
        raise ValueError(
            f"devices must be at most this machine's {there} {kind}. Received: {count}"
        )
