"""One step of WGD against NumPy: layer types, gradients in any form, and updates."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.networks import (
    every_layer_type,
    graphs_are_whole,
    values,
)

from keras_wgd import WGD, conv_kernels
from keras_wgd.optimizers.means import MEANS

BACKEND = keras.backend.backend()


def inner_product(y_true, y_pred):
    return ops.sum(y_true * y_pred, axis=-1)


def stepped(optimizer, jit_compile):
    """The change that one step of fit makes to each variable.

    The model and the loss are linear, all numbers small integers and the loss
    weight a power of two: whatever the order of its sums, a plain gradient is
    exact in float32, the same in every run.
    """
    generator = np.random.default_rng(0)
    model = every_layer_type()
    model.set_weights([generator.integers(-1, 2, w.shape) for w in model.weights])
    model.compile(
        optimizer(model),
        loss=inner_product,
        loss_weights=0.5,
        jit_compile=jit_compile,
    )
    x = generator.integers(-1, 2, (16, *model.input_shape[1:])).astype("float32")
    y = generator.integers(-1, 2, (16, 3)).astype("float32")
    before = values(model.trainable_variables)
    model.fit(x, y, batch_size=16, verbose=0)
    after = values(model.trainable_variables)
    return model, [b.astype("float64") - a for b, a in zip(before, after, strict=True)]


@pytest.fixture(scope="module")
def gradients():
    _, gradients = stepped(lambda model: keras.optimizers.SGD(1.0), jit_compile=False)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient * 32, np.round(gradient * 32))
    return gradients


# Dynamo needs a minute for Keras's layers; the wrapper alone is compiled below.
JIT = [False] if BACKEND == "torch" else [False, True]


@pytest.mark.parametrize("jit_compile", JIT, ids=["eager", "jit"][: len(JIT)])
@pytest.mark.parametrize("mean_over", MEANS)
def test_step_of_fit_for_every_layer_type(gradients, mean_over, jit_compile):
    model, steps = stepped(
        lambda model: WGD(keras.optimizers.SGD(1.0), mean_over, kernels=model),
        jit_compile,
    )
    kernels = {k.index: k for k in conv_kernels(model)}
    assert len(kernels) == 15
    for index, (step, gradient) in enumerate(zip(steps, gradients, strict=True)):
        if index in kernels:
            kernel = kernels[index]
            gradient = reference.whiten(gradient, kernel.kind, mean_over, kernel.groups)
        np.testing.assert_allclose(step, gradient, rtol=0, atol=1e-6)
        assert np.abs(step).max() > 0.01


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile all of fit")
@pytest.mark.parametrize("mean_over", MEANS)
def test_torch_compiles_the_step_in_one_graph(mean_over):
    import torch

    model = every_layer_type()
    variables = model.trainable_variables
    optimizer = WGD(keras.optimizers.SGD(1.0), mean_over, kernels=model)
    optimizer.build(variables)

    @torch.compile(fullgraph=graphs_are_whole(), backend="aot_eager")
    def step(gradients):
        optimizer.apply(gradients, variables)

    before = values(variables)
    gradients = [drawn(*v.shape, seed=i) for i, v in enumerate(variables)]
    with torch.no_grad():
        step([torch.tensor(gradient) for gradient in gradients])
    kernels = {k.index: k for k in conv_kernels(model)}
    for index, (old, new) in enumerate(zip(before, values(variables), strict=True)):
        gradient = gradients[index]
        if index in kernels:
            kernel = kernels[index]
            gradient = reference.whiten(gradient, kernel.kind, mean_over, kernel.groups)
        np.testing.assert_allclose(old - new, gradient, rtol=0, atol=2e-6)


@pytest.mark.parametrize("mean_over", MEANS)
def test_means_of_one_are_not_subtracted(mean_over):
    layers = ("conv2d", "conv2d_1", "depthwise_conv2d", "one_each")
    names = [f"{layer}/kernel" for layer in layers]
    shapes = [(3, 3, 2, 4), (1, 1, 4, 1), (3, 3, 4, 1), (3, 3, 4, 1)]
    optimizer = WGD(keras.optimizers.SGD(1.0), mean_over)
    variables = built_on(shapes, optimizer, names)
    gradients = [drawn(*shape) for shape in shapes]
    optimizer.apply([ops.convert_to_tensor(g) for g in gradients], variables)
    for value in values(variables):
        assert np.abs(value).max() > 0.01


def centered(gradient, mean_over="filters"):
    return reference.whiten(gradient, "standard", mean_over)


def built_on(shapes, optimizer, names=None):
    names = names or [f"conv2d_{i}/kernel" for i in range(len(shapes))]
    variables = []
    for shape, name in zip(shapes, names, strict=True):
        *scopes, name = name.split("/")
        with keras.name_scope("/".join(scopes) or "scope"):
            variables.append(keras.Variable(np.zeros(shape, "float32"), name=name))
    optimizer.build(variables)
    return variables


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


SHAPES = [(3, 3, 2, 4), (4,), (3, 3, 4, 5)]


NAMES = ["conv2d/kernel", "conv2d/bias", "conv2d_1/kernel"]


def test_gradients_in_any_order_and_number():
    optimizer = WGD(keras.optimizers.SGD(1.0))
    variables = built_on(SHAPES, optimizer, NAMES)
    gradients = [drawn(*shape, seed=i) for i, shape in enumerate(SHAPES)]
    expected = [-centered(gradients[0]), -gradients[1], -centered(gradients[2])]
    for chosen in ([2, 0, 1], [2], [1, 0]):
        for variable in variables:
            variable.assign(np.zeros(variable.shape))
        optimizer.apply_gradients(
            [(ops.convert_to_tensor(gradients[i]), variables[i]) for i in chosen]
        )
        for i, value in enumerate(values(variables)):
            wanted = expected[i] if i in chosen else np.zeros(SHAPES[i])
            np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6)


# Not Adam: on PyTorch it takes tensors only.
@pytest.mark.parametrize("name", ["radam", "lamb"])
@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_gradients_as_arrays(name, placement):
    gradients = [drawn(*shape) for shape in SHAPES[:2]]
    trained = []
    for given in (gradients, [ops.convert_to_tensor(g) for g in gradients]):
        optimizer = WGD(name, placement=placement)
        variables = built_on(SHAPES[:2], optimizer, NAMES[:2])
        for variable in variables:
            variable.assign(np.ones(variable.shape))
        optimizer.apply(given, variables)
        trained.append(values(variables))
    for array, tensor in zip(*trained, strict=True):
        np.testing.assert_array_equal(array, tensor)
        assert (array != 1).any()


@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_variable_given_twice(placement):
    optimizer = WGD(keras.optimizers.SGD(1.0), placement=placement)
    first, other = (keras.Variable(np.zeros((3, 3, 2, 4)), name="kernel") for _ in "ab")
    variables = (first, other, first)  # a tuple
    optimizer.build(variables)
    gradients = [drawn(3, 3, 2, 4, seed=i) for i in range(3)]
    tensors = [ops.convert_to_tensor(gradient) for gradient in gradients]
    whitened = [centered(gradient) for gradient in gradients]
    for order in ([0, 1, 2], [2, 1, 0], [0, 2]):
        for variable in variables:
            variable.assign(np.zeros(variable.shape))
        optimizer.apply([tensors[i] for i in order], [variables[i] for i in order])
        wanted = -sum(whitened[i] for i in order if i != 1)
        np.testing.assert_allclose(values([first])[0], wanted, rtol=0, atol=2e-6)


def test_kernel_overwritten_with_its_gradient():
    kernel = keras.Variable(np.zeros((3, 3, 2, 4)), name="kernel")
    kernel.overwrite_with_gradient = True
    optimizer = WGD("sgd")
    rest = keras.Variable(np.zeros((3, 3, 2, 4)), name="kernel")
    optimizer.build([kernel, rest])
    gradient = drawn(3, 3, 2, 4)
    optimizer.apply([ops.convert_to_tensor(gradient)] * 2, [kernel, rest])
    np.testing.assert_array_equal(values([kernel])[0], gradient)
    assert optimizer.whitened_variables == [rest]


def test_missing_gradients():
    optimizer = WGD(keras.optimizers.SGD(1.0))
    variables = built_on(SHAPES, optimizer, NAMES)
    gradient = drawn(*SHAPES[2])
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        optimizer.apply([None, None, ops.convert_to_tensor(gradient)], variables)
    first, bias, second = values(variables)
    assert not first.any()
    assert not bias.any()
    np.testing.assert_allclose(second, -centered(gradient), rtol=0, atol=1e-6)


def test_wrong_number_of_gradients():
    optimizer = WGD("sgd")
    variables = built_on(SHAPES, optimizer, NAMES)
    gradients = [ops.zeros(shape) for shape in SHAPES]
    with pytest.raises(ValueError, match=r"Received: 2 gradients for 3 variables"):
        optimizer.apply(gradients[:2], variables)
    with pytest.raises(ValueError, match=r"2 gradients"):
        optimizer.apply(gradients[:2])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply(gradients[:1], [keras.Variable(np.zeros(SHAPES[0]))])


def test_nan_stays_in_its_own_mean():
    optimizer = WGD(keras.optimizers.SGD(1.0))
    variables = built_on(SHAPES, optimizer, NAMES)
    gradients = [drawn(*shape) for shape in SHAPES]
    gradients[0][1, 1, 0, 2] = np.nan
    optimizer.apply([ops.convert_to_tensor(g) for g in gradients], variables)
    bad = [np.isnan(value) for value in values(variables)]
    assert bad[0][1, 1, 0].all()
    assert [b.sum() for b in bad] == [4, 0, 0]


def test_built_optimizer_can_be_wrapped():
    inner = keras.optimizers.SGD(1.0)
    (variable,) = built_on(SHAPES[:1], inner)
    gradient = drawn(*SHAPES[0])
    optimizer = WGD(inner)
    optimizer.apply([ops.convert_to_tensor(gradient)])
    np.testing.assert_allclose(
        values([variable])[0], -centered(gradient), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_inner_optimizer_without_its_wrapper_is_plain(placement):
    inner = keras.optimizers.SGD(1.0, weight_decay=0.5)
    wrappers = WGD(inner, "fan_in", placement), WGD(inner, "filters", placement)
    (variable,) = built_on(SHAPES[:1], inner)
    start, gradient = (drawn(*SHAPES[0], seed=i).astype("float64") for i in range(2))
    decay = 0.5 * start
    wanted = {inner: start - decay - gradient}
    for wrapper in wrappers:
        mean_over = wrapper.mean_over
        if placement == "gradient":
            wanted[wrapper] = start - decay - centered(gradient, mean_over)
        else:
            wanted[wrapper] = start - centered(decay + gradient, mean_over)
    for optimizer in (inner, *wrappers) * 2:
        variable.assign(start)
        optimizer.apply([ops.convert_to_tensor(gradient.astype("float32"))])
        np.testing.assert_allclose(
            values([variable])[0], wanted[optimizer], rtol=0, atol=1e-6
        )


def test_no_gradients_are_no_step():
    optimizer = WGD("sgd")
    optimizer.apply([], [])
    assert not optimizer.built
    variables = built_on(SHAPES, optimizer, NAMES)
    optimizer.apply([])
    optimizer.apply([ops.ones(shape) for shape in SHAPES], variables)
    assert int(optimizer.iterations) == 1


def update_step_of(optimizer, start, gradients):
    """Yield the weights after each gradient."""
    variables = [keras.Variable(value, name="kernel") for value in start]
    optimizer.build(variables)
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in gradient], variables)
        yield values(variables)


@pytest.mark.parametrize("mean_over", MEANS)
def test_update_includes_weight_decay(mean_over):
    start = [drawn(3, 3, 2, 4, seed=7), drawn(4, seed=8)]
    gradients = [[drawn(3, 3, 2, 4, seed=i), drawn(4, seed=i)] for i in range(4)]
    options = {"learning_rate": 0.1, "weight_decay": 0.5}

    kernel, bias = (start[0].astype("float64"), start[1].astype("float64"))
    plain = keras.optimizers.AdamW(**options)
    whitened = WGD(keras.optimizers.AdamW(**options), mean_over, "update")
    expected = []
    variables = [keras.Variable(value, name="kernel") for value in start]
    plain.build(variables)
    for gradient in gradients:
        # A plain step from the weights of the centered run: the moments depend
        # only on the gradients.
        for variable, value in zip(variables, (kernel, bias), strict=True):
            variable.assign(value.astype("float32"))
        plain.apply([ops.convert_to_tensor(g) for g in gradient], variables)
        after = [value.astype("float64") for value in values(variables)]
        kernel = kernel + centered(after[0] - kernel, mean_over)
        bias = after[1]
        expected.append((kernel, bias))
    for got, wanted in zip(
        update_step_of(whitened, start, gradients), expected, strict=True
    ):
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(g, w, rtol=0, atol=2e-6)


def test_constraints_and_averages_see_the_centered_update():
    start = drawn(3, 3, 2, 4)
    variable = keras.Variable(start, name="kernel")
    variable.constraint = keras.constraints.NonNeg()
    inner = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer = WGD(inner, placement="update")
    optimizer.build([variable])
    gradient = drawn(3, 3, 2, 4, seed=1)
    optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    stepped = start - centered(gradient)
    np.testing.assert_allclose(
        values([variable])[0], np.maximum(stepped, 0), rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        values(inner._model_variables_moving_average)[0], stepped, rtol=0, atol=1e-6
    )
