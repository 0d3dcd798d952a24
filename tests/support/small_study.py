"""Studies whose network takes no time to compile, and commands that make them.

A script of this file's `SCRIPT` is a command line whose every run, in its own process
or in a worker's, trains the network below, whatever the network's name.
"""

import os
import signal
import subprocess
import sys
import time

from keras_wgd.tasks import models

SCRIPT = """
import sys

sys.path.insert(0, {tests!r})
from support import small_study

small_study.install()
if __name__ == "__main__":
    from keras_wgd.__main__ import main

    sys.exit(main())
"""


def build(name, input_shape, classes, stem=None):
    """A convolution with batch normalization and a head."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


def install():
    """Let all runs of this process train the small network."""
    models.build = build


def die_or_wait(rank, *_):
    """A process of several: the second is killed, the others wait for it."""
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def options(fields):
    """Fields of a run as a command takes them."""
    return [
        part
        for name, value in fields.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


def command(folder, *arguments):
    """Start a command line, in a process group of its own."""
    script = folder / "command.py"
    script.write_text(SCRIPT.format(tests=os.path.dirname(os.path.dirname(__file__))))
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
