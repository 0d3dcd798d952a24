"""`compare`: when it ends, what it decides, and what it says about failures."""

import math
import time

import keras
import numpy as np
import polars as pl
import pytest
from support.comparing import TRAIN, TWO, VALIDATION, adam, compared, curves, dense, sgd

from keras_wgd.experiments.store import results
from keras_wgd.experiments.trial import Trial

pytestmark = pytest.mark.any_backend


def still():
    return keras.optimizers.SGD(1e-9)


def test_a_large_effect_ends_at_the_first_look():
    fast = lambda: keras.optimizers.Adam(0.05)  # noqa: E731
    arms = {"still": still, "fast": fast, "again": lambda: keras.optimizers.SGD(1e-9)}
    comparison = compared(optimizers=arms, seeds=10, monitor="val_loss", epochs=4)
    assert comparison.verdicts["fast"] == "better"
    n = dict(comparison.table().select("arm", "n").iter_rows())
    assert n["fast"] == 4
    assert n["still"] == n["again"] == 10
    assert comparison.stopped == "seeds"
    reverse = compared(
        optimizers={"fast": fast, "still": still}, seeds=10, monitor="val_loss"
    )
    assert reverse.verdicts == {"still": "worse"}
    assert reverse.stopped == "decided"
    assert len(reverse.runs) == 8


def test_a_margin_finds_equivalence():
    comparison = compared(optimizers={"one": adam, "two": adam}, seeds=6, margin=0.1)
    assert comparison.verdicts == {"two": "equivalent"}
    assert comparison.stopped == "decided"
    assert len(comparison.runs) == 8


def test_all_seeds_without_looks():
    arms = {"still": still, "fast": lambda: keras.optimizers.Adam(0.05)}
    comparison = compared(
        optimizers=arms, seeds=5, monitor="val_loss", sequential=False
    )
    assert len(comparison.runs) == 10
    assert comparison.verdicts == {"fast": "better"}


def test_seeds_of_ones_own():
    comparison = compared(seeds=[7, 3])
    assert comparison.runs["seed"].unique().sort().to_list() == [3, 7]


class Slow(keras.callbacks.Callback):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_epoch_end(self, epoch, logs=None):
        time.sleep(self.seconds)


def test_the_budget_ends_at_whole_pairs():
    def slow():
        return [Slow(0.3)]

    comparison = compared(
        optimizers={"one": adam, "two": adam},
        callbacks=slow,
        seeds=20,
        budget=10,
        epochs=2,
    )
    assert comparison.stopped == "budget"
    pairs = comparison.table()["n"].to_list()
    assert pairs[0] == pairs[1]
    assert 2 <= pairs[0] < 20
    assert comparison.runs["wall_seconds"].sum() < 10 * 1.3
    assert "budget" in str(comparison)


def test_results_that_are_there_cost_nothing(tmp_path):
    first = compared(out=tmp_path)
    again = compared(out=tmp_path, budget=0.001)
    assert again.runs.equals(first.runs)


def test_a_budget_for_less_than_a_pair_is_refused(tmp_path):
    out = tmp_path / "out"
    begun = time.perf_counter()

    class SlowBatches(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = dense()
            self.network.trainable = True

        def call(self, x):
            return self.network(x)

    epochs = 1_000_000
    with pytest.raises(ValueError, match="budget must be enough for one trial") as e:
        compared(SlowBatches, epochs=epochs, budget="60s", out=out)
    assert str(e.value).endswith("Received: 60 seconds")
    assert time.perf_counter() - begun < 30
    assert not out.exists()


def test_a_budget_for_less_than_a_pair_is_refused_after_a_trial():
    """With callbacks, which may end a trial early, only a whole trial tells."""
    ended = []

    class Ending(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            ended.append(1)

    def callbacks():
        return [Slow(0.5), Ending()]

    with pytest.raises(ValueError, match="budget must be enough for one trial of each"):
        compared(callbacks=callbacks, budget=2, epochs=3)
    assert ended == [1]


GRIDS = {"adam": [1e-9, 0.03, 10.0], "sgd": [1e-9, 1e-8, 0.1]}


def test_learning_rates_are_chosen_on_held_out_training_data():
    read = []

    def validation(seed):
        read.append(seed)
        return VALIDATION

    arms = {"adam": adam, "sgd": lambda rate: keras.optimizers.SGD(rate)}
    comparison = compared(
        optimizers=arms,
        learning_rates=GRIDS,
        validation=validation,
        monitor="val_loss",
        epochs=4,
        steps_per_epoch=6,
        validation_steps=3,
    )
    assert comparison.learning_rates == {"adam": 0.03, "sgd": 0.1}
    assert set(comparison.runs["learning_rate"]) == {0.03, 0.1}
    assert set(comparison.runs["seed"]) == {0, 1}
    assert set(read) == {0, 1}  # of no tuning seed
    tuning = [r for r in results.read_all(comparison.out, Trial)[0] if r.spec.tuning]
    assert len(tuning) == 6
    assert {result.details["steps"] for result in tuning} == {5 * 4}
    (warning,) = comparison.warnings
    assert warning.startswith("sgd: the best learning rate, 0.1, is the largest")
    # Other validation data do not change the choice.
    other = compared(
        optimizers=arms,
        learning_rates=GRIDS,
        validation=(VALIDATION[0], 2 - VALIDATION[1]),
        monitor="val_loss",
        epochs=4,
        steps_per_epoch=6,
    )
    again = [r for r in results.read_all(other.out, Trial)[0] if r.spec.tuning]
    assert [r.curves for r in again] == [r.curves for r in tuning]


def test_held_out_samples_are_not_trained_on():
    """A label that marks each sample: what is held out is seen in no batch."""
    from keras_wgd.experiments.training.custom.task import CustomTask

    made = {}
    data = CustomTask.data

    def noting(task, trial):
        made[trial] = data(task, trial)
        return made[trial]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CustomTask, "data", noting)
        compared(learning_rates={"adam": [0.1], "sgd": [0.1]}, epochs=1)
    tuning = [d for trial, d in made.items() if trial.tuning and trial.seed >= 2**31]
    assert len(tuning) == 2
    for part in tuning:
        batches = part.training()["x"]
        seen = np.concatenate([batches[i][0] for i in range(batches.num_batches)])
        held = part.validation()["validation_data"][0]
        both = np.concatenate([seen, held])
        assert len(held) == round(0.2 * len(TRAIN[0]))
        np.testing.assert_array_equal(
            both[np.lexsort(both.T)], TRAIN[0][np.lexsort(TRAIN[0].T)]
        )


class Broken(keras.optimizers.SGD):
    def update_step(self, *arguments):
        raise RuntimeError("broken on purpose")


def broken():
    return Broken(0.1)


def test_an_arm_that_fails_is_left_out():
    comparison = compared(optimizers=TWO | {"broken": broken}, seeds=3)
    assert list(comparison.failures) == ["broken"]
    assert "broken on purpose" in comparison.failures["broken"]
    n = dict(comparison.table().select("arm", "n").iter_rows())
    assert n == {"adam": 3, "sgd": 3, "broken": 0}
    assert comparison.verdicts["broken"] == "undecided"
    assert "broken on purpose" in str(comparison)
    assert curves(comparison) == curves(compared())


def test_an_arm_whose_every_rate_fails_is_left_out():
    comparison = compared(
        optimizers=TWO | {"broken": broken},
        learning_rates={"adam": [0.1], "sgd": [0.1], "broken": [0.1]},
    )
    assert "broken on purpose" in comparison.failures["broken"]
    assert comparison.learning_rates == {"adam": 0.1, "sgd": 0.1}


@pytest.mark.parametrize("where", ["the baseline", "every arm but the baseline"])
def test_nothing_to_compare_is_an_error(where, tmp_path):
    order = [broken, sgd] if where == "the baseline" else [sgd, broken]
    arms = dict(zip("ab", order, strict=True))
    with pytest.raises(ValueError, match=f"{where}.* failed.*broken on purp") as error:
        compared(optimizers=arms, out=tmp_path / "out")
    assert isinstance(error.value.__cause__, RuntimeError)
    assert (tmp_path / "out").exists() == (where != "the baseline")


def test_an_arm_that_fails_later():
    calls = []

    def fragile():
        calls.append(1)
        return broken() if len(calls) > 4 else sgd()

    comparison = compared(optimizers={"adam": adam, "fragile": fragile}, seeds=5)
    assert comparison.stopped == "failed"
    n = dict(comparison.table().select("arm", "n").iter_rows())
    assert n == {"adam": 3, "fragile": 2}
    assert "no arm is left" in str(comparison)


def exploding():
    return keras.optimizers.SGD(1e30)


def test_diverged_runs_are_the_worst():
    comparison = compared(
        optimizers={"adam": adam, "exploding": exploding}, seeds=4, monitor="val_loss"
    )
    runs = comparison.runs.filter(comparison.runs["arm"].cast(pl.String) == "exploding")
    assert runs["diverged"].all()
    assert comparison.table()["n"].to_list() == [4, 4]
    assert not math.isnan(comparison.table()["gain"][1])
    assert comparison.table()["gain"][1] <= 0
    assert comparison.verdicts["exploding"] != "better"
    assert "diverged" in str(comparison)


@pytest.mark.any_backend
def test_arms_that_both_diverge_are_not_equivalent():
    comparison = compared(
        optimizers={"one": exploding, "two": exploding}, seeds=4, margin=0.5
    )
    assert comparison.runs["diverged"].all()
    assert comparison.verdicts == {"two": "undecided"}
