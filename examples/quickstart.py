"""Quickstart: change one line and see its effect.

Trains a small network on scikit-learn's handwritten digits twice, from the same
initial weights: with RAdam, then with WGD(RAdam). Prints both test accuracies and which
kernels WGD centers. Then saves the model, loads it and resumes training.

    KERAS_BACKEND=jax python examples/quickstart.py

Runs for seconds on any backend. Needs scikit-learn.
"""

import tempfile
from pathlib import Path

import keras
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
x_train, y_train, x_test, y_test = (
    images[:1440],
    labels[:1440],
    images[1440:],
    labels[1440:],
)


def network():
    """Two convolutions and a head, with the same initial weights each time."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


for optimizer in (RAdam(3e-3), WGD(RAdam(3e-3), mean_over="fan_in")):
    model = network()
    model.compile(
        optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, batch_size=32, epochs=5, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"{optimizer.name}: test loss {loss:.3f}, accuracy {accuracy:.1%}")

model.optimizer.summary()

with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "model.keras")
    model = keras.saving.load_model(Path(folder) / "model.keras")
steps = int(model.optimizer.iterations)
model.fit(x_train, y_train, batch_size=32, epochs=1, verbose=0)
print(f"loaded at step {steps}, resumed to step {int(model.optimizer.iterations)}")
