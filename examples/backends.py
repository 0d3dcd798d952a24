"""The same losses on each backend.

Keras reads KERAS_BACKEND once, when it is imported. So this script starts one process
for each installed backend. All start from the same weights, drawn by NumPy. Prints the
losses of the first steps of WGD(RAdam) side by side.

    python examples/backends.py

Runs for half a minute. Needs scikit-learn and two backends.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

STEPS = 10


def losses():
    """The loss before each step, on the backend of this process."""
    import keras
    import numpy as np
    from sklearn.datasets import load_digits

    from keras_wgd import WGD, RAdam

    images, labels = load_digits(return_X_y=True)
    images = images[:128].reshape(-1, 8, 8, 1).astype("float32") / 16
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    # Each backend has its own random numbers, so NumPy draws the weights.
    generator = np.random.default_rng(0)
    model.set_weights(
        [
            generator.normal(0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape)
            for weight in model.get_weights()
        ]
    )
    model.compile(
        WGD(RAdam(3e-3)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        images, labels[:128], batch_size=128, epochs=STEPS, shuffle=False, verbose=0
    )
    return history.history["loss"]


def main():
    found = {}
    for backend in ("tensorflow", "jax", "torch"):
        if find_spec(backend):
            done = subprocess.run(
                [sys.executable, __file__, "losses"],
                env={**os.environ, "KERAS_BACKEND": backend},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[backend] = json.loads(done.stdout.splitlines()[-1])
    print("step", *(f"{backend:>12}" for backend in found))
    rows = list(zip(*found.values(), strict=True))
    for step, row in enumerate(rows, 1):
        print(f"{step:4}", *(f"{loss:12.7f}" for loss in row))
    difference = max(max(row) - min(row) for row in rows)
    print(f"largest difference among {len(found)} backends: {difference:.1e}")


if __name__ == "__main__":
    if sys.argv[1:] == ["losses"]:
        print(json.dumps(losses()))
    else:
        main()
