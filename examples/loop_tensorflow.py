"""A custom training loop on TensorFlow, with GradientTape and apply_gradients.

The loop uses WGD(RAdam) like any Keras optimizer. Trains for one epoch with the loop,
and again with fit, from the same weights and on the same batches. Prints the largest
difference between the weights.

    KERAS_BACKEND=tensorflow python examples/loop_tensorflow.py

Runs for seconds. Needs scikit-learn.
"""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

if keras.backend.backend() != "tensorflow":
    print("This example needs KERAS_BACKEND=tensorflow.")
    sys.exit(2)

import tensorflow as tf

BATCH = 32
images, labels = load_digits(return_X_y=True)
x, y = images[:1024].reshape(-1, 8, 8, 1).astype("float32") / 16, labels[:1024]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


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


model, optimizer = network(), WGD(RAdam(3e-3))
# A tf.function may not create variables in its second call.
optimizer.build(model.trainable_variables)


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        value = loss(y, model(x, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return value


for number, batch in enumerate(tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)):
    value = step(*batch)
    if number % 8 == 0:
        print(f"step {number + 1:2}: loss {float(value):.4f}")

fitted = network()
fitted.compile(WGD(RAdam(3e-3)), loss=loss)
fitted.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
pairs = zip(model.get_weights(), fitted.get_weights(), strict=True)
difference = max(np.abs(a - b).max() for a, b in pairs)
print(f"largest difference from the weights of fit: {difference:.1e}")
