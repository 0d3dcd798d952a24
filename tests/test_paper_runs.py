"""The paper's 48 runs, each two steps long on a handful of small images.

`make test` takes four with every data set, network, optimizer and arm among them, the
larger networks on one backend; `make paper` takes all on each.
"""

import dataclasses
import os

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
# Eight to a data set and network.
SOME = [RUNS[8 * pair + run] for pair, run in ((0, 0), (1, 3), (4, 4), (5, 7))]


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


def chosen():
    """`SOME` of the runs, after the first backend one; or all of them on each."""
    if os.environ.get("KERAS_WGD_ALL_RUNS"):
        return RUNS
    (first, *rest) = sorted(SOME, key=lambda spec: spec.model != "resnet18")
    once = pytest.mark.any_backend  # as compiling takes its time
    return [first, *(pytest.param(spec, marks=once) for spec in rest)]


@pytest.mark.parametrize("spec", chosen(), ids=lambda spec: spec.id)
def test_a_run_of_the_paper_builds_trains_two_steps_and_saves(spec, data_dir, tmp_path):
    small = dataclasses.replace(
        spec, image_size=32, epochs=1, batch_size=4, train_size=8, test_size=4
    )
    result = train.make(tmp_path, small, Options(str(data_dir), save_model=True))
    folder = results.path_of(tmp_path, small)
    np.testing.assert_equal(results.read(folder).metrics, result.metrics)  # NaN, too
    assert (folder / train.MODEL).stat().st_size > 10**7
    assert (result.centred > 0) == (spec.mean_over is not None)
    assert np.isfinite(result.curves["train_loss"]).all()


def test_some_runs_have_every_data_set_network_optimizer_and_arm():
    for name in ("dataset", "model", "optimizer", "arm"):
        values = {getattr(spec, name) for spec in RUNS}
        assert {getattr(spec, name) for spec in SOME} == values
    assert len(SOME) == 4
