import itertools
import json
import sys

import keras
import numpy as np
import pytest
from support.networks import convnet, values

from keras_wgd import WhiteningMonitor, cli
from keras_wgd.bench import NETWORKS, growth, measurements, memory, networks, tables
from keras_wgd.bench import contenders as bench_contenders
from keras_wgd.bench.contenders import contenders, in_fit
from keras_wgd.bench.measurements import interleaved
from keras_wgd.bench.steps import WARM_UP, Steps
from keras_wgd.environment import environment
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.optimizers.means import MEANS, PLACEMENTS

BACKEND = keras.backend.backend()
PEERS = {
    "torch": {
        "sgdm": ["torch.optim.SGD(foreach=True)", "torch.optim.SGD(fused=True)"],
        "adam": ["torch.optim.Adam(foreach=True)", "torch.optim.Adam(fused=True)"],
        "nadam": ["torch.optim.NAdam(foreach=True)"],
        "radam": [
            "torch.optim.RAdam(foreach=True)",
            "pytorch_optimizer.RAdam, centralized",
        ],
    },
    "jax": {
        "sgdm": ["optax.sgd"],
        "adam": ["optax.adam"],
        "nadam": ["optax.nadam"],
        "radam": ["optax.radam", "optax.chain(centralize, radam)"],
    },
    "tensorflow": {
        "sgdm": [],
        "adam": [],
        "nadam": [],
        "radam": ["keras.optimizers.Adam"],
    },
}[BACKEND]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_of_all_contenders(optimizer):
    variables = networks.kernels(2, 4)
    found = contenders(optimizer, MEANS, PLACEMENTS)
    assert [c.name for c in found if c.kind == "peer"] == PEERS[optimizer]
    calls = []
    measured = measurements.of_steps(variables, found, 3, lambda: calls.append(0))
    assert [m.name for m in measured] == [c.name for c in found]
    assert len({m.name for m in measured}) == len(found)
    assert len(calls) == 4 * len(found)
    kinds = ["alone"] + ["wgd"] * (2 * len(MEANS)) + ["peer"] * len(PEERS[optimizer])
    assert [m.kind for m in measured] == kinds
    for m in measured:
        assert len(m.seconds) == 3
        assert min(m.seconds) > 0
        low, high = m.quartiles
        assert low <= m.median <= high
        assert m.bytes_moved == m.passes * 2 * 3 * 3 * 4 * 4 * 4


def test_passes_over_memory():
    """SGD with momentum reads g, v, w and writes v, w; a mean reads g once more."""
    passes = {
        (c.optimizer, c.placement): c.passes(1.0)
        for optimizer in ("sgdm", "adam", "radam")
        for c in contenders(optimizer, ["filters"], PLACEMENTS)
    }
    assert passes["sgdm", "gradient"] / passes["sgdm", None] == 6 / 5
    assert passes["adam", "gradient"] / passes["adam", None] == 8 / 7
    assert passes["radam", "gradient"] / passes["radam", None] == 8 / 7
    assert passes["radam", "update"] / passes["radam", None] == 9 / 7


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("copied", [False, True] if BACKEND == "torch" else [False])
def test_timed_step_equals_apply(optimizer, at, copied, monkeypatch):
    monkeypatch.setattr(bench_contenders, "_RATE", 0.01)
    contender = contenders(optimizer, ["filters"], ["gradient"])[at]
    variables = networks.kernels(1, 4)
    start = values(variables)[0]
    steps = Steps(variables, copied)
    gradient = values(steps.gradients)[0]
    steps.of(contender)()
    if copied:
        np.testing.assert_array_equal(values(steps.gradients)[0], gradient)
        np.testing.assert_array_equal(variables[0].value.grad.numpy(), gradient)
    timed = steps._weights if BACKEND == "jax" else variables

    kernel = keras.Variable(start, name="kernel")
    expected = contender.make()
    expected.build([kernel])
    for _ in range(WARM_UP + 1):
        expected.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    np.testing.assert_allclose(values(timed)[0], values([kernel])[0], atol=1e-6)
    assert abs(values(timed)[0] - start).max() > 1e-4


def test_interleaved_rounds():
    calls, shown = [], []
    steps = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = interleaved(steps, 20, lambda: shown.append(0))
    rounds = [tuple(calls[i : i + 3]) for i in range(0, 60, 3)]
    assert {tuple(sorted(r)) for r in rounds} == {("a", "b", "c")}
    assert set(rounds) == set(itertools.permutations("abc"))
    assert {name: len(s) for name, s in seconds.items()} == dict.fromkeys("abc", 20)
    assert len(shown) == 60


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU's peak is Linux's")
def test_peak_memory():
    size = 50 * 2**20
    taken = memory.peak(lambda: np.ones(size, "uint8").sum())
    assert size * 0.95 < taken < size * 1.2
    assert memory.peak(lambda: None) < 2**20


def test_steps_of_fit(monkeypatch):
    watches = []

    class Monitor(WhiteningMonitor):
        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            watches.append(self)

    monkeypatch.setattr(measurements, "WhiteningMonitor", Monitor)
    model = convnet()
    before = model.get_weights()
    family = contenders("radam", ["filters"], ["gradient"], kernels=model)
    measured = measurements.of_fit_steps(model, in_fit(family), 2, 4)
    names = ["RAdam", "WGD filters", "WGD filters, watched"]
    assert [m.name for m in measured] == names
    assert all(len(m.seconds) == 2 for m in measured)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    (watch,) = watches
    logs = {}
    watch.on_epoch_end(0, logs)
    assert 0 < logs["whitening_ratio"] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "lenet"], f"one of {', '.join(NETWORKS)}. Received: 'lenet'"),
        (["--optimizer", "sgd"], f"{', '.join(OPTIMIZERS)}. Received: 'sgd'"),
        (["--mean-over", "rows"], f"{', '.join(MEANS)}. Received: 'rows'"),
        (["--placement", "x"], "gradient, update. Received: 'x'"),
        (["--rounds", "0"], "greater than or equal to 1"),
        (["--batch-size", "0"], "greater than or equal to 1"),
        (["--model", "resnet50", "--image-size", "8"], "at least 32 by 32"),
        (["--growth", ""], "must name a folder"),
    ],
)
def test_invalid_options(capsys, arguments, message):
    assert cli.app(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert not out


def test_output_of_the_command(capsys, monkeypatch):
    monkeypatch.setattr(networks, "build", lambda name, size: convnet())
    options = ["bench", "--optimizer", "radam", "--mean-over", "fan_in", "--rounds"]
    options += ["2", "--placement", "gradient", "--train-step", "--batch-size", "4"]
    assert cli.app(options) == 0
    out, err = capsys.readouterr()
    assert not err
    for text in ("RAdam", "WGD fan_in", "floor", "MB moved", "A whole step of fit"):
        assert text in out
    assert cli.app([*options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = [m["name"] for m in report["steps"]]
    assert names == ["RAdam", "WGD fan_in", *PEERS["radam"]]
    fits = [m["name"] for m in report["fit"]]
    assert fits == [*names[:2], "WGD fan_in, watched"]
    assert report["environment"]["backend"] == BACKEND
    assert report["steps"][0]["passes"] == 7


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["many-small", "mobilenetv2"])
def test_weights_of_networks(name):
    model = networks.build(name)
    sizes = [len(v.shape) for v in model.trainable_variables]
    if name == "many-small":
        assert len(sizes) == 402
        assert sizes.count(4) == 100
    else:
        assert networks.size(model.trainable_variables) == 3_504_872
    assert model.output_shape == (None, 1000)


def test_growth(tmp_path, monkeypatch):
    small = {"Numbers in 20 weights": [(2, 3), (2, 4)], "Weights": [(3, 2)]}
    monkeypatch.setattr(growth, "_PANELS", small)
    calls = []
    points = growth.measure(2, lambda: calls.append(0))
    assert len(calls) == growth.count(2)
    assert {(p["panel"], p["x"]) for p in points} == {
        ("Numbers in 20 weights", 2 * 9 * 9),
        ("Numbers in 20 weights", 2 * 9 * 16),
        ("Weights", 3),
    }
    written = growth.write(tmp_path, environment(), points)
    assert sorted(path.name for path in written) == [
        f"growth-{BACKEND}.json",
        "growth.png",
        "growth.svg",
    ]
    svg = (tmp_path / "growth.svg").read_text()
    for text in ("WGD(RAdam)", BACKEND, "Numbers in 20 weights"):
        assert text in svg


@pytest.mark.any_backend
@pytest.mark.parametrize("text", ["[]", "{}", '{"points": [{"panel": 1}]}', "{"])
def test_invalid_growth_file_is_rejected_before_measuring(tmp_path, capsys, text):
    (tmp_path / "growth-x.json").write_text(text)
    assert cli.app(["bench", "--growth", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert "growth-x.json is" in err
    assert err.count("\n") == 1
    assert not out


@pytest.mark.any_backend
def test_table_of_steps():
    def measured(name, kind, milliseconds, passes):
        seconds = [milliseconds / 1e3] * 3
        return measurements.Measurement(name, "radam", kind, seconds, passes, 7_000_000)

    table = tables.steps(
        [
            measured("RAdam", "alone", 10, 7),
            measured("WGD filters", "wgd", 11, 8),
            measured("torch.optim.RAdam", "peer", 20, 7),
        ]
    )
    cells = [list(column.cells) for column in table.columns]
    assert cells[1] == ["10.0", "11.0", "20.0"]
    assert cells[3] == ["1.000", "1.100", "2.000"]
    assert cells[4] == ["", "1.143", ""]
    assert cells[5] == ["0.500", "0.550", "1.000"]
    assert cells[6] == ["7"] * 3


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has them")
def test_copied_gradients_need_pytorch(capsys):
    assert cli.app(["bench", "--copied-gradients"]) == 2
    assert f"needs PyTorch. Received: {BACKEND}" in capsys.readouterr().err
