"""A custom training loop on PyTorch, with backward and apply.

The step centers the gradients of the kernels in place. The script prints the mean of
`.grad` before and after a step: it is zero afterwards. Trains for one epoch with the
loop, and again with fit, from the same weights and on the same batches. Prints the
largest difference between the weights.

    KERAS_BACKEND=torch python examples/loop_torch.py

Runs for seconds. Needs scikit-learn.
"""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

if keras.backend.backend() != "torch":
    print("This example needs KERAS_BACKEND=torch.")
    sys.exit(2)

import torch

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
optimizer.build(model.trainable_variables)
variables = model.trainable_variables

for number, start in enumerate(range(0, len(x), BATCH)):
    batch = x[start : start + BATCH], y[start : start + BATCH]
    images, labels = map(torch.as_tensor, batch)
    model.zero_grad()
    value = loss(labels, model(images, training=True))
    value.backward()
    gradients = [variable.value.grad for variable in variables]
    with torch.no_grad():
        before = float(gradients[0].mean(-1).abs().max())
        optimizer.apply(gradients, variables)
        after = float(gradients[0].mean(-1).abs().max())
    if number % 8 == 0:
        print(f"step {number + 1:2}: loss {float(value.detach()):.4f}", end=", ")
        print(f"mean of .grad over the filters {before:.1e}, then {after:.1e}")

fitted = network()
fitted.compile(WGD(RAdam(3e-3)), loss=loss)
fitted.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
pairs = zip(model.get_weights(), fitted.get_weights(), strict=True)
difference = max(np.abs(a - b).max() for a, b in pairs)
print(f"largest difference from the weights of fit: {difference:.1e}")
