"""Every inner optimizer: steps, updates, configs, checkpoints, options."""

import keras
import numpy as np
import pytest
from keras import ops, optimizers
from support import reference
from support.networks import convnet, float64, values

from keras_wgd import WGD, RAdam

CASES = {
    "sgd": lambda **k: optimizers.SGD(0.1, **k),
    "momentum": lambda **k: optimizers.SGD(0.1, momentum=0.9, **k),
    "nesterov": lambda **k: optimizers.SGD(0.1, momentum=0.9, nesterov=True, **k),
    "rmsprop": lambda **k: optimizers.RMSprop(0.01, momentum=0.5, centered=True, **k),
    "adam": lambda **k: optimizers.Adam(0.01, **k),
    "amsgrad": lambda **k: optimizers.Adam(0.01, amsgrad=True, **k),
    "adamw": lambda **k: optimizers.AdamW(0.01, **{"weight_decay": 0.1, **k}),
    "adadelta": lambda **k: optimizers.Adadelta(1.0, **k),
    "adagrad": lambda **k: optimizers.Adagrad(0.1, **k),
    "adamax": lambda **k: optimizers.Adamax(0.01, **k),
    "adafactor": lambda **k: optimizers.Adafactor(0.01, **k),
    "nadam": lambda **k: optimizers.Nadam(0.01, **k),
    "ftrl": lambda **k: optimizers.Ftrl(0.1, **k),
    "lion": lambda **k: optimizers.Lion(0.01, **k),
    "lamb": lambda **k: optimizers.Lamb(0.01, **k),
    "muon": lambda **k: optimizers.Muon(0.01, **k),
    "radam": lambda **k: RAdam(0.01, beta_2=0.9, **k),
}
if hasattr(optimizers, "ScheduleFreeAdamW"):  # not in Keras 3.10
    CASES["schedule_free"] = lambda **k: optimizers.ScheduleFreeAdamW(0.01, **k)
FEW = ("momentum", "adam", "nadam", "radam")


def fails_alone(make):
    """Whether the plain optimizer cannot step: Keras 3.10's Muon on TensorFlow."""
    variable = keras.Variable(np.ones((3, 3, 2, 4), "float32"), name="kernel")
    optimizer = make()
    optimizer.build([variable])
    try:
        optimizer.apply([ops.ones(variable.shape)], [variable])
    except AttributeError:
        return True
    return False


cases = [pytest.param(make, id=name) for name, make in CASES.items() if name != "muon"]
muon_fails = pytest.mark.skipif(
    fails_alone(CASES["muon"]), reason="this Keras's own Muon fails without WGD"
)
cases.append(pytest.param(CASES["muon"], id="muon", marks=muon_fails))
every = pytest.mark.parametrize("make", cases)
few = pytest.mark.parametrize("make", [CASES[name] for name in FEW], ids=FEW)
placements = pytest.mark.parametrize("placement", ["gradient", "update"])

SHAPES = [(3, 3, 2, 4), (4,), (3, 3, 4, 3)]


def test_every_class_of_keras_is_a_case():
    classes = {
        value
        for value in vars(optimizers).values()
        if isinstance(value, type) and issubclass(value, optimizers.Optimizer)
    }
    covered = {base for make in CASES.values() for base in type(make()).__mro__}
    wrappers = {value.__name__ for value in classes - covered}
    assert wrappers - {"MultiOptimizer"} == {"LossScaleOptimizer"}


def drawn(seed):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype("float32") for shape in SHAPES]


def parameters(start, optimizer=None):
    """Two kernels and a bias, with the names of a layer."""
    made = []
    for value, name in zip(start, ("kernel", "bias", "kernel"), strict=True):
        with keras.name_scope(f"conv2d_{len(made)}"):
            made.append(keras.Variable(value, name=name))
    if optimizer is not None:
        optimizer.build(made)
    return made


def step(optimizer, variables, gradients):
    optimizer.apply([ops.convert_to_tensor(g) for g in gradients], variables)


def centered(arrays, mean_over="filters"):
    return [
        a if a.ndim < 4 else reference.whiten(a, "standard", mean_over).astype(a.dtype)
        for a in arrays
    ]


def assert_close(got, wanted, rtol=2e-5, atol=2e-6):
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=rtol, atol=atol)


def assert_equal(got, wanted):
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(g, w)


@every
def test_step_on_centered_gradients(make):
    plain, wrapped = make(), WGD(make())
    mine, theirs = parameters(drawn(0), wrapped), parameters(drawn(0), plain)
    for seed in range(1, 5):
        step(wrapped, mine, drawn(seed))
        step(plain, theirs, centered(drawn(seed)))
        assert_close(values(mine), values(theirs))


@every
def test_centered_update(make):
    plain, wrapped = make(), WGD(make(), "fan_in", "update")
    mine, theirs = parameters(drawn(0), wrapped), parameters(drawn(0), plain)
    for seed in range(1, 5):
        before = values(mine)
        for variable, value in zip(theirs, before, strict=True):
            variable.assign(value)
        step(wrapped, mine, drawn(seed))
        step(plain, theirs, drawn(seed))
        pairs = zip(values(theirs), before, strict=True)
        moves = centered([after - b for after, b in pairs], "fan_in")
        assert_close(values(mine), [b + m for b, m in zip(before, moves, strict=True)])


@every
def test_variables_are_the_inner_optimizers(make):
    inner = make()
    wrapped = WGD(inner)
    parameters(drawn(0), wrapped)
    assert [id(v) for v in wrapped.variables] == [id(v) for v in inner.variables]
    assert len(wrapped.variables) > 1


@every
def test_config_round_trip(make):
    wrapped = WGD(make(), "fan_in", "update")
    again = optimizers.deserialize(optimizers.serialize(wrapped))
    assert again.get_config() == wrapped.get_config()
    assert type(again.inner_optimizer) is type(wrapped.inner_optimizer)
    config = optimizers.serialize(make())
    assert optimizers.serialize(WGD(config).inner_optimizer) == config


@every
def test_plain_and_wrapped_checkpoints(make):
    stores = {}
    for name, optimizer in {"plain": make(), "wrapped": WGD(make())}.items():
        step(optimizer, parameters(drawn(0), optimizer), drawn(1))
        stores[name] = {}
        optimizer.save_own_variables(stores[name])
    for name, other in {"wrapped": make(), "plain": WGD(make())}.items():
        parameters(drawn(0), other)
        other.load_own_variables(stores[name])
        for i, value in enumerate(values(other.variables)):
            np.testing.assert_array_equal(value, stores[name][str(i)])


def gradients_of(model, seed):
    generator = np.random.default_rng(seed)
    return [
        generator.normal(size=v.shape).astype("float32")
        for v in model.trainable_variables
    ]


@every
@placements
def test_training_after_loading(make, placement, tmp_path):
    model = convnet()
    model.compile(WGD(make(), placement=placement, kernels=model), loss="mse")
    model.optimizer.build(model.trainable_variables)
    for seed in range(3):
        step(model.optimizer, model.trainable_variables, gradients_of(model, seed))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (
        loaded.optimizer.get_config()["inner_optimizer"]
        == (model.optimizer.get_config()["inner_optimizer"])
    )
    assert_equal(values(loaded.optimizer.variables), values(model.optimizer.variables))
    for one in (model, loaded):
        for seed in range(3, 6):
            step(one.optimizer, one.trainable_variables, gradients_of(one, seed))
    assert_equal(values(loaded.variables), values(model.variables))
    assert len(loaded.optimizer.whitened_variables) == 2


@few
@placements
def test_gradient_accumulation(make, placement):
    accumulating = WGD(make(gradient_accumulation_steps=2), placement=placement)
    whole = WGD(make(), placement=placement)
    mine, theirs = parameters(drawn(0), accumulating), parameters(drawn(0), whole)
    # Not compiled: a compiled program would decide whether to step.
    for seed in (1, 3, 5):
        before = values(mine)
        step(accumulating, mine, drawn(seed))
        assert_equal(values(mine), before)
        step(accumulating, mine, drawn(seed + 1))
        pairs = zip(drawn(seed), drawn(seed + 1), strict=True)
        step(whole, theirs, [(a + b) / 2 for a, b in pairs])
        assert_close(values(mine), values(theirs))


@pytest.mark.parametrize(
    ("option", "clip"),
    [
        ({"clipvalue": 0.3}, lambda gs: [np.clip(g, -0.3, 0.3) for g in gs]),
        (
            {"clipnorm": 0.3},
            lambda gs: [g * min(1, 0.3 / np.linalg.norm(g)) for g in gs],
        ),
        (
            {"global_clipnorm": 0.3},
            lambda gs: [
                g * 0.3 / np.sqrt(sum(np.sum(np.square(g)) for g in gs)) for g in gs
            ],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_clipping_comes_after_centering(option, clip):
    wrapped = WGD(optimizers.SGD(1.0, **option))
    variables = parameters(drawn(0), wrapped)
    step(wrapped, variables, drawn(1))
    moves = [b - a for b, a in zip(drawn(0), values(variables), strict=True)]
    assert_close(moves, clip(centered(drawn(1))))


@placements
@pytest.mark.parametrize("frequency", [None, 2])
def test_moving_averages(placement, frequency):
    wrapped = WGD(
        optimizers.SGD(
            0.5, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=frequency
        ),
        placement=placement,
    )
    variables = parameters(drawn(0), wrapped)
    weights, average = drawn(0), None
    for number in range(1, 6):
        step(wrapped, variables, drawn(number))
        moves = centered(drawn(number))
        weights = [w - 0.5 * m for w, m in zip(weights, moves, strict=True)]
        average = average or weights
        average = [0.5 * a + 0.5 * w for a, w in zip(average, weights, strict=True)]
        if frequency and number % frequency == 0:
            weights = average
        assert_close(values(variables), weights)
        assert_close(values(wrapped._model_variables_moving_average), average)
    wrapped.finalize_variable_values(variables)
    assert_close(values(variables), average)


def test_exclusion_from_weight_decay():
    for optimizer in (optimizers.AdamW(0.1), WGD(optimizers.AdamW(0.1))):
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        variables = parameters(drawn(0), optimizer)
        step(optimizer, variables, [np.zeros(shape, "float32") for shape in SHAPES])
        moved = [
            (v != d).any() for v, d in zip(values(variables), drawn(0), strict=True)
        ]
        assert moved == [True, False, True]


def test_loss_scale_factor():
    scaled = WGD(optimizers.SGD(0.5, loss_scale_factor=8.0))
    variables = parameters(drawn(0), scaled)
    assert float(scaled.scale_loss(2.0)) == 16.0
    step(scaled, variables, [8 * g for g in drawn(1)])
    moves = centered(drawn(1))
    assert_close(
        values(variables), [w - 0.5 * m for w, m in zip(drawn(0), moves, strict=True)]
    )


def test_set_weights():
    inner = optimizers.Adam(0.1)
    wrapped = WGD(inner)
    parameters(drawn(0), wrapped)
    weights = [np.full(v.shape, 3, v.dtype) for v in values(inner.variables)]
    wrapped.set_weights(weights)
    assert_equal(values(inner.variables), weights)
    assert int(wrapped.iterations) == 3


def test_float64():
    for placement in ("gradient", "update"):
        with float64():
            wrapped = WGD(optimizers.SGD(0.5), "fan_in", placement)
            start = [w.astype("float64") for w in drawn(0)]
            variables = [
                keras.Variable(w, name="kernel", dtype="float64") for w in start
            ]
            wrapped.build(variables)
            gradients = [g.astype("float64") for g in drawn(1)]
            step(wrapped, variables, gradients)
            moves = centered(gradients, "fan_in")
            wanted = [w - 0.5 * m for w, m in zip(start, moves, strict=True)]
            assert values(variables)[0].dtype == "float64"
            assert_close(values(variables), wanted, rtol=0, atol=1e-14)


@pytest.mark.skipif(
    not hasattr(optimizers, "MultiOptimizer"), reason="Keras 3.10 has no MultiOptimizer"
)
def test_multi_optimizer_inside_and_outside():
    def split(variable):
        return first if variable.shape == SHAPES[0] else second

    first, second = optimizers.SGD(0.5), optimizers.SGD(0.25)
    rates = [0.5, 0.25, 0.25]
    for placement in ("gradient", "update"):
        first, second = optimizers.SGD(0.5), optimizers.SGD(0.25)
        wrapped = WGD(optimizers.MultiOptimizer(split), placement=placement)
        variables = parameters(drawn(0), wrapped)
        assert len(wrapped.optimizers) == 2
        step(wrapped, variables, drawn(1))
        moves = centered(drawn(1))
        triples = zip(drawn(0), rates, moves, strict=True)
        assert_close(values(variables), [w - r * m for w, r, m in triples])

    first, second = optimizers.SGD(0.5), WGD(optimizers.SGD(0.25))
    outer = optimizers.MultiOptimizer(split)
    variables = parameters(drawn(0), outer)
    step(outer, variables, drawn(1))
    moves = [drawn(1)[0], *centered(drawn(1))[1:]]
    triples = zip(drawn(0), rates, moves, strict=True)
    assert_close(values(variables), [w - r * m for w, r, m in triples])
