"""A script that trains on one device and on many, and keeps what comes of it.

How many devices there are is settled when a backend starts, so this runs in processes
of its own: `many_devices.py FOLDER ENGINE...`. In the folder, the values of the weights
by engine and case: `data-filters-gradient-0.npz`, with the rank of
the process, and `data-resumed-0.npz` where one device has gone on from what many saved.
"""

import contextlib
import os
import sys
from pathlib import Path

import keras
import numpy as np

STEPS, BATCH = 20, 8
# float64, as sums in another order would blur the eighth digit of float32.
DTYPE = "float64"
CASES = {
    "filters-gradient": ("filters", "gradient"),
    "fan_in-gradient": ("fan_in", "gradient"),
    "kernels-gradient": ("kernels", "gradient"),
    "filters-update": ("filters", "update"),
}
# Only one case goes on, as compiling takes most of the time.
RESUMED = "filters-gradient"


def network():
    """A standard, a grouped and a transposed kernel, and a head."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.Conv2D(8, 3, activation="tanh", name="first"),
            layers.Conv2D(8, 3, groups=2, name="grouped"),
            layers.Conv2DTranspose(4, 2, name="up"),
            layers.Flatten(),
            layers.Dense(3, name="head"),
        ]
    )


def images():
    """As many as all steps show, with their labels."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(STEPS * BATCH, 6, 6, 4))
    return x.astype(DTYPE), generator.integers(0, 3, len(x))


def compiled(case):
    from keras_wgd import WGD, RAdam

    model = network()
    optimizer = RAdam(0.01, beta_2=0.9)
    if case in CASES:
        optimizer = WGD(optimizer, *CASES[case], kernels=model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss)
    return model


def fit(model):
    x, y = images()
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def start(engine):
    """Start an engine: how to train with it, and the scopes to build models in."""
    backend = keras.backend.backend()
    if backend == "jax":
        keras.distribution.set_distribution(distribution(engine))
    elif engine == "mirrored":
        import tensorflow as tf

        names = [device.name for device in tf.config.list_logical_devices("CPU")]
        assert len(names) == 2
        return fit, tf.distribute.MirroredStrategy(names).scope
    elif engine == "workers":
        return on_workers()
    elif engine == "ddp":
        import torch.distributed as dist

        dist.init_process_group("gloo")  # the environment says who it is
        assert dist.get_world_size() == 2
        return train_replicas, contextlib.nullcontext
    return fit, contextlib.nullcontext


def distribution(engine):
    """Four devices of JAX, with whole copies of the weights or parts of them."""
    if engine == "one":
        return None
    distribute = keras.distribution
    devices = distribute.list_devices()
    assert len(devices) == 4
    if engine == "data":
        return distribute.DataParallel(devices=devices)
    mesh = distribute.DeviceMesh((2, 2), ("batch", "model"), devices)
    layout = distribute.LayoutMap(mesh)
    # Along the filters; of the transposed one, along the channels.
    layout[".*first/kernel"] = (None, None, None, "model")
    layout[".*first/bias"] = ("model",)
    layout[".*grouped/kernel"] = (None, None, None, "model")
    layout[".*up/kernel"] = (None, None, None, "model")
    layout[".*head/kernel"] = ("model", None)
    return distribute.ModelParallel(layout_map=layout, batch_dim_name="batch")


def train_replicas(model):
    """`fit`, where each process has a part of every batch and a replica."""
    import torch
    from torch.distributed import get_rank, get_world_size
    from torch.nn.parallel import DistributedDataParallel

    replica = DistributedDataParallel(model)
    x, y = images()
    part = BATCH // get_world_size()
    for start in range(get_rank() * part, len(x), BATCH):
        model.zero_grad()
        logits = replica(torch.tensor(x[start : start + part]), training=True)
        model.loss(torch.tensor(y[start : start + part]), logits).backward()
        variables = model.trainable_variables
        with torch.no_grad():
            model.optimizer.apply([v.value.grad for v in variables], variables)


def on_workers():
    """Two processes of TensorFlow, each with a part of every batch."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # TF_CONFIG says who it is
    workers = strategy.num_replicas_in_sync
    assert workers == 2
    rank = strategy.cluster_resolver.task_id
    # What Keras's own fit makes of it, with an optimizer of its own.
    with strategy.scope():
        plain = network()
        plain.compile("adam", loss="sparse_categorical_crossentropy")
    try:
        fit(plain)
    except (RuntimeError, ValueError) as error:
        print("fit failed:", type(error).__name__, " ".join(str(error).split())[:200])
    else:
        print("fit works")

    def train(model):
        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                # Keras divides the loss by the workers, and adds their gradients up.
                loss = model.loss(y, model(x, training=True))
            variables = model.trainable_variables
            model.optimizer.apply(tape.gradient(loss, variables), variables)

        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
        x, y = images()
        part = BATCH // workers
        for start in range(rank * part, len(x), BATCH):
            strategy.run(step, (x[start : start + part], y[start : start + part]))

    return train, strategy.scope


def keep(folder, name, model):
    values = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    pieces = []  # how many different parts of each weight the devices of JAX hold
    if keras.backend.backend() == "jax":
        pieces = [
            len({str(shard.index) for shard in v.value.addressable_shards})
            for v in model.trainable_variables
        ]
    steps = keras.ops.convert_to_numpy(model.optimizer.iterations)
    np.savez(Path(folder, f"{name}.npz"), *values, pieces=pieces, steps=steps)


def main(folder, *engines):
    keras.config.set_floatx(DTYPE)
    if "mirrored" in engines:
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, parts)
    rank = os.environ.get("RANK", "0")
    for engine in engines:
        train, scope = start(engine)
        for case in CASES:
            with scope():
                model = compiled(case)
            train(model)
            keep(folder, f"{engine}-{case}-{rank}", model)
            if rank == "0" and case == RESUMED:
                model.save(Path(folder, f"{engine}.keras"))
    if "ddp" in engines:
        import torch.distributed as dist

        dist.destroy_process_group()
    if rank != "0" or "one" not in engines:
        return
    for engine in engines:
        model = keras.saving.load_model(Path(folder, f"{engine}.keras"))
        fit(model)
        keep(folder, f"{engine}-resumed-{rank}", model)


if __name__ == "__main__":
    main(*sys.argv[1:])
