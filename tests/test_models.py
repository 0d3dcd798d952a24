import keras
import numpy as np
import pytest
from keras import layers

from keras_wgd import models
from keras_wgd.models import applications


@pytest.mark.parametrize(
    ("name", "convolutions", "parameters"),
    # By hand, stem, stages, shortcuts, normalisation and head:
    # 432 + 4608 + 13824 + 55296 + 2560 + 672 + 650, and for n = 3
    # 432 + 13824 + 50688 + 202752 + 2560 + 1568 + 650 (0.27 M in the paper).
    [("resnet8", 7 + 2, 78_042), ("resnet20", 19 + 2, 272_474)],
)
def test_residual_networks_have_the_size_they_should(name, convolutions, parameters):
    model = models.build(name, (32, 32, 3), 10)
    found = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert len(found) == convolutions
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == parameters


def test_l2_adds_its_gradient_to_every_weight():
    model = models.build("resnet8", (8, 8, 1), 10, l2=0.5)
    expected = sum(
        0.5 * float(np.sum(keras.ops.convert_to_numpy(v).astype("float64") ** 2))
        for v in model.trainable_variables
    )
    losses = sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert len(model.losses) == len(model.trainable_variables)


def test_a_network_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"resnet8, resnet20. Received: 'resnet9'"):
        models.build("resnet9", (8, 8, 1), 10)
    with pytest.raises(ValueError, match=r"mobilenetv2, .* Received: 'lenet'"):
        applications.load("lenet")


def test_files_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a file that exists"):
        applications.load(str(tmp_path / "absent.keras"))
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    path = tmp_path / "model.keras"
    model.save(path)
    assert len(applications.load(str(path)).layers) == 1
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"must be a whole .keras file") as error:
        applications.load(str(path))
    assert "\n" not in str(error.value)
