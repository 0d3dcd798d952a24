"""Fine-tuning: WGD centers only what is trained, and frozen weights do not move.

1. A small MobileNetV2 learns the digits 0 to 4.
2. It is frozen, and a new head learns the digits 5 to 9. The head has no convolution,
   so WGD warns that there is nothing to center.
3. Its last block is unfrozen and trained too. The model is compiled again, because an
   optimizer is built on the variables that are trainable at that time.

Prints the summary, the test accuracy and the largest change of a frozen weight.

    KERAS_BACKEND=torch python examples/fine_tuning.py [--imagenet] [--epochs N]

With --imagenet, the first step downloads weights instead. Runs for one minute on
PyTorch, and up to two on the others. Needs scikit-learn.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam

parser = argparse.ArgumentParser()
parser.add_argument("--imagenet", action="store_true")
parser.add_argument("--epochs", type=int, default=4)
options = parser.parse_args()

keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 8 - 1  # from -1 to 1
images = images.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)
low, high = labels < 5, labels >= 5

network = keras.applications.MobileNetV2(
    input_shape=(32, 32, 3),
    alpha=0.35,
    include_top=False,
    weights="imagenet" if options.imagenet else None,
    pooling="avg",
)
normalizations = [
    layer
    for layer in network.layers
    if isinstance(layer, keras.layers.BatchNormalization)
]


def with_head(**call):
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, keras.layers.Dense(5)(network(inputs, **call)))


def train(title, model, learning_rate, x, y):
    """Compile, train, and print how far the frozen weights moved."""
    print(f"\n{title}", flush=True)
    optimizer = WGD(RAdam(learning_rate, beta_2=0.99), kernels=model)
    model.compile(
        optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    frozen = [
        w for layer in network.layers if not layer.trainable for w in layer.weights
    ]
    before = [keras.ops.convert_to_numpy(weight) for weight in frozen]
    model.fit(x[:640], y[:640], batch_size=32, epochs=options.epochs, verbose=0)
    pairs = zip(before, frozen, strict=True)
    changes = [np.abs(a - keras.ops.convert_to_numpy(b)).max() for a, b in pairs]
    _, accuracy = model.evaluate(x[640:], y[640:], verbose=0)
    if frozen:
        optimizer.summary()
    print(f"{len(frozen)} frozen weights, largest change {max(changes, default=0.0)}")
    print(f"test accuracy {accuracy:.1%}")


if not options.imagenet:
    for layer in normalizations:
        layer.momentum = 0.9  # so that the statistics follow within few steps
    train("From scratch, 0 to 4", with_head(), 1e-2, images[low], labels[low])

network.trainable = False
# Batch normalization keeps its statistics, also when the last block is unfrozen.
model = with_head(training=False)
train("The head alone, 5 to 9", model, 1e-2, images[high], labels[high] - 5)

network.trainable = True
first = [layer.name for layer in network.layers].index("block_16_expand")
for layer in [*network.layers[:first], *normalizations]:
    layer.trainable = False
train("The last block too, 5 to 9", model, 3e-3, images[high], labels[high] - 5)
