"""Mixed precision: the loss scale, and a step that overflows.

Under mixed_float16, `compile` puts a LossScaleOptimizer around WGD(RAdam). It
unscales the gradients first, and WGD centers them only if all of them are finite. One
batch here is a million times too bright. Prints the loss scale and how far the weights
move in each step. In that step they do not move, and the scale is halved.

    KERAS_BACKEND=torch python examples/mixed_precision.py

Runs for seconds on any backend. Needs scikit-learn.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

keras.utils.set_random_seed(0)
keras.config.set_dtype_policy("mixed_float16")

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
)
model.compile(
    WGD(RAdam(3e-3)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
outer = model.optimizer
print(f"{type(outer).__name__}({type(outer.inner_optimizer).__name__}(RAdam))")
policy = keras.config.dtype_policy()
print(f"weights {policy.variable_dtype}, computation {policy.compute_dtype}")

print("step  brightness  loss scale  largest move  steps taken")
for step in range(1, 9):
    x, y = images[32 * step :][:32], labels[32 * step :][:32]
    brightness = 1e6 if step == 4 else 1.0
    before = model.get_weights()
    model.train_on_batch(x * brightness, y)
    pairs = zip(before, model.get_weights(), strict=True)
    move = max(np.abs(a - b).max() for a, b in pairs)
    scale, taken = float(outer.dynamic_scale), int(outer.inner_optimizer.iterations)
    print(f"{step:4}{brightness:12.0e}{scale:12.0f}{move:14.1e}{taken:13}")
