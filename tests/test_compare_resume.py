"""`compare` that is stopped, killed, repeated, or done by other processes."""

import random
import shutil
import signal
import threading
import time

import keras
import pytest
from support.compare_processes import finished, started
from support.comparing import TWO, adam, compared, dense, same, samples, sgd

from keras_wgd.experiments.store import claim
from keras_wgd.experiments.store.comparison import NAME
from keras_wgd.experiments.training import checkpoint

KILLS = 10


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("undisturbed") / "out")[0]


@pytest.mark.slow
def test_killed_many_times(tmp_path):
    """Each kill comes at another moment: before, in and between trials."""
    long = {"epochs": 60}
    expected = finished(tmp_path / "expected", **long)[0]
    moments, trained, out = random.Random(0), 0, tmp_path / "out"
    for kill in range(KILLS):
        process = started(out, **long)
        with process:
            if kill % 3:
                for _ in range(moments.randrange(1, 9)):
                    process.stdout.readline()
                time.sleep(moments.uniform(0, 0.05))
            else:  # while the packages are imported
                time.sleep(moments.uniform(0, 1))
            process.send_signal(signal.SIGKILL)
            trained += process.communicate(timeout=60)[0].count("epoch")
    found, said = finished(out, **long)
    assert found == expected
    assert 0 < said.count("epoch") < 4 * 60
    assert not list(out.glob(".trial-*"))


def test_a_trial_goes_on_from_its_last_epoch(undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(out) as process:
        for _ in range(5):  # in the middle of the second trial
            assert process.stdout.readline() == "epoch\n"
        process.send_signal(signal.SIGKILL)
    found, said = finished(out)
    assert found == undisturbed
    assert said.count("epoch") <= 2 * 2 * 3 - 4


@pytest.mark.slow
def test_interrupted_process_has_a_comparison(tmp_path):
    out = tmp_path / "out"
    with started(out, epochs=2000) as process:
        while not list(out.glob("trial-*")):
            assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, problems = process.communicate(timeout=100)
    assert process.returncode == 0, problems
    assert said.endswith("stopped interrupted\n")


@pytest.mark.any_backend
@pytest.mark.parametrize("where", ["first", "second", "third"])
def test_interrupted_call_has_a_comparison(where, tmp_path):
    calls = []

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if len(calls) == 2 + ["first", "second", "third"].index(where):
                raise KeyboardInterrupt

    def callbacks():
        calls.append(1)
        return [Stop()]

    def call():
        return compared(callbacks=callbacks, out=tmp_path)

    if where == "first":  # nothing is known yet
        with pytest.raises(KeyboardInterrupt):
            call()
        return
    comparison = call()
    assert comparison.stopped == "interrupted"
    assert len(comparison.runs) == (1 if where == "second" else 2)
    assert comparison.verdicts == {"sgd": "undecided"}
    assert "interrupted" in str(comparison)
    assert comparison.report(tmp_path / "page.html").exists()
    calls[:] = [1] * 10
    again = call()
    assert again.stopped == "seeds"
    assert same(again, compared(callbacks=list))


def test_the_same_call_trains_nothing_new(tmp_path, monkeypatch):
    first = compared(out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", None)
        again = compared(out=tmp_path)
    assert same(first, again)
    more = compared(out=tmp_path, seeds=3)
    assert len(more.runs) == 6
    assert more.runs.filter(more.runs["seed"] < 2).equals(first.runs)
    assert any("number of seeds was raised" in note for note in more.warnings)
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", None)
        assert same(compared(out=tmp_path), first)


@pytest.mark.any_backend
def test_damaged_results_are_made_again(tmp_path):
    first = compared(out=tmp_path)
    folder = next(tmp_path.glob("trial-sgd-s1-*"))
    (folder / "result.json").write_text("{}")
    again = compared(out=tmp_path)
    assert same(first, again)
    assert any("the run is made again" in note for note in again.warnings)


def square(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_pred), axis=-1)


def cube(y_true, y_pred):
    return keras.ops.mean(y_pred**3, axis=-1)


def wide():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])


def relu_to_tanh():
    model = dense()
    model.layers[0].activation = keras.activations.tanh
    return model


OTHERS = {
    r"optimizers\['sgd'\]": {
        "optimizers": TWO | {"sgd": lambda: keras.optimizers.SGD(0.02)}
    },
    "arms": {"optimizers": {"one": adam, "sgd": sgd}},
    "model": {"build_model": wide},
    "data": {"train": samples(seed=5)},
    "epochs": {"epochs": 2},
    "batch_size": {"batch_size": 8},
    "steps_per_epoch": {"steps_per_epoch": 2},
    "class_weight": {"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}},
    "loss": {"loss": keras.losses.SparseCategoricalCrossentropy()},
    "metrics": {"metrics": ["accuracy", "sparse_categorical_crossentropy"]},
    "callbacks": {"callbacks": lambda: []},
    "dtype_policy": {"dtype_policy": "mixed_bfloat16"},
    "monitor": {"monitor": "val_loss"},
    "margin": {"margin": 0.01},
    "tail": {"tail": 0},
    "mode": {"mode": "max"},
    "sequential": {"sequential": False},
    "learning_rates": {"learning_rates": {"adam": [0.1], "sgd": [0.1]}},
    "validation_steps": {"validation_steps": 1},
    "jit_compile": {"jit_compile": False},
    "first seeds": {"seeds": [5, 6]},
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    out = tmp_path_factory.mktemp("begun")
    compared(out=out)
    return out


@pytest.mark.any_backend
@pytest.mark.parametrize("name", OTHERS)
def test_other_comparisons_are_refused(begun, name):
    before = {path: path.stat().st_mtime_ns for path in begun.rglob("*")}
    word = f"begun with {name}" if name != "first seeds" else "the same first seeds"
    with pytest.raises(ValueError, match=word) as error:
        compared(out=begun, **OTHERS[name])
    assert str(error.value).isprintable()
    after = {path: path.stat().st_mtime_ns for path in begun.rglob("*")}
    assert before == after


@pytest.mark.any_backend
def test_another_comparison_that_has_just_begun_is_refused(
    begun, tmp_path, monkeypatch
):
    """Between the check of the folder and the lock, another process begins there."""
    alone = claim.alone

    def late(out):
        shutil.copy(begun / NAME, out)
        return alone(out)

    monkeypatch.setattr(claim, "alone", late)
    with pytest.raises(ValueError, match="begun with epochs"):
        compared(out=tmp_path, epochs=2)
    assert not list(tmp_path.glob("trial-*"))


def scaled(factor):
    def metric(y_true, y_pred):
        return factor * keras.ops.mean(y_pred, axis=-1)

    return metric


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("then", "now"),
    [
        (scaled(1), scaled(2)),
        (lambda y, p: p[:, 0], lambda y, p: p[:, 1]),
        (square, cube),
    ],
)
def test_functions_are_compared_by_what_they_do(then, now, tmp_path):
    now.__name__ = now.__qualname__ = then.__name__
    compared(out=tmp_path, metrics=["accuracy", then], epochs=1)
    compared(out=tmp_path, metrics=["accuracy", then], epochs=1)
    with pytest.raises(ValueError, match="begun with metrics"):
        compared(out=tmp_path, metrics=["accuracy", now], epochs=1)


@pytest.mark.any_backend
def test_functions_of_another_file_are_the_same(tmp_path):
    """As in a notebook, whose cells are other files after each start."""
    code = "lambda y, p: keras.ops.mean(p if 'a' in {'a', 'b'} else y, axis=-1)"
    for file in ("one.py", "two.py"):
        metric = eval(compile("\n" * len(file) + code, file, "eval"))
        compared(out=tmp_path, metrics=["accuracy", metric], epochs=1)


@pytest.mark.slow
def test_processes_and_ray_have_the_same_numbers(undisturbed, tmp_path):
    assert finished(tmp_path / "two", jobs=2)[0] == undisturbed
    pytest.importorskip("ray")
    assert finished(tmp_path / "ray", jobs=2, ray="local")[0] == undisturbed


@pytest.mark.any_backend
def test_what_cannot_be_sent_is_named(tmp_path):
    lock = threading.Lock()
    with pytest.raises(ValueError, match="callbacks cannot be sent to other processes"):
        compared(jobs=2, callbacks=lambda: [lock][:0], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_a_failed_save_does_not_leave_a_trial(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(OSError, match="No space left"):
        compared(out=tmp_path)
    monkeypatch.undo()
    assert same(compared(out=tmp_path), compared())
