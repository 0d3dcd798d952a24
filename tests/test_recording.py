import keras
import numpy as np
import pytest
import reference
from networks import values

from keras_wgd.study.recording import RecordingWGD


@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_the_ratio_is_that_of_the_norms_over_all_steps(placement):
    """Against SGD(1.0) alone, whose steps are the gradients."""
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")

    def trained(optimizer, steps):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                keras.layers.Conv2D(3, 3),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        model.compile(optimizer, loss="mse")
        before = values(model.trainable_variables)
        for _ in range(steps):
            model.train_on_batch(x, np.ones((8, 1)))
        return [
            b.astype("float64") - a
            for b, a in zip(before, values(model.trainable_variables), strict=True)
        ]

    gradient = trained(keras.optimizers.SGD(1.0), 1)[0]
    whitened = reference.whiten(gradient, "ordinary", "filters")
    recording = RecordingWGD(keras.optimizers.SGD(1e-30), "filters", placement)
    trained(recording, 3)  # three times the same gradient
    wanted = np.linalg.norm(whitened) / np.linalg.norm(gradient)
    assert 0.1 < wanted < 0.99
    total = float(keras.ops.convert_to_numpy(recording._sums[0]))
    assert total == pytest.approx(3 * np.sum(gradient**2), rel=1e-4)
    assert recording.take_ratio() == pytest.approx(wanted, rel=1e-4)
    assert np.isnan(recording.take_ratio())
    assert len(recording.variables) == len(recording.inner_optimizer.variables) + 2
