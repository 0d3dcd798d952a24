"""The paper's 48 runs, each two steps long on a few small images.

`make test-all` makes all of them on the first backend, and one on each. `make paper`
makes all of them on each.
"""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from support.runs import cifar_arrays

from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import results
from keras_wgd.experiments.training import train
from keras_wgd.presets import preset
from keras_wgd.tasks.datasets import animals10

pytestmark = pytest.mark.slow

RUNS = preset("paper").runs()
# Each backend makes this one. It takes minutes to compile the larger networks.
EVERYWHERE = next(
    spec for spec in RUNS if (spec.model, spec.arm) == ("resnet18", "filters")
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "cifar100.npz", **cifar_arrays())
    pixels = np.random.default_rng(0)
    for name in animals10.CLASSES:
        (folder / "raw-img" / name).mkdir(parents=True)
        for number in range(3):
            image = Image.fromarray(pixels.integers(0, 256, (40, 50, 3), "uint8"))
            image.save(folder / "raw-img" / name / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(
            spec,
            id=spec.id,
            marks=() if spec == EVERYWHERE else pytest.mark.any_backend,
        )
        for spec in RUNS
    ],
)
def test_run_of_the_paper(spec, data_dir, tmp_path):
    small = dataclasses.replace(
        spec, image_size=32, epochs=1, batch_size=4, train_size=8, test_size=4
    )
    result = train.make(tmp_path, small, Options(str(data_dir), save_model=True))
    folder = results.path_of(tmp_path, small)
    np.testing.assert_equal(results.read(folder).metrics, result.metrics)  # NaN, too
    assert (folder / train.MODEL).stat().st_size > 10**7
    assert (result.centered > 0) == (spec.mean_over is not None)
    assert np.isfinite(result.curves["train_loss"]).all()
