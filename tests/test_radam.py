import json
from decimal import Decimal

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.networks import float64, graphs_are_whole

from keras_wgd.optimizers import radam
from keras_wgd.optimizers.radam import RAdam

BACKEND = keras.backend.backend()
SHAPES = [(3, 3, 2, 4), (4,), (), (4,)]

on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")


def weights_and_gradients(steps, smallest=1e-4):
    """Weights of each shape, and gradients of many sizes, one weight's all zero."""
    generator = np.random.default_rng(0)
    weights = [0.1 * generator.normal(size=shape) for shape in SHAPES]
    exponents = [generator.uniform(np.log10(smallest), 1, shape) for shape in SHAPES]
    gradients = [
        [10.0**e * generator.normal(0.5, size=np.shape(e)) for e in exponents]
        for _ in range(steps)
    ]
    for of_step in gradients:
        of_step[1][0] = 0.0
    # What float32 holds, so that every dtype from there up starts the same.
    weights = [w.astype("float32").astype("float64") for w in weights]
    gradients = [
        [g.astype("float32").astype("float64") for g in of_step]
        for of_step in gradients
    ]
    return weights, gradients


def trained(optimizer, weights, gradients, dtype="float32"):
    """The weights, in float64, after a step of the optimizer for each gradient."""
    variables = [keras.Variable(w, dtype=dtype) for w in weights]
    optimizer.build(variables)
    for of_step in gradients:
        step = [ops.convert_to_tensor(g, dtype=dtype) for g in of_step]
        optimizer.apply(step, variables)
    return [to_float64(v) for v in variables]


def to_float64(x):
    dtype = "float64" if x.dtype == "float64" else "float32"
    return ops.convert_to_numpy(ops.cast(x, dtype)).astype("float64")


def twins(weights, gradients, **kwargs):
    columns = zip(*gradients, strict=True)
    return [
        reference.radam(w, column, **kwargs)
        for w, column in zip(weights, columns, strict=True)
    ]


def torch_radam(weights, gradients, learning_rate, beta_2, **kwargs):
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer = torch.optim.RAdam(
        parameters, lr=learning_rate, betas=(0.9, beta_2), foreach=False, **kwargs
    )
    for of_step in gradients:
        for parameter, g in zip(parameters, of_step, strict=True):
            parameter.grad = torch.tensor(g)
        optimizer.step()
    return [p.detach().numpy() for p in parameters]


def error(ours, theirs):
    return max(abs(a - b).max() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("beta_2", [0.999, 0.9999])
def test_twin_is_torch_radam(beta_2):
    weights, gradients = weights_and_gradients(200)
    twin = twins(
        weights, gradients, learning_rate=0.01, beta_2=beta_2, weight_decay=0.1
    )
    theirs = torch_radam(
        weights,
        gradients,
        learning_rate=0.01,
        beta_2=beta_2,
        weight_decay=0.1,
        decoupled_weight_decay=True,
    )
    assert error(twin, theirs) < 1e-11


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
@pytest.mark.parametrize("beta_2", [0.999, 0.9999])
def test_200_steps_in_float32(beta_2, early_steps):
    weights, gradients = weights_and_gradients(200)
    optimizer = RAdam(0.01, beta_2=beta_2, early_steps=early_steps)
    ours = trained(optimizer, weights, gradients)
    kwargs = {"learning_rate": 0.01, "beta_2": beta_2}
    twin = twins(weights, gradients, early_steps=early_steps, **kwargs)
    assert error(weights, twin) > 0.05
    assert error(ours, twin) < 1e-6
    if early_steps == "momentum":
        assert error(ours, torch_radam(weights, gradients, **kwargs)) < 1e-6


def test_200_steps_in_float64():
    weights, gradients = weights_and_gradients(200)
    # A power of two: Keras keeps the learning rate in float32.
    with float64():
        ours = trained(RAdam(2.0**-7), weights, gradients, "float64")
    assert error(ours, twins(weights, gradients, learning_rate=2.0**-7)) < 1e-12


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """The step is the float32 step, rounded where it is stored."""
    weights, gradients = weights_and_gradients(20, smallest=0.3)
    ours = trained(RAdam(0.01), weights, gradients, dtype)
    twin = twins(weights, gradients, learning_rate=0.01)
    precision = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert error(ours, twin) < 5 * precision


def test_mixed_dtypes_in_one_step():
    variables = [keras.Variable([1.0, 2.0], dtype=d) for d in ("float16", "float32")]
    RAdam(0.5).apply([ops.ones(2, dtype=v.dtype) for v in variables], variables)
    for v in variables:
        np.testing.assert_allclose(to_float64(v), [0.5, 1.5], rtol=1e-3)


@pytest.mark.parametrize("beta_2", [0.9, 0.99, 0.999, 0.9999, 0.99999])
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 5e-7), ("float64", 1e-9)])
def test_rho(beta_2, dtype, bound):
    steps = np.unique(np.geomspace(1, 1e6, 300).astype("int64"))
    # As the paper writes it, in 28 digits: in float64 too it is off by 1e-7.
    b = Decimal(beta_2)
    exact = [2 / (1 - b) - 1 - 2 * t * b**t / (1 - b**t) for t in steps.tolist()]
    with float64():
        ours = radam._rho(beta_2, ops.cast(ops.convert_to_tensor(steps), dtype))
        ours = ops.convert_to_numpy(ours)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, np.array(exact, "float64"), rtol=bound)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999, 0.99999])
def test_bias_correction(beta):
    t = np.array([1.0, 2.0, 5.0, 1e3, 1e6], dtype="float32")
    ours = radam._bias_correction(beta, ops.convert_to_tensor(t))
    exact = 1 - beta ** t.astype("float64")
    np.testing.assert_allclose(ops.convert_to_numpy(ours), exact, rtol=5e-7)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"beta_1": 0.0},
        {"beta_2": 0.0},  # never rectified, as all beta_2 up to 2/3
        {"beta_2": 0.5},
        {"beta_2": 0.6},
        {"beta_2": 2 / 3},
        {"beta_2": 0.67},
        {"beta_2": 0.7, "rho_threshold": 4},
        {"rho_threshold": 4.0},
        {"rho_threshold": 10.5},
        {"epsilon": 0.1},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "early_steps": "skip"},
    ],
    ids=str,
)
def test_arguments(kwargs):
    weights, gradients = weights_and_gradients(20)
    ours = trained(RAdam(0.01, **kwargs), weights, gradients)
    assert error(ours, twins(weights, gradients, learning_rate=0.01, **kwargs)) < 1e-6


def test_skip_leaves_the_weights_and_not_the_moments():
    weights, gradients = weights_and_gradients(6)
    optimizer = RAdam(0.01, early_steps="skip")
    assert error(trained(optimizer, weights, gradients[:5]), weights) == 0
    for momentum in optimizer._momentums:
        assert np.all(to_float64(momentum).ravel()[1:] != 0)
    assert error(trained(RAdam(early_steps="skip"), weights, gradients), weights) > 0


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
def test_learning_rate_zero(early_steps):
    weights, gradients = weights_and_gradients(8)
    ours = trained(RAdam(0.0, early_steps=early_steps), weights, gradients)
    assert error(ours, weights) == 0


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
def test_overflowed_velocity(early_steps):
    weights, gradients = [np.ones(2)], [[np.array([1e22, 1.0])]] * 8
    ours = trained(RAdam(1e-30, early_steps=early_steps), weights, gradients)
    np.testing.assert_allclose(ours[0], 1.0, atol=1e-6)


@pytest.fixture
def numeric_checks():
    """Where an infinity or NaN in any operation is an error; PyTorch has no such."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.debugging.enable_check_numerics()
        yield
        tf.debugging.disable_check_numerics()
    elif BACKEND == "jax":
        import jax

        with jax.debug_infs(True), jax.debug_nans(True):
            yield
    else:
        yield


@pytest.mark.parametrize("early_steps", ["momentum", "skip"])
@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.9), (0.9, 0.99999)], ids=str)
def test_nothing_in_a_step_is_infinite(numeric_checks, betas, early_steps):
    optimizer = RAdam(0.5, *betas, early_steps=early_steps)
    variable = keras.Variable(np.ones(3, "float32"))
    optimizer.build([variable])
    for iterations in (0, 4, 5, 10**3, 10**5, 10**7):
        optimizer.iterations.assign(iterations)
        optimizer.apply([ops.ones(3)], [variable])
        assert np.isfinite(to_float64(variable)).all()
    if betas[0] == 0 and early_steps == "momentum":
        optimizer.iterations.assign(0)
        variable.assign(np.ones(3))
        optimizer.apply([2 * ops.ones(3)], [variable])
        np.testing.assert_array_equal(to_float64(variable), [0, 0, 0])


def test_no_average_of_the_squares(numeric_checks):
    """With beta_2 = 0 no step is rectified: it is momentum alone."""
    variable = keras.Variable(np.ones(3, "float32"))
    RAdam(0.5, 0.0, 0.0).apply([ops.ones(3)], [variable])
    np.testing.assert_array_equal(to_float64(variable), [0.5, 0.5, 0.5])


def test_zero_gradient_moves_nothing():
    weights = [np.ones(3)]
    assert error(trained(RAdam(0.1), weights, [[np.zeros(3)]] * 8), weights) == 0


def test_single_step():
    variable = keras.Variable([1.0, 2.0, 3.0, 4.0])
    gradient = ops.array([1.0, 6.0, 7.0, 2.0])
    RAdam(0.5).apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(to_float64(variable), [0.5, -1.0, -0.5, 3.0], rtol=1e-6)


def test_correctness_with_golden():
    optimizer = RAdam()
    x = keras.Variable(np.ones(2, dtype="float32"))
    first, later = ops.full((2,), 0.01), ops.array([0.1, 1.0])
    golden = [
        [0.99999, 0.99999],
        [0.9999326, 0.9994589],
        [0.9998595, 0.9987549],
        [0.9997786, 0.9979647],
        [0.999693, 0.9971233],
        [0.999668, 0.9970986],
        [0.9996359, 0.9970668],
        [0.9995977, 0.9970288],
    ]
    optimizer.apply_gradients([(first, x)])
    for values in golden:
        np.testing.assert_allclose(to_float64(x), values, atol=1e-7)
        optimizer.apply_gradients([(later, x)])


def test_weight_decay_and_its_exclusion():
    decayed, excluded = keras.Variable(2.0), keras.Variable(2.0, name="exclude")
    optimizer = RAdam(1.0, weight_decay=0.004)
    optimizer.exclude_from_weight_decay(var_names=["exclude"])
    optimizer.apply([ops.zeros(()), ops.zeros(())], [decayed, excluded])
    assert to_float64(decayed) == pytest.approx(1.992, abs=1e-6)
    assert to_float64(excluded) == 2.0


@pytest.mark.parametrize(
    ("kwargs", "clipped"),
    [
        ({"clipnorm": 1.0}, [2**-0.5, 2**-0.5]),
        ({"clipvalue": 1.0}, [1.0, 1.0]),
        ({"global_clipnorm": 2.0}, [2**0.5, 2**0.5]),
        ({"loss_scale_factor": 100.0}, [1.0, 1.0]),
    ],
    ids=str,
)
def test_clipping_and_loss_scale(kwargs, clipped):
    gradients = [[np.full(2, 100.0)]] * 8
    ours = trained(RAdam(0.01, **kwargs), [np.zeros(2)], gradients)
    twin = twins([np.zeros(2)], [[np.array(clipped)]] * 8, learning_rate=0.01)
    assert error(ours, twin) < 1e-6


def test_ema():
    optimizer = RAdam(1.0, use_ema=True, ema_momentum=0.9)
    variable = keras.Variable([1.0, 2.0])
    gradient = ops.array([0.1, 0.2])
    optimizer.apply([gradient], [variable])
    first = to_float64(variable)
    optimizer.apply([gradient], [variable])
    average = 0.9 * first + 0.1 * to_float64(variable)
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(to_float64(variable), average, rtol=1e-6)


def test_schedule():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [3, 7], [0.1, 0.0, 1.0]
    )
    weights, gradients = weights_and_gradients(12)
    ours = trained(RAdam(schedule), weights, gradients)
    rates = [0.1] * 4 + [0.0] * 4 + [1.0] * 4
    assert error(ours, twins(weights, gradients, learning_rate=rates)) < 2e-6


def test_gradient_accumulation():
    gradients = [[np.array([i, 3.0])] for i in range(16)]
    means = [[np.array([i + 0.5, 3.0])] for i in range(0, 16, 2)]
    optimizer = RAdam(0.01, gradient_accumulation_steps=2)
    ours = trained(optimizer, [np.ones(2)], gradients)
    assert error(ours, twins([np.ones(2)], means, learning_rate=0.01)) < 1e-6


def test_gradients_for_some_of_the_variables():
    weights, gradients = weights_and_gradients(8)
    variables = [keras.Variable(w, dtype="float32") for w in weights]
    optimizer = RAdam(0.01)
    optimizer.build(variables)
    for of_step in gradients:
        step = [ops.convert_to_tensor(g, dtype="float32") for g in of_step]
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([None, step[1], None, step[3]], variables)
    _, second, _, fourth = twins(weights, gradients, learning_rate=0.01)
    ours = [to_float64(v) for v in variables]
    assert error(ours, [weights[0], second, weights[2], fourth]) < 1e-6
    optimizer.apply([step[2], step[0]], [variables[2], variables[0]])
    assert error([to_float64(variables[3])], [fourth]) < 1e-6


def test_state_corresponds_to_that_of_adam():
    variables = [keras.Variable(np.ones(shape), dtype="float32") for shape in SHAPES]
    ours, adam = RAdam(name="adam"), keras.optimizers.Adam(name="adam")
    ours.build(variables)
    adam.build(variables)
    assert [v.path for v in ours.variables] == [v.path for v in adam.variables]
    assert RAdam().name == "radam"


def test_config_round_trip():
    kwargs = {
        "learning_rate": 0.5,
        "beta_1": 0.5,
        "beta_2": 0.75,
        "epsilon": 1e-5,
        "rho_threshold": 6,
        "early_steps": "skip",
        "weight_decay": 0.1,
        "name": "mine",
    }
    optimizer = RAdam(**kwargs)
    assert kwargs.items() <= optimizer.get_config().items()
    config = keras.optimizers.serialize(optimizer)
    assert config["registered_name"] == "keras_wgd>RAdam"
    again = keras.optimizers.deserialize(json.loads(json.dumps(config)))
    assert type(again) is RAdam
    assert again.get_config() == optimizer.get_config()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    config = keras.optimizers.serialize(RAdam(schedule))
    again = keras.optimizers.deserialize(json.loads(json.dumps(config)))
    assert again.get_config() == RAdam(schedule).get_config()


@pytest.mark.parametrize(
    ("kwargs", "allowed"),
    [
        ({"beta_1": 1.0}, r"\[0, 1\)"),
        ({"beta_1": -0.1}, r"\[0, 1\)"),
        ({"beta_1": "0.9"}, r"\[0, 1\)"),
        ({"beta_2": 1}, r"\[0, 1\)"),
        ({"beta_2": float("nan")}, r"\[0, 1\)"),
        ({"beta_2": None}, r"\[0, 1\)"),
        ({"epsilon": 0.0}, "above 0"),
        ({"epsilon": float("inf")}, "above 0"),
        ({"rho_threshold": 3.9}, "at least 4"),
        ({"rho_threshold": float("nan")}, "at least 4"),
        ({"early_steps": "skipp"}, "momentum, skip.*Did you mean 'skip'"),
        ({"early_steps": None}, "one of momentum, skip"),
        ({"beta_2": 0.5, "early_steps": "skip"}, "rho_threshold"),
        ({"momentum": 0.9}, "not recognized"),
    ],
    ids=str,
)
def test_bad_arguments(kwargs, allowed):
    argument, received = next(iter(kwargs.items()))
    with pytest.raises(ValueError, match=allowed) as raised:
        RAdam(**kwargs)
    message = str(raised.value)
    assert argument in message
    assert repr(received) in message
    assert "\n" not in message


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )


def fitted(model, epochs):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 6)).astype("float32")
    y = generator.normal(size=(32, 2)).astype("float32")
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return [to_float64(w) for w in model.weights]


# The one jit of PyTorch that is fast to start is tested below.
@pytest.mark.skipif(BACKEND == "torch", reason="Inductor compiles for 20 seconds")
def test_jit_and_eager_agree_in_fit():
    after = []
    for mode in ({"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}):
        model = network()
        model.compile(RAdam(0.01, weight_decay=0.01), "mse", **mode)
        after.append(fitted(model, epochs=2))
    assert error(after[0], after[1]) < 1e-5
    assert error(after[0], after[2]) < 1e-5


@pytest.mark.parametrize("steps_before", [3, 8])
def test_save_load_and_go_on(tmp_path, steps_before):
    uninterrupted = network()
    uninterrupted.compile(RAdam(0.01), "mse", jit_compile=False)
    interrupted = network()
    interrupted.compile(RAdam(0.01), "mse", jit_compile=False)
    fitted(uninterrupted, epochs=steps_before)
    fitted(interrupted, epochs=steps_before)
    interrupted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is RAdam
    assert int(loaded.optimizer.iterations) == 4 * steps_before
    assert error(fitted(loaded, epochs=2), fitted(uninterrupted, epochs=2)) == 0


def test_update_step_takes_a_plain_learning_rate():
    weights, gradients = weights_and_gradients(8)
    variables = [keras.Variable(w, dtype="float32") for w in weights]
    optimizer = RAdam(0.01)
    optimizer.build(variables)
    for of_step in gradients:
        for g, v in zip(of_step, variables, strict=True):
            g = ops.convert_to_tensor(g, dtype="float32")
            optimizer.update_step(g, v, optimizer.learning_rate)
        optimizer.iterations.assign_add(1)
    ours = [to_float64(v) for v in variables]
    assert error(ours, twins(weights, gradients, learning_rate=0.01)) < 1e-6


@on_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_indexed_slices_repeat_indices(dtype):
    import tensorflow as tf

    values = tf.constant([[1.0], [1.0], [2.0]], dtype)
    slices = tf.IndexedSlices(values, tf.constant([0, 2, 2]), tf.constant([4, 1]))
    dense = np.array([[1.0], [0.0], [3.0], [0.0]])
    variable = keras.Variable(np.ones((4, 1)), dtype=dtype)
    optimizer = RAdam(0.01)
    for _ in range(8):
        optimizer.apply([slices], [variable])
    twin = reference.radam(np.ones((4, 1)), [dense] * 8, 0.01)
    bound = 1e-6 if dtype == "float32" else 8 * 2.0**-8
    np.testing.assert_allclose(to_float64(variable), twin, atol=bound)


@on_tensorflow
@pytest.mark.parametrize("distributed", [False, True])
def test_native_variables_and_strategies(distributed):
    import tensorflow as tf

    strategy = (
        tf.distribute.MirroredStrategy(["CPU:0"])
        if distributed
        else tf.distribute.get_strategy()
    )
    gradients = np.array([0.5, 3.0]) * np.arange(1.0, 9.0)[:, None]
    with strategy.scope():
        variable = tf.Variable([1.0, 2.0])
        optimizer = RAdam(0.01, weight_decay=0.1)
        optimizer.build([variable])

    @tf.function
    def step(gradient):
        # Not `gradient` itself: MirroredStrategy asks on which device it is.
        optimizer.apply([gradient * 1.0], [variable])

    for gradient in gradients.astype("float32"):
        strategy.run(step, args=(gradient,))
    twin = reference.radam([1.0, 2.0], gradients, 0.01, weight_decay=0.1)
    np.testing.assert_allclose(variable.numpy(), twin, atol=1e-6)


@on_torch
def test_torch_compiles_the_step_in_one_graph():
    """`fullgraph` also fails if anything waits for a value on the device."""
    import torch

    weights, gradients = weights_and_gradients(8)
    variables = [keras.Variable(w, dtype="float32") for w in weights]
    optimizer = RAdam(0.01, weight_decay=0.1)
    optimizer.build(variables)

    @torch.compile(fullgraph=graphs_are_whole(), backend="aot_eager")
    def step(of_step):
        optimizer.apply(of_step, variables)

    for of_step in gradients:
        step([torch.tensor(g, dtype=torch.float32) for g in of_step])
    ours = [to_float64(v) for v in variables]
    twin = twins(weights, gradients, learning_rate=0.01, weight_decay=0.1)
    assert error(ours, twin) < 1e-6


@on_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_weights_in_another_order_of_memory(dtype):
    """Where the fused step would pair numbers that do not belong together."""
    import torch

    weights, gradients = weights_and_gradients(20)
    trained_twins = twins(weights, gradients, learning_rate=0.01)
    variables = [keras.Variable(w, dtype=dtype) for w in weights]
    for variable in variables:
        axes = tuple(reversed(range(variable.ndim)))
        reversed_memory = variable.value.data.permute(axes).contiguous()
        variable.value.data = reversed_memory.permute(axes)
    assert not all(v.value.is_contiguous() for v in variables)
    optimizer = RAdam(0.01)
    for of_step in gradients:
        tensors = [torch.tensor(g, dtype=getattr(torch, dtype)) for g in of_step]
        optimizer.apply(tensors, variables)
    assert error([to_float64(v) for v in variables], trained_twins) < 1e-6


@on_torch
def test_torch_gradients_sparse_and_of_another_dtype():
    import torch

    dense = torch.tensor([[1.0], [0.0], [3.0]])
    with torch.sparse.check_sparse_tensor_invariants():
        sparse = torch.sparse_coo_tensor(
            torch.tensor([[0, 2, 2]]), torch.tensor([[1.0], [1.0], [2.0]]), (3, 1)
        )
    twin = reference.radam(np.ones((3, 1)), [dense.numpy()] * 8, 0.01)
    for gradient in (sparse, dense.double()):
        variable = keras.Variable(np.ones((3, 1)), dtype="float32")
        optimizer = RAdam(0.01)
        for _ in range(8):
            optimizer.apply([gradient], [variable])
        np.testing.assert_allclose(to_float64(variable), twin, atol=1e-6)
