"""Many steps: neither the memory nor the work of a step may grow.

Everything but the memory is counted, so no test depends on a clock. `pytest -s` shows
the times and the memory of each case.
"""

import gc
import os
import statistics
import sys
import time
from pathlib import Path

import keras
import pytest
from keras import layers
from support.networks import compiled, images

from keras_wgd import WGD, RAdam

BACKEND = keras.backend.backend()
MEGABYTE = 2**20

lengths = pytest.mark.parametrize(
    ("epochs", "steps"), [(5, 120), pytest.param(10, 1000, marks=pytest.mark.slow)]
)
placements = pytest.mark.parametrize("placement", ["gradient", "update"])


def network():
    """If each step kept one gradient, 360 steps would keep 53 MB."""
    return keras.Sequential(
        [
            keras.Input((4, 4, 64)),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(8, 3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


@pytest.fixture(scope="module")
def programs():
    """A list with an entry for each program that the backend compiles."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        if BACKEND == "jax":
            import jax

            jax.monitoring.register_event_duration_secs_listener(
                lambda event, seconds, **_: (
                    made.append(event)
                    if event.endswith("/backend_compile_duration")
                    else 0
                )
            )
        if BACKEND == "tensorflow":
            import tensorflow as tf

            make = tf.Graph.__init__  # of each trace of a tf.function, too
            patch.setattr(
                tf.Graph,
                "__init__",
                lambda graph, *args, **kwargs: (
                    made.append(graph.__class__) or make(graph, *args, **kwargs)
                ),
            )
        yield made


def tensors(objects):
    if BACKEND == "jax":
        import jax

        return len(jax.live_arrays())
    if BACKEND == "torch":
        import torch

        return sum(issubclass(type(thing), torch.Tensor) for thing in objects)
    import tensorflow as tf

    return sum(issubclass(type(thing), tf.Tensor) for thing in objects)


def resident():
    """The resident memory of the process in bytes, or 0 where it is unknown."""
    status = Path("/proc/self/statm")
    pages = int(status.read_text().split()[1]) if status.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Count(keras.callbacks.Callback):
    """Counts after each epoch; counts Python calls in its middle step."""

    def __init__(self, steps, programs):
        super().__init__()
        self.middle, self.programs = steps // 2, programs
        self.calls, self.counts, self.times, self.memory = 0, [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.middle:
            self.calls = 0
            gc.disable()  # a collection runs finalizers, which would be counted
            sys.setprofile(self.called)
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter() - self.began)
        if batch == self.middle:
            sys.setprofile(None)
            gc.enable()

    def called(self, frame, event, argument):
        self.calls += event in ("call", "c_call")

    def on_epoch_end(self, epoch, logs=None):
        gc.collect()
        objects = gc.get_objects()
        self.memory.append(resident())
        self.counts.append(
            {
                "programs": len(self.programs),
                "tensors": tensors(objects),
                "objects": len(objects),
                "calls": self.calls,
            }
        )


@pytest.fixture
def only_what_is_new():
    """Keep the garbage collector from counting objects that existed before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def counted(placement, programs, epochs, steps, **options):
    keras.utils.set_random_seed(0)
    optimizer = WGD(RAdam(1e-4), placement=placement)
    model = compiled(network(), optimizer, **options)
    x, y = (part.repeat(steps, 0) for part in images(model, samples=4))
    count = Count(steps, programs)
    model.fit(x, y, 4, epochs, shuffle=False, verbose=0, callbacks=[count])
    assert int(optimizer.iterations) == epochs * steps
    return count


def assert_nothing_grows(count):
    # The first epoch includes the compilation, and holds one tensor less.
    second, *later = count.counts[1:]
    objects = [counts.pop("objects") for counts in (second, *later)]
    assert later == [second] * len(later)
    # One of Python's caches may grow by an entry. One per step would be hundreds.
    assert max(objects) - objects[0] < 10
    assert max(count.memory[2:]) - count.memory[1] < 32 * MEGABYTE


@lengths
@placements
@pytest.mark.usefixtures("only_what_is_new")
def test_nothing_grows_in_fit(placement, epochs, steps, programs):
    count = counted(placement, programs, epochs, steps)
    print(f"\n{BACKEND}, {placement}: {count.counts[-1]}")
    print("MB:", *(f"{held / MEGABYTE:.1f}" for held in count.memory))
    for name, times in (
        ("first", count.times[:steps]),
        ("last", count.times[-steps:]),
    ):
        print(
            f"{name} {steps} steps: median {1e3 * statistics.median(times):.3f}, "
            f"minimum {1e3 * min(times):.3f} ms"
        )
    assert_nothing_grows(count)


if BACKEND == "tensorflow":

    @placements
    @pytest.mark.usefixtures("only_what_is_new")
    def test_nothing_grows_in_eager_steps(placement, programs):
        count = counted(placement, programs, 4, 6, run_eagerly=True)
        assert_nothing_grows(count)
