"""Arms that are not what their names say are pointed out."""

import keras
import numpy as np
import pytest
from support.comparing import TWO, adam, compared

from keras_wgd import WGD

X = np.random.default_rng(0).normal(size=(48, 8, 8, 1)).astype("float32")
DATA = {"train": (X, np.arange(48) % 3), "validation": (X, np.arange(48) % 3)}


def warnings_of(*arguments, **changes):
    return compared(*arguments, epochs=1, **changes).warnings


@pytest.mark.any_backend
def test_arms_that_are_the_same_are_pointed_out():
    late = {f"adam {r}": lambda: keras.optimizers.Adam(r) for r in (0.1, 0.01)}  # noqa: B023
    (warning,) = warnings_of(optimizers=late)
    assert warning.startswith("adam 0.1 and adam 0.01 are the same optimizer")
    assert not warnings_of(optimizers=TWO)
    named = {"one": lambda: keras.optimizers.Adam(name="one"), "two": "adam"}
    assert len(warnings_of(optimizers=named)) == 1


@pytest.mark.any_backend
def test_arms_with_other_grids_are_not_the_same():
    arms = dict.fromkeys(("one", "two"), keras.optimizers.SGD)
    warnings = warnings_of(
        optimizers=arms, learning_rates={"one": [0.1, 0.2], "two": [0.1, 0.3]}
    )
    assert not any("same optimizer" in warning for warning in warnings)


def network(second):
    def build_model():
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(4, 3),
                second(),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )

    return build_model


def one_filter():
    return keras.layers.Conv2D(1, 3, name="last")


@pytest.mark.any_backend
def test_kernels_that_names_do_not_tell_are_pointed_out():
    arms = {"adam": adam, "wgd": lambda: WGD(adam(), "fan_in")}
    build_model = network(one_filter)
    (warning,) = warnings_of(build_model, arms, **DATA)
    assert warning.startswith("wgd takes convolution kernels by their names")
    assert "last/kernel" in warning
    assert not warnings_of(network(lambda: keras.layers.Conv2D(2, 3)), arms, **DATA)
    # The advice of the warning.
    by_layer = WGD(adam(), "fan_in", kernels=build_model())
    arms["wgd"] = keras.optimizers.serialize(by_layer)
    comparison = compared(build_model, arms, epochs=1, **DATA)
    assert not comparison.warnings
    assert comparison.runs["centered"].to_list() == [0, 2] * 2
