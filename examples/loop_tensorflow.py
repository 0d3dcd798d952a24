"""A training loop of one's own on TensorFlow: GradientTape and apply_gradients.

WGD(RAdam) is used as any optimizer of Keras is. Trains for an epoch with the loop and
once more with fit, from the same weights and on the same batches, and prints by how
much the weights differ:

    KERAS_BACKEND=tensorflow python examples/loop_tensorflow.py

Takes some seconds. Needs scikit-learn besides keras_wgd and TensorFlow.
"""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

if keras.backend.backend() != "tensorflow":
    print("this example is about TensorFlow: set KERAS_BACKEND=tensorflow")
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
# A graph may not make variables in its second call.
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
