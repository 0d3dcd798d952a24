"""The paper's 48 runs, each two steps long on a few small images.

`make test` makes four that cover every data set, network, optimizer and arm: one on
each backend, the others on the first. `make test-all` makes the other 44 on the first
backend too, and `make paper` makes all of them on each.
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
from keras_wgd.tasks.datasets import animals10, cifar100

RUNS = preset("paper").runs()
# One of the eight runs of each data set and network.
SOME = [RUNS[8 * pair + run] for pair, run in ((0, 0), (1, 3), (4, 4), (5, 7))]
SMALLEST = next(spec for spec in SOME if spec.model == "resnet18")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / cifar100.FILE, **cifar_arrays())
    pixels = np.random.default_rng(0)
    for name in animals10.CLASSES:
        (folder / "raw-img" / name).mkdir(parents=True)
        for number in range(3):
            image = Image.fromarray(pixels.integers(0, 256, (40, 50, 3), "uint8"))
            image.save(folder / "raw-img" / name / f"{number}.png")
    return folder


def marks(spec):
    """The tier of a run, and its backends: large networks take minutes to compile."""
    if spec == SMALLEST:
        return ()
    if spec in SOME:
        return pytest.mark.any_backend
    return (pytest.mark.any_backend, pytest.mark.slow)


@pytest.mark.parametrize(
    "spec", [pytest.param(spec, id=spec.id, marks=marks(spec)) for spec in RUNS]
)
def test_run_of_the_paper(spec, data_dir, tmp_path):
    small = dataclasses.replace(
        spec, image_size=32, epochs=1, batch_size=4, train_size=8, test_size=4
    )
    result = train.make(tmp_path, small, Options(str(data_dir), save_model=True))
    folder = results.path_of(tmp_path, small)
    np.testing.assert_equal(results.read(folder).metrics, result.metrics)  # NaN, too
    assert (folder / train.MODEL).stat().st_size > 10**7
    assert (result.centred > 0) == (spec.mean_over is not None)
    assert np.isfinite(result.curves["train_loss"]).all()


def test_selected_runs_cover_every_choice():
    for name in ("dataset", "model", "optimizer", "arm"):
        values = {getattr(spec, name) for spec in RUNS}
        assert {getattr(spec, name) for spec in SOME} == values
    assert len(SOME) == 4
