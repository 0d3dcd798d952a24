"""Custom training loops on each backend, against NumPy and `fit`."""

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
    """The weights after as many steps of `fit` on the same batch."""
    keras.utils.set_random_seed(0)
    model = compiled(convnet(), wrapped(placement), jit_compile=BACKEND == "jax")
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

    from keras_wgd.optimizers import torch_steps

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
        """Autograd shares memory between weights that are added."""
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

    def large_kernels(count=2, filters=64):
        shape = (3, 3, 64, filters)
        variables = [
            keras.Variable(np.zeros(shape), name="kernel") for _ in range(count)
        ]
        gradients = [torch.randn(shape) for _ in variables]
        return variables, gradients

    class Keeps(optimizers.SGD):
        """An optimizer that keeps each gradient, or a view of it, for later."""

        def __init__(self, part):
            super().__init__(1.0)
            self.part, self.kept = part, []

        def apply(self, grads, trainable_variables=None, **kwargs):
            self.kept.append([self.part(gradient) for gradient in grads])
            super().apply(grads, trainable_variables, **kwargs)

    @pytest.mark.parametrize("filters", [4, 64])
    def test_gradients_of_the_caller_are_not_written(filters):
        variables, gradients = large_kernels(filters=filters)
        optimizer = WGD(optimizers.SGD(1.0))
        for step in range(1, 4):
            kept = [gradient.clone() for gradient in gradients]
            optimizer.apply(gradients, variables)
            for variable, gradient, before in zip(
                variables, gradients, kept, strict=True
            ):
                assert torch.equal(gradient, before)
                wanted = -step * reference.whiten(before.numpy(), "standard", "filters")
                got = values([variable])[0]
                np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6)

    def test_centered_copies_reuse_their_memory(monkeypatch):
        variables, gradients = large_kernels()
        optimizer = WGD(Keeps(torch.Tensor.data_ptr))
        optimizer.apply(gradients, variables)
        monkeypatch.delattr(torch, "empty_like")  # no new memory
        optimizer.apply(gradients, variables)
        first, second = optimizer.kept
        assert first == second
        assert not set(first) & {gradient.data_ptr() for gradient in gradients}

    @pytest.mark.parametrize(
        "part",
        [lambda g: g, lambda g: g[0], torch.Tensor.detach],
        ids=["whole", "view", "detached"],
    )
    def test_kept_copy_is_not_written_again(part):
        variables, gradients = large_kernels()
        optimizer = WGD(Keeps(part))
        for factor in (1, 2, 3):
            optimizer.apply([factor * gradient for gradient in gradients], variables)
        for factor, kept in enumerate(optimizer.kept, start=1):
            for gradient, centered in zip(gradients, kept, strict=True):
                wanted = reference.whiten(
                    factor * gradient.numpy(), "standard", "filters"
                )
                wanted = part(torch.tensor(wanted)).numpy()
                np.testing.assert_allclose(centered.numpy(), wanted, rtol=0, atol=2e-6)

    @pytest.mark.parametrize("inner", [RAdam, optimizers.Adam])
    def test_stateless_apply(inner):
        variables, gradients = large_kernels()
        optimizer, other = WGD(inner(0.1)), WGD(inner(0.1))
        for made in (optimizer, other):
            made.build(variables)
        state = [torch.clone(v.value.detach()) for v in optimizer.variables]
        weights = [torch.clone(v.value.detach()) for v in variables]
        for _ in range(3):
            with torch.no_grad():
                weights, state = optimizer.stateless_apply(state, gradients, weights)
        assert all(torch.count_nonzero(v.value) == 0 for v in variables)
        assert int(optimizer.iterations) == 0
        for _ in range(3):
            other.apply(gradients, variables)
        for a, b in zip(weights, values(variables), strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=1e-6)

    # torch.func uses what PyTorch deprecates.
    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
    @pytest.mark.parametrize("transform", ["jvp", "vjp", "vmap", "dual"])
    def test_transforms_of_torch(transform):
        variables, gradients = large_kernels()
        workspace = torch_steps.Workspace()

        def center(gradient):
            job = torch_steps.Job(gradient, variables[0], 0, (-1,), 1)
            return workspace.whiten([job])[0]

        wanted = [g - g.mean(-1, keepdim=True) for g in gradients]
        if transform == "jvp":
            got = torch.func.jvp(center, *((g,) for g in gradients))
        elif transform == "vjp":
            value, vjp = torch.func.vjp(center, gradients[0])
            got = value, *vjp(gradients[1])
        elif transform == "vmap":
            got = torch.func.vmap(center)(torch.stack(gradients))
        else:
            with torch.autograd.forward_ad.dual_level():
                dual = torch.autograd.forward_ad.make_dual(*gradients)
                got = torch.autograd.forward_ad.unpack_dual(center(dual))
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)

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
