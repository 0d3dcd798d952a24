"""The same seed gives the same training, which equals NumPy's."""

import keras
import numpy as np
import pytest
from keras import layers
from numpy.lib.stride_tricks import sliding_window_view
from support import reference
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD, RAdam

pytestmark = pytest.mark.usefixtures("full_compilation")

STEPS = 50


def fitted(seed):
    keras.utils.set_random_seed(seed)
    model = convnet()
    dropping = keras.Sequential([keras.Input((6, 6, 3)), layers.Dropout(0.2), model])
    compiled(dropping, WGD(RAdam(0.01, beta_2=0.9), "fan_in", "update"))
    x, y = images(model)
    losses = dropping.fit(x, y, batch_size=4, epochs=3, verbose=0).history["loss"]
    return [*values(dropping.weights + dropping.optimizer.variables), losses]


def test_same_seed_gives_the_same_weights():
    first, again, other = fitted(0), fitted(0), fitted(1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    kernel = 0
    assert (first[kernel] != other[kernel]).any()


def patches(x):
    return sliding_window_view(x, (3, 3), axis=(1, 2))


def convolved(x, kernel):
    return np.einsum("nhwcij,ijco->nhwo", patches(x), kernel)


def loss_and_gradients(weights, x, y):
    """The loss of `network` and its gradients, in NumPy."""
    first, first_bias, second, second_bias, head, head_bias = weights
    hidden = np.tanh(convolved(x, first) + first_bias)
    flat = (convolved(hidden, second) + second_bias).reshape(len(x), -1)
    logits = flat @ head + head_bias
    exponentials = np.exp(logits)
    shares = exponentials / exponentials.sum(-1, keepdims=True)
    loss = -np.log(shares[range(len(x)), y]).mean()

    to_logits = (shares - np.eye(3)[y]) / len(x)
    to_second = (to_logits @ head.T).reshape(len(x), 2, 2, 4)
    padded = np.pad(to_second, [(0, 0), (2, 2), (2, 2), (0, 0)])
    flipped = second[::-1, ::-1].swapaxes(2, 3)
    to_first = convolved(padded, flipped) * (1 - hidden**2)
    kernel_gradient = "nhwcij,nhwo->ijco"
    return loss, [
        np.einsum(kernel_gradient, patches(x), to_first),
        to_first.sum((0, 1, 2)),
        np.einsum(kernel_gradient, patches(hidden), to_second),
        to_second.sum((0, 1, 2)),
        flat.T @ to_logits,
        to_logits.sum(0),
    ]


def network():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, activation="tanh"),
            layers.Conv2D(4, 3),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def numpy_losses(start, x, y, mean_over):
    weights, seen, losses = start, [], []
    for _ in range(STEPS):
        loss, gradients = loss_and_gradients(weights, x, y)
        losses.append(loss)
        seen.append(
            [
                reference.whiten(g, "standard", mean_over) if g.ndim == 4 else g
                for g in gradients
            ]
        )
        weights = [
            reference.radam(w, of_one, learning_rate=0.01, beta_2=0.9)
            for w, of_one in zip(start, zip(*seen, strict=True), strict=True)
        ]
    return losses


@pytest.mark.parametrize("mean_over", ["filters", "fan_in"])
def test_losses_equal_numpy(mean_over):
    """Within 5e-6, so any two backends agree within 1e-5."""
    generator = np.random.default_rng(0)
    model = compiled(network(), WGD(RAdam(0.01, beta_2=0.9), mean_over))
    start = [generator.normal(0, 0.3, w.shape) for w in model.get_weights()]
    model.set_weights(start)
    start = [w.astype("float64") for w in model.get_weights()]
    x, y = images(model)
    losses = [float(model.train_on_batch(x, y)) for _ in range(STEPS)]
    wanted = numpy_losses(start, x.astype("float64"), y, mean_over)
    assert wanted[-1] < wanted[0] / 2
    np.testing.assert_allclose(losses, wanted, rtol=0, atol=5e-6)
