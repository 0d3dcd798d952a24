"""Two devices give the weights of one.

The mean is linear, so gradients may be centered before or after they are averaged over
devices. Trains WGD(RAdam) for one epoch on one device, and again on two: with
DataParallel on JAX, MirroredStrategy on TensorFlow, and DistributedDataParallel on
PyTorch. Prints the largest difference between the weights. The devices are parts of the
CPU, so no GPU is needed.

    KERAS_BACKEND=jax python examples/data_parallel.py

Runs for seconds. Needs scikit-learn.
"""

import os
import tempfile
from pathlib import Path

# JAX reads this when it starts.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

BATCH = 32
images, labels = load_digits(return_X_y=True)
x, y = images[:512].reshape(-1, 8, 8, 1).astype("float32") / 16, labels[:512]


def compiled():
    """Two convolutions and a head, with the same initial weights each time."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(WGD(RAdam(3e-3)), loss=loss)
    return model


def weights_after_fit(model):
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return model.get_weights()


def on_jax():
    devices = keras.distribution.list_devices()
    distribution = keras.distribution.DataParallel(devices=devices)
    keras.distribution.set_distribution(distribution)  # before the model is made
    return weights_after_fit(compiled())


def on_tensorflow():
    import tensorflow as tf

    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    with tf.distribute.MirroredStrategy(names).scope():
        model = compiled()
    return weights_after_fit(model)


def on_torch():
    import torch

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(train_half, (folder,), nprocs=2)
        with np.load(Path(folder, "weights.npz")) as weights:
            return list(weights.values())


def train_half(rank, folder):
    """Train in one of two PyTorch processes, on one half of each batch."""
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    model = compiled()
    variables, replica = model.trainable_variables, DistributedDataParallel(model)
    for start in range(rank * BATCH // 2, len(x), BATCH):
        half = slice(start, start + BATCH // 2)
        model.zero_grad()
        logits = replica(torch.as_tensor(x[half]), training=True)
        model.loss(torch.as_tensor(y[half]), logits).backward()
        with torch.no_grad():
            model.optimizer.apply([v.value.grad for v in variables], variables)
    if rank == 0:
        np.savez(Path(folder, "weights.npz"), *model.get_weights())
    del replica  # before the group: PyTorch may hang otherwise
    dist.destroy_process_group()


if __name__ == "__main__":
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    on_two = {"jax": on_jax, "tensorflow": on_tensorflow, "torch": on_torch}[backend]
    pairs = zip(weights_after_fit(compiled()), on_two(), strict=True)
    difference = max(np.abs(one - two).max() for one, two in pairs)
    print(f"{backend}: largest difference from one device {difference:.1e}")
