"""A process whose children are killed in the middle of saving, each elsewhere.

Run as a script with a folder; `SCENES` says what is left there, and by whom. All
children come from one process that has imported Keras, and not used it yet.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from keras_wgd import WGD
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import results
from keras_wgd.experiments.training import checkpoint, train
from support import small_study
from support.networks import compiled, convnet, images
from support.results import result_of
from support.runs import ARMS, SPEC, progress

RUN = ARMS["filters"]
WRITES = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")


def arrays(number):
    """What stands for the variables after an epoch of that number."""
    return [np.full((2, 3), number, "float32"), np.full(4, -number, "float32")]


def end_a_run(out):
    """All that is written from the last epoch of a run to its end."""
    folder = results.draft_of(out, SPEC)
    checkpoint.save(folder, SPEC, progress(2), arrays(2))
    checkpoint.remove(results.write(out, result_of(SPEC)))


def kill():
    """As `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_write(count, folder):
    """Kill this process where it would change a folder for so many times."""
    left = count

    def look(event, arguments):
        nonlocal left
        if event in WRITES and str(folder) in str(arguments[0]):
            if left == 0:
                kill()
            left -= 1

    sys.addaudithook(look)


def half(save):
    """Save, take half of it away, and be killed."""

    def save_half(model, filepath, *arguments, **options):
        save(model, filepath, *arguments, **options)
        content = Path(filepath).read_bytes()
        Path(filepath).write_bytes(content[: len(content) // 2])
        kill()

    return save_half


def save_model(out):
    """A run that is killed while it saves its model."""
    small_study.install()
    keras.Model.save = half(keras.Model.save)
    train.make(out, RUN, Options(save_model=True))


class KillAt(keras.callbacks.Callback):
    """Kill, or do something else, before the second batch of the third epoch."""

    def __init__(self, act):
        super().__init__()
        self.act, self.epoch = act, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            self.act()


def fit(folder=None, act=None):
    """Four epochs under BackupAndRestore, if there is a folder for it."""
    keras.utils.set_random_seed(0)
    model = convnet()
    compiled(model, WGD(keras.optimizers.Adam(0.01), kernels=model))
    callbacks = []
    if folder is not None:
        callbacks.append(
            keras.callbacks.BackupAndRestore(folder, double_checkpoint=True)
        )
    if act is not None:
        callbacks.append(KillAt(act))
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(*images(model), epochs=4, callbacks=callbacks, **options)
    return model


def fit_and_save_half(out):
    """The backup after the third epoch is cut off."""

    def act():
        keras.Model.save_weights = half(keras.Model.save_weights)

    fit(out, act)


SCENES = {
    "save": save_model,
    "fit": lambda out: fit(out, kill),
    "backup": fit_and_save_half,
}


def in_child(scene, out):
    """Whether a scene, in a process of its own, has ended well."""
    out.mkdir()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            scene(out)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), (out.name, status)
    return status == 0


def at_every_write(out):
    """The end of a run, killed before its first write, its second, and so on."""
    for count in range(100):
        place = out / f"write-{count}"

        def scene(place, count=count):
            folder = results.draft_of(place, SPEC)
            checkpoint.save(folder, SPEC, progress(1), arrays(1))
            kill_at_write(count, place)
            end_a_run(place)

        if in_child(scene, place):
            return


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for name, scene in SCENES.items():
        assert not in_child(scene, root / name), name
    at_every_write(root)
