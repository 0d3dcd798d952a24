"""Training loops of one's own, on each backend, against NumPy and against fit."""

import keras
import numpy as np
import pytest
from keras import optimizers
from support import reference
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD, RAdam

pytestmark = pytest.mark.usefixtures("full_compilation")

BACKEND = keras.backend.backend()
STEPS = 3
placements = pytest.mark.parametrize("placement", ["gradient", "update"])


def wrapped(placement):
    return WGD(RAdam(0.01, beta_2=0.9), "fan_in", placement)


def fitted(placement):
    """What fit makes of as many steps on the same batch."""
    keras.utils.set_random_seed(0)
    model = compiled(convnet(), wrapped(placement), jit_compile=False)
    x, y = images(model)
    model.fit(x, y, batch_size=len(x), epochs=STEPS, shuffle=False, verbose=0)
    return values(model.trainable_variables)


def fresh():
    keras.utils.set_random_seed(0)
    model = convnet()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, loss, *images(model)


def assert_like_fit(model, placement):
    pairs = zip(values(model.trainable_variables), fitted(placement), strict=True)
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


if BACKEND == "tensorflow":
    import tensorflow as tf

    @placements
    @pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
    def test_gradient_tape(placement, mode):
        model, loss, x, y = fresh()
        optimizer = wrapped(placement)

        def step():
            with tf.GradientTape() as tape:
                value = loss(y, model(x, training=True))
            gradients = tape.gradient(value, model.trainable_variables)
            pairs = zip(gradients, model.trainable_variables, strict=True)
            optimizer.apply_gradients(pairs)

        optimizer.build(model.trainable_variables)
        if mode != "eager":
            step = tf.function(step, jit_compile=mode == "xla")
        for _ in range(STEPS):
            step()
        assert_like_fit(model, placement)

    @placements
    def test_native_tensorflow_variables(placement):
        start = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("float32")
        gradient = np.random.default_rng(1).normal(size=start.shape).astype("float32")
        variable = tf.Variable(start, name="conv2d/kernel")
        other = tf.Variable(np.ones(4, "float32"), name="conv2d/bias")
        optimizer = WGD(optimizers.SGD(1.0), placement=placement)
        returned = optimizer.apply_gradients(
            [(tf.constant(gradient), variable), (tf.constant(np.ones(4, "f")), other)]
        )
        wanted = start - reference.whiten(gradient, "standard", "filters")
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(other.numpy(), np.zeros(4))
        assert int(returned) == 1

    def test_sparse_gradient():
        rows = np.random.default_rng(0).normal(size=(2, 3, 2, 4)).astype("float32")
        variable = tf.Variable(np.zeros((3, 3, 2, 4), "float32"), name="conv2d/kernel")
        optimizer = WGD(optimizers.SGD(1.0))
        sparse = tf.IndexedSlices(rows, [2, 0], tf.constant([3, 3, 2, 4]))
        optimizer.apply_gradients([(sparse, variable)])
        dense = np.stack([rows[1], np.zeros_like(rows[0]), rows[0]])
        wanted = -reference.whiten(dense, "standard", "filters")
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=0, atol=1e-6)


if BACKEND == "jax":
    import jax

    @placements
    def test_stateless_apply_with_donated_buffers(placement):
        model, loss, x, y = fresh()
        optimizer = wrapped(placement)
        optimizer.build(model.trainable_variables)

        def loss_of(trainable, fixed):
            logits, fixed = model.stateless_call(trainable, fixed, x, training=True)
            return loss(y, logits), fixed

        @jax.jit
        def gradients_of(trainable, fixed):
            return jax.grad(loss_of, has_aux=True)(trainable, fixed)[0]

        apply = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
        trainable = [v.value for v in model.trainable_variables]
        fixed = [v.value for v in model.non_trainable_variables]
        state = [v.value for v in optimizer.variables]
        for _ in range(STEPS):
            gradients = gradients_of(trainable, fixed)
            trainable, state = apply(state, gradients, trainable)
        for variable, value in zip(model.trainable_variables, trainable, strict=True):
            variable.assign(value)
        assert int(state[0]) == STEPS
        assert_like_fit(model, placement)

    def test_stateless_apply_checks_its_arguments():
        optimizer = WGD(optimizers.Adam())
        with pytest.raises(ValueError, match="must be built"):
            optimizer.stateless_apply([], [], [])
        model = convnet()
        optimizer.build(model.trainable_variables)
        with pytest.raises(ValueError, match="optimizer_variables"):
            optimizer.stateless_apply([], [None] * 6, [])


if BACKEND == "torch":
    import torch

    def test_grad_is_centered_in_place():
        kernel = keras.Variable(np.zeros((3, 3, 2, 4), "float32"), name="kernel")
        optimizer = WGD("sgd")
        optimizer.build([kernel])
        gradient = torch.tensor(np.random.default_rng(0).normal(size=(3, 3, 2, 4)))
        wanted = reference.whiten(gradient.numpy(), "standard", "filters")
        kernel.value.grad = gradient = gradient.float()
        optimizer.apply([kernel.value.grad], [kernel])
        assert kernel.value.grad is gradient
        np.testing.assert_allclose(gradient.numpy(), wanted, rtol=0, atol=1e-6)

    def test_gradient_with_shared_memory_is_not_changed():
        """As autograd makes them of weights that meet in a sum."""
        kernel = keras.Variable(np.zeros((3, 3, 3, 8), "float32"), name="kernel")
        other = keras.Variable(np.zeros(216, "float32"), name="delta")
        optimizer = WGD(optimizers.SGD(1.0))
        optimizer.build([kernel, other])
        scale = torch.tensor(np.random.default_rng(0).normal(size=(27, 8)))
        total = kernel.value.reshape(27, 8) + other.value.reshape(27, 8)
        (total * scale.float()).sum().backward()
        gradients = [v.value.grad for v in (kernel, other)]
        assert gradients[0].data_ptr() == gradients[1].data_ptr()
        plain = gradients[0].numpy().copy()
        optimizer.apply(gradients, [kernel, other])
        wanted = reference.whiten(plain, "standard", "filters")
        np.testing.assert_allclose(values([kernel])[0], -wanted, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(values([other])[0], -plain.ravel())

    def test_gradient_that_is_the_weights():
        start = np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype("float32")
        kernel = keras.Variable(start, name="kernel")
        kernel.value.grad = kernel.value.detach()
        with torch.no_grad():
            WGD(optimizers.SGD(0.5)).apply([kernel.value.grad], [kernel])
        wanted = start - 0.5 * reference.whiten(start, "standard", "filters")
        np.testing.assert_allclose(values([kernel])[0], wanted, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("kind", ["another", "expanded", "in a graph", "inference"])
    def test_other_gradients_are_not_changed(kind):
        kernel = keras.Variable(np.zeros((1, 1, 2, 3), "float32"), name="kernel")
        optimizer = WGD(optimizers.SGD(1.0))
        optimizer.build([kernel])
        gradient = torch.tensor([[[[1.0, 2.0, 6.0]]]]).expand(1, 1, 2, 3)
        if kind != "expanded":
            with torch.inference_mode(kind == "inference"):
                gradient = gradient.clone()
        if kind != "another":
            kernel.value.grad = gradient
        gradient.requires_grad_(kind == "in a graph")
        optimizer.apply([gradient], [kernel])
        np.testing.assert_equal(gradient.detach().numpy()[0, 0, 0], [1, 2, 6])
        wanted = -reference.whiten(gradient.detach().numpy(), "standard", "filters")
        np.testing.assert_allclose(values([kernel])[0], wanted, rtol=0, atol=1e-6)

    @placements
    @pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad])
    def test_backward_and_apply(placement, grad_mode):
        model, loss, x, y = fresh()
        optimizer = wrapped(placement)
        for _ in range(STEPS):
            model.zero_grad()
            loss(torch.tensor(y), model(torch.tensor(x), training=True)).backward()
            variables = model.trainable_variables
            gradients = [v.value.grad for v in variables]
            kept = [g.clone() for g in gradients]
            with grad_mode():
                optimizer.apply(gradients, variables)
            written = [
                not torch.equal(a, b) for a, b in zip(gradients, kept, strict=True)
            ]
            centered = [placement == "gradient" and g.ndim == 4 for g in kept]
            assert written == centered
        assert all(v.value.is_leaf and v.value.requires_grad for v in variables)
        assert_like_fit(model, placement)
