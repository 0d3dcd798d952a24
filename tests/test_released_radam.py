"""`placement="update"` beside the RAdam that the authors of the paper released."""

import keras
import numpy as np

from keras_wgd import WGD, RAdam

RATE, BETA_1, BETA_2, EPSILON = 0.01, 0.9, 0.999, 1e-8
STEPS = 60


def drawn():
    """A kernel, and gradients with a mean that is not zero; in float64."""
    generator = np.random.default_rng(0)
    kernel = generator.normal(0, 0.1, (3, 3, 4, 8))
    gradients = generator.normal(0.25, 1, (STEPS, *kernel.shape))
    return kernel, gradients


def released(kernel, gradients, alias):
    """Their RAdam, step by step.

    The update is centered where it is. Before the rectification sets in, the update is
    the momentum itself: with `alias` that is centered, too.
    """
    kernel = kernel.copy()
    momentum, second = np.zeros_like(kernel), np.zeros_like(kernel)
    longest = 2 / (1 - BETA_2) - 1
    for step, gradient in enumerate(gradients, 1):
        momentum *= BETA_1
        momentum += (1 - BETA_1) * gradient
        second *= BETA_2
        second += (1 - BETA_2) * gradient**2
        power = BETA_2**step
        length = longest - 2 * step * power / (1 - power)
        rate = RATE / (1 - BETA_1**step)
        if length > 5:
            ratio = (length - 4) / (longest - 4) * (length - 2) / (longest - 2)
            rate *= np.sqrt((1 - power) * ratio * longest / length)
            update = momentum / (np.sqrt(second) + EPSILON)
        else:
            update = momentum if alias else momentum.copy()
        update -= update.mean(axis=(0, 1, 2), keepdims=True)
        kernel -= rate * update
    return kernel


def ours(kernel, gradients):
    variable = keras.Variable(kernel.astype("float32"), name="kernel")
    radam = RAdam(RATE, BETA_1, BETA_2, epsilon=EPSILON)
    optimizer = WGD(radam, mean_over="fan_in", placement="update")
    optimizer.build([variable])
    assert len(optimizer.whitened_variables) == 1
    for gradient in gradients:
        tensor = keras.ops.convert_to_tensor(gradient.astype("float32"))
        optimizer.apply([tensor], [variable])
    return keras.ops.convert_to_numpy(variable)


def test_weights_of_the_released_radam_without_its_alias():
    kernel, gradients = drawn()
    found = ours(kernel, gradients)
    assert np.abs(found - released(kernel, gradients, alias=False)).max() < 1e-6
    difference = np.abs(found - released(kernel, gradients, alias=True)).max()
    assert 1e-4 < difference < 2e-3


def test_alias_acts_in_the_first_five_steps():
    kernel, gradients = drawn()
    # The update of a momentum that is centered already is the same in the early steps.
    for steps, same in ((5, True), (6, False)):
        pair = [released(kernel, gradients[:steps], alias) for alias in (0, 1)]
        assert (np.abs(pair[0] - pair[1]).max() < 1e-12) == same
