"""`compare`: the arms of a seed start equal and see the same batches."""

import keras
import numpy as np
import pytest
from support.comparing import TRAIN, TWO, adam, compared, curves, dense, samples, sgd

from keras_wgd.experiments.store import results
from keras_wgd.experiments.trial import Trial


def trials(comparison):
    return results.read_all(comparison.out, Trial)[0]


def test_equal_optimizers_have_a_gain_of_exactly_zero():
    comparison = compared(optimizers={"one": adam, "two": adam}, seeds=3)
    for seed in range(3):
        assert curves(comparison, "one", seed) == curves(comparison, "two", seed)
    assert curves(comparison, "one", 0) != curves(comparison, "one", 1)
    assert comparison.table()["gain"].to_list() == [None, 0.0]
    assert comparison.verdicts == {"two": "undecided"}


def test_arms_of_a_seed_start_from_equal_weights():
    starts = {}
    for trial in trials(compared()):
        starts.setdefault(trial.spec.seed, set()).add(trial.details["initial_weights"])
    assert {len(digests) for digests in starts.values()} == {1}
    assert starts[0] != starts[1]


@pytest.mark.any_backend
def test_unseeded_weights_are_refused(tmp_path):
    def build_model():
        model = dense()
        random = np.random.default_rng()
        model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
        return model

    with pytest.raises(ValueError, match="must make the same weights again") as error:
        compared(build_model, out=tmp_path / "out")
    assert "Received: other weights in a second call" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_unseeded_weights_of_models_that_fit_builds_are_refused():
    class Late(keras.Model):
        def __init__(self):
            super().__init__()
            seed = int(np.random.default_rng().integers(1000))
            start = keras.initializers.GlorotUniform(seed)
            self.layer = keras.layers.Dense(3, kernel_initializer=start)

        def call(self, x):
            return keras.ops.softmax(self.layer(x))

    def batches(seed):
        while True:
            yield TRAIN

    with pytest.raises(ValueError, match="other weights for 'sgd' than for 'adam'"):
        compared(Late, train=batches, steps_per_epoch=2)


@pytest.mark.any_backend
def test_data_that_a_seed_does_not_decide_are_refused():
    def train(seed):
        return samples(seed=np.random.default_rng())

    with pytest.raises(ValueError, match="must be functions of the seed alone"):
        compared(train=train)


def test_data_of_the_global_generator_are_those_of_the_seed():
    """`fit` and other trials draw from it in between."""

    def train(seed):
        x, y = samples()
        return x + np.random.normal(size=x.shape), y

    comparison = compared(train=train, optimizers={"one": adam, "two": adam})
    assert comparison.table()["gain"][1] == 0
    assert curves(comparison, "one", 0) == curves(comparison, "two", 0)


def test_a_function_of_the_seed_is_called_once_for_each_trial():
    """And twice before, to see that it returns the same data again."""
    seeds = []

    def train(seed):
        seeds.append(seed)
        return samples()

    compared(train=train, seeds=2, epochs=1)
    assert seeds == [0, 0, *[0, 0, 1, 1]]


def test_arms_see_the_same_batches(monkeypatch):
    """The first feature of every batch that `fit` reads, arm by arm."""
    from keras_wgd.experiments.training.custom.data import _Epochs

    trials, get = [], _Epochs.__getitem__

    def callbacks():
        trials.append({})
        return []

    def noting(self, index):
        batch = get(self, index)
        epoch = tuple(self.positions)
        trials[-1][epoch, index] = np.asarray(batch[0])[:, 0].tolist()
        return batch

    monkeypatch.setattr(_Epochs, "__getitem__", noting)
    compared(callbacks=callbacks, seeds=2)
    first, second, *others = filter(None, trials)
    assert first == second
    assert others[0] == others[1]
    assert first != others[0]
    orders = {epoch for epoch, _ in first}
    for epoch in orders:
        rows = [
            v for (e, _), batch in sorted(first.items()) if e == epoch for v in batch
        ]
        assert sorted(rows) == sorted(TRAIN[0][:, 0].tolist())
    assert len(orders) == 3


@pytest.mark.any_backend
@pytest.mark.parametrize("arm", ["adam", "sgd"])
def test_one_optimizer_for_all_trials_is_refused(arm, tmp_path):
    shared = sgd()
    with pytest.raises(ValueError, match="must make a new optimizer in each call"):
        compared(optimizers=TWO | {arm: lambda: shared}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_one_model_for_all_trials_is_refused():
    shared = dense()
    with pytest.raises(ValueError, match="must return a new model in each call"):
        compared(lambda: shared)


@pytest.mark.any_backend
def test_one_callback_for_all_trials_is_refused():
    shared = keras.callbacks.EarlyStopping()
    with pytest.raises(ValueError, match="must return new callbacks in each call"):
        compared(callbacks=lambda: [shared])
