"""A custom training loop on JAX, with stateless_call and stateless_apply.

The step is one compiled function from weights and state to new weights and state. Their
buffers are donated, so a step needs no second copy of them. Trains for one epoch with
the loop, and again with fit, from the same weights and on the same batches. Prints the
largest difference between the weights.

    KERAS_BACKEND=jax python examples/loop_jax.py

Runs for seconds. Needs scikit-learn.
"""

import sys
from functools import partial

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

if keras.backend.backend() != "jax":
    print("This example needs KERAS_BACKEND=jax.")
    sys.exit(2)

import jax

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


def loss_of(trainable, fixed, x, y):
    logits, fixed = model.stateless_call(trainable, fixed, x, training=True)
    return loss(y, logits), fixed


@partial(jax.jit, donate_argnums=(0, 1, 2))
def step(trainable, fixed, state, x, y):
    value_and_gradients = jax.value_and_grad(loss_of, has_aux=True)
    (value, fixed), gradients = value_and_gradients(trainable, fixed, x, y)
    trainable, state = optimizer.stateless_apply(state, gradients, trainable)
    return trainable, fixed, state, value


variables = (
    model.trainable_variables,
    model.non_trainable_variables,
    optimizer.variables,
)
values = [[variable.value for variable in group] for group in variables]
for number, start in enumerate(range(0, len(x), BATCH)):
    batch = x[start : start + BATCH], y[start : start + BATCH]
    *values, value = step(*values, *batch)
    if number % 8 == 0:
        print(f"step {number + 1:2}: loss {float(value):.4f}")

# Keras's variables still hold the donated buffers.
for group, new in zip(variables, values, strict=True):
    for variable, array in zip(group, new, strict=True):
        variable.assign(array)

fitted = network()
fitted.compile(WGD(RAdam(3e-3)), loss=loss)
fitted.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
pairs = zip(model.get_weights(), fitted.get_weights(), strict=True)
difference = max(np.abs(a - b).max() for a, b in pairs)
print(f"largest difference from the weights of fit: {difference:.1e}")
