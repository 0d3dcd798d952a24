"""Compare: does WGD help this network on these data?

Trains a small network on scikit-learn's handwritten digits with Adam and with
WGD(Adam), seed by seed, until the answer is clear or all seeds are used. Prints the
comparison, and writes `compare.html`, a page with figures that needs no network.

    KERAS_BACKEND=jax python examples/compare.py

Runs for a minute or two on two cores. The trials are in `runs/digits`: after an
interruption the same command goes on. Needs scikit-learn and the extra `study`.
"""

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_wgd import WGD, compare

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
x, x_val, y, y_val = train_test_split(
    images, labels, test_size=0.5, stratify=labels, random_state=0
)


def build_model():
    """Three convolutions and a head; not compiled."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


comparison = compare(
    build_model,
    {
        "adam": lambda: keras.optimizers.Adam(3e-3),
        "wgd": lambda: WGD(keras.optimizers.Adam(3e-3), mean_over="fan_in"),
    },
    train=(x, y),
    validation=(x_val, y_val),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    epochs=10,
    margin=0.005,  # half a point of accuracy
    budget="90s",
    out="runs/digits",
)
print(comparison)
print("page:", comparison.report("compare.html"))
