"""The data that a user compares optimizers on, in every form that `fit` takes."""

import itertools

import keras
import numpy as np
import pytest
from support.batches import batches_of, epoch_of

from keras_wgd.experiments.training.custom import arrays
from keras_wgd.experiments.training.custom.data import Data

BACKEND = keras.backend.backend()

# numpy.random.default_rng((7, 1)).permutation(6)
ORDER = [3, 0, 2, 1, 4, 5]


@pytest.fixture(params=["in memory", "batch by batch"])
def limit(request, monkeypatch):
    if request.param == "batch by batch":
        monkeypatch.setattr(arrays, "_LIMIT", 0)


def samples(n, columns=3):
    generator = np.random.default_rng(n)
    x = generator.normal(size=(n, columns)).astype("float32")
    return x, np.arange(n) % 4, generator.uniform(0.5, 1.5, n).astype("float32")


@pytest.mark.any_backend
def test_each_epoch_has_every_sample_once_and_keeps_parts_together(limit):
    x, y, weight = samples(23)
    data = Data(
        ({"a": x, "b": [x[:, 0], x[:, 1:]]}, {"p": y, "q": x[:, 2:]}, weight),
        None,
        batch_size=5,
        seed=3,
    )
    assert data.ordered
    orders = []
    for number in range(3):
        batches = batches_of(data, number)
        assert [len(batch[1]["p"]) for batch in batches] == [5, 5, 5, 5, 3]
        inputs, targets, weights = keras.tree.map_structure(
            lambda *leaves: np.concatenate(leaves), *batches
        )
        assert isinstance(inputs["b"], tuple)  # TensorFlow stacks the arrays of a list
        rows = np.searchsorted(np.sort(x[:, 0]), inputs["b"][0])
        rows = np.argsort(x[:, 0])[rows]
        np.testing.assert_array_equal(np.sort(rows), np.arange(23))
        np.testing.assert_array_equal(inputs["a"], x[rows])
        np.testing.assert_array_equal(inputs["b"][1], x[rows, 1:])
        np.testing.assert_array_equal(targets["p"], y[rows])
        np.testing.assert_array_equal(targets["q"], x[rows, 2:])
        # `fit` uses one weight for all outputs.
        assert set(weights) == {"p", "q"}
        np.testing.assert_array_equal(weights["q"], weight[rows])
        orders.append(tuple(rows))
    assert len(set(orders)) == 3


def tensor(array):
    return keras.ops.convert_to_tensor(array)


@pytest.mark.parametrize("convert", [np.asarray, tensor])
def test_the_order_is_that_of_numpy_on_every_backend(convert):
    x = np.arange(6, dtype="float32")[:, None]
    data = Data((convert(x), convert(x[:, 0])), None, batch_size=4, seed=7)
    inputs = epoch_of(data, 1)
    assert inputs[0][:, 0].tolist() == inputs[1].tolist() == ORDER
    again = Data((x, x[:, 0]), None, batch_size=4, seed=7)
    np.testing.assert_array_equal(epoch_of(again, 1)[0], inputs[0])
    other = Data((x, x[:, 0]), None, batch_size=4, seed=8)
    assert epoch_of(other, 1)[1].tolist() != ORDER


def linear_model():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.1), loss="mse", weighted_metrics=[])
    return model


def linear_fit(batches, rate=0.1):
    """SGD on `mean(weight (x w + b - y)^2)` in float64."""
    w, b = np.zeros(3), 0.0
    for x, y, weight in batches:
        error = 2 * weight * (x @ w + b - y) / len(y)
        w, b = w - rate * x.T @ error, b - rate * error.sum()
    return w, b


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_on_epochs_equals_gradient_descent_by_hand(dtype, limit):
    x, _, weight = samples(23)
    y = x.sum(1) + 1
    train = tuple(a.astype(dtype) for a in (x, y[:, None], weight))
    data = Data(train, train, batch_size=5, seed=3)
    for part in batches_of(data, 0)[0]:
        assert part.dtype == "float32"
    model = linear_model()
    expected = []
    for number in range(2):
        data.begin(number)
        model.fit(**data.training(), verbose=0)
        order = np.random.default_rng((3, number)).permutation(23)
        for i in range(0, 23, 5):
            chosen = order[i : i + 5]
            expected.append((x[chosen], y[chosen], weight[chosen]))
    w, b = linear_fit(expected)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel[:, 0], w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias[0], b, rtol=1e-4)
    arguments = data.training() | data.validation()
    history = model.fit(**arguments, verbose=0).history
    kernel, bias = model.get_weights()
    loss = np.sum(weight * (x @ kernel[:, 0] + bias - y) ** 2) / 23
    # Keras averages the losses of batches, weighted by their samples.
    np.testing.assert_allclose(history["val_loss"][0], loss, rtol=1e-4)


class Wrapped(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def py_dataset(x, y):
    return Wrapped([(x[i : i + 5], y[i : i + 5]) for i in range(0, len(x), 5)])


def tf_dataset(x, y):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(5)


def data_loader(x, y):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    return torch.utils.data.DataLoader(tensors, batch_size=5)


FORMS = [py_dataset, tf_dataset, data_loader]


@pytest.mark.parametrize("make", FORMS)
@pytest.mark.parametrize("of_seed", [False, True])
def test_data_that_make_batches_are_passed_to_fit_as_they_are(make, of_seed):
    x, _, _ = samples(20)
    y = x.sum(1, keepdims=True)
    made = make(x, y)
    train = (lambda seed: made) if of_seed else made
    data = Data(train, train, batch_size=64, seed=0)
    assert not data.ordered
    inputs = data.training()
    assert inputs.pop("x") is made
    # As in `fit`: the batches of a PyDataset are shuffled.
    assert inputs == {"shuffle": make is py_dataset, "steps_per_epoch": None}
    assert data.validation() == {"validation_data": made}
    history = linear_model().fit(
        **data.training(), **data.validation(), verbose=0, epochs=3
    )
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]


def generator(x, y):
    return ((x[i : i + 5], y[i : i + 5]) for i in range(0, len(x), 5))


def endless(x, y):
    while True:
        yield from generator(x, y)


def repeated(x, y):
    return tf_dataset(x, y).repeat()


@pytest.mark.parametrize("make", [repeated, endless])
def test_steps_per_epoch_continues_where_the_last_epoch_ended(make):
    x, _, _ = samples(20)
    y = x.sum(1, keepdims=True)
    # Four batches, used three at a time: the third epoch ends with the first batch.
    parts = itertools.cycle([slice(i, i + 5) for i in range(0, 20, 5)])
    seen = [(x[p], y[p, 0], 1.0) for p in itertools.islice(parts, 9)]
    w, _ = linear_fit(seen)

    train = (lambda seed: endless(x, y)) if make is endless else make(x, y)
    data = Data(train, None, batch_size=5, seed=0, steps_per_epoch=3)
    model = linear_model()
    model.fit(**data.training(), verbose=0, epochs=3)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-4)


def test_validation_generator_is_read_again_in_each_epoch():
    x, y, _ = samples(20)
    data = Data((x, y), lambda seed: generator(x, y), batch_size=5, seed=0)
    batches = data.validation()["validation_data"]
    for _ in range(2):
        read = [batches[i][0] for i in range(batches.num_batches)]
        np.testing.assert_array_equal(np.concatenate(read), x)
    assert data.validation(steps=2)["validation_data"].num_batches == 2


@pytest.mark.any_backend
def test_steps_per_epoch_of_arrays_uses_the_first_batches():
    x, y, _ = samples(20)
    data = Data((x, y), None, 5, seed=2, steps_per_epoch=3)
    order = np.random.default_rng((2, 4)).permutation(20)[:15]
    np.testing.assert_array_equal(epoch_of(data, 4)[0], x[order])


@pytest.mark.any_backend
def test_a_function_receives_the_seed():
    def train(seed):
        return np.full((6, 1), seed), np.arange(6)

    data = [Data(train, train, batch_size=2, seed=seed) for seed in (4, 5)]
    assert [epoch_of(d, 0)[0][0, 0] for d in data] == [4, 5]
    assert [d.validation()["validation_data"][0][0, 0] for d in data] == [4, 5]
    assert data[0].digest() != data[1].digest()
    assert data[0].ordered


@pytest.mark.any_backend
def test_a_dict_of_inputs_needs_no_targets():
    x, _, _ = samples(10)
    data = Data({"a": x, "b": x[:, 0]}, {"a": x, "b": x[:, 0]}, 4, seed=0)
    (inputs,) = epoch_of(data, 0)
    np.testing.assert_array_equal(inputs["a"][:, 0], inputs["b"])
    assert len(data.validation()["validation_data"]) == 1


@pytest.mark.any_backend
def test_no_validation():
    assert Data(samples(8)[:2], None, 4, seed=0).validation() == {}
