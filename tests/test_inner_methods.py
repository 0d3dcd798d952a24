"""Inner optimizers that override the methods of a step."""

import keras
import numpy as np
import pytest
from keras import ops, optimizers
from support import reference
from support.networks import compiled, convnet, images, values

from keras_wgd import WGD

METHODS = (
    "build",
    "apply",
    "apply_gradients",
    "stateless_apply",
    "update_step",
    "scale_loss",
    "finalize_variable_values",
)


def recorded(base):
    """A subclass that overrides each method of a step, and records the calls."""

    def override(name):
        def method(self, *args, **kwargs):
            self.calls.append(name)
            return getattr(base, name)(self, *args, **kwargs)

        return method

    class Recorded(base):
        calls = ()

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.__dict__["calls"] = []

    for name in METHODS:
        setattr(Recorded, name, override(name))
    return Recorded


@pytest.mark.parametrize("placement", ["gradient", "update"])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_fit_calls_overridden_methods(name, placement):
    class_ = recorded(getattr(optimizers, name))
    calls = []
    for wrap in (lambda o: o, lambda o: WGD(o, placement=placement)):
        inner = class_(0.1, use_ema=True)
        model = compiled(convnet(), wrap(inner), run_eagerly=True)
        model.fit(*images(model), batch_size=8, verbose=0)
        calls.append(list(inner.calls))
    plain, wrapped = calls
    assert {"build", "scale_loss", "finalize_variable_values"} <= set(plain)
    if placement == "update":  # builds before it steps
        for names in calls:
            names.remove("build")
    assert wrapped == plain


class WithTape(optimizers.SGD):
    """Has a further argument, keeps state for its steps, and returns a value."""

    def apply_gradients(self, grads_and_vars, tape=None):
        self.tape = tape
        super().apply_gradients(grads_and_vars)
        return "stepped"

    def update_step(self, gradient, variable, learning_rate):
        assert self.tape == "tape"
        super().update_step(gradient, variable, learning_rate)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)


def kernel_and_gradient(shape=(3, 3, 2, 4)):
    generator = np.random.default_rng(0)
    start, gradient = generator.normal(size=(2, *shape)).astype("float32")
    with keras.name_scope("conv2d"):
        return keras.Variable(start, name="kernel"), start, gradient


@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_arguments_and_result_of_apply_gradients(placement):
    variable, start, gradient = kernel_and_gradient()
    optimizer = WGD(WithTape(1.0), placement=placement)
    pairs = zip([ops.convert_to_tensor(gradient)], [variable], strict=True)
    assert optimizer.apply_gradients(pairs, tape="tape") == "stepped"
    wanted = start - reference.whiten(gradient, "standard", "filters")
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=1e-6)


def test_arguments_and_result_of_apply():
    class Scaled(optimizers.SGD):
        def apply(self, grads, trainable_variables=None, scale=1.0):
            super().apply([g * scale for g in grads], trainable_variables)
            return scale

    variable, start, gradient = kernel_and_gradient()
    optimizer = WGD(Scaled(1.0))
    tensor = ops.convert_to_tensor(gradient)
    assert optimizer.apply([tensor], [variable], scale=0.5) == 0.5
    wanted = start - reference.whiten(gradient, "standard", "filters") / 2
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=1e-6)


def test_subclass_of_the_wrapper_with_its_own_apply():
    class Counted(WGD):
        def apply(self, *args, **kwargs):
            type(self).count += 1
            return super().apply(*args, **kwargs)

        count = 0

    variable, _, gradient = kernel_and_gradient()
    Counted(optimizers.SGD(1.0)).apply_gradients(
        [(ops.convert_to_tensor(gradient), variable)]
    )
    assert Counted.count == 1


def test_variables_added_through_the_wrapper():
    inner = optimizers.SGD(1.0)
    optimizer = WGD(inner)
    added = optimizer.add_variable((2,), name="more")
    assert any(v is added for v in inner.variables)
    assert len(optimizer.variables) == len(inner.variables)
    optimizer.assign_add(added, ops.ones(2))
    np.testing.assert_array_equal(values([added])[0], [1, 1])


class Holder(optimizers.Optimizer):
    """Has an optimizer under a name that Keras does not know, and no variables."""

    def __init__(self, optimizer, **kwargs):
        super().__init__(learning_rate=0.0, **kwargs)
        self._optimizer = optimizer

    def build(self, variables):
        self._optimizer.build(variables)
        self.built = True

    def apply(self, grads, trainable_variables=None):
        self._optimizer.apply(grads, trainable_variables)


class Hidden(Holder):
    """Has it where the wrapper cannot find it."""

    def __init__(self, optimizer, **kwargs):
        super().__init__(None, **kwargs)
        self._hidden = lambda: optimizer

    def build(self, variables):
        self._hidden().build(variables)
        super(Holder, self).build(variables)

    def apply(self, grads, trainable_variables=None):
        self._hidden().apply(grads, trainable_variables)


@pytest.mark.parametrize("placement", ["gradient", "update"])
def test_inner_wrapper_with_its_own_apply(placement):
    variable, start, gradient = kernel_and_gradient()
    optimizer = WGD(Holder(optimizers.SGD(1.0)), placement=placement)
    optimizer.build([variable])
    assert [v.path for v in optimizer.whitened_variables] == ["conv2d/kernel"]
    optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    wanted = start - reference.whiten(gradient, "standard", "filters")
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=1e-6)


def test_several_optimizers_in_a_list():
    class EveryOther(Holder):
        def build(self, variables):
            for optimizer in self._optimizer:
                optimizer.build(variables)
            self.built = True

        def apply(self, grads, trainable_variables=None):
            self._optimizer[0].apply(grads, trainable_variables)
            self._optimizer.reverse()

    variable, start, gradient = kernel_and_gradient()
    inner = EveryOther([optimizers.SGD(1.0), optimizers.SGD(0.5)])
    optimizer = WGD(inner, placement="update")
    for _ in range(2):
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    wanted = start - 1.5 * reference.whiten(gradient, "standard", "filters")
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("accumulated", [None, 2])
def test_unseen_step_is_refused(accumulated):
    variable, start, gradient = kernel_and_gradient()
    inner = Hidden(optimizers.SGD(1.0), gradient_accumulation_steps=accumulated)
    optimizer = WGD(inner, placement="update")
    with pytest.raises(ValueError, match=r'placement="gradient".*conv2d/kernel, not'):
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    # Its gradients can be centered.
    variable.assign(start)
    plain = WGD(Hidden(optimizers.SGD(1.0)))
    plain.apply([ops.convert_to_tensor(gradient)], [variable])
    wanted = start - reference.whiten(gradient, "standard", "filters")
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=1e-6)


def test_accumulating_optimizer_is_not_refused():
    variable, start, gradient = kernel_and_gradient()
    inner = optimizers.SGD(1.0, gradient_accumulation_steps=3)
    optimizer = WGD(inner, placement="update")
    for _ in range(6):
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    wanted = start - 2 * reference.whiten(gradient, "standard", "filters")
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=2e-6)


def test_accumulating_optimizer_with_some_of_the_variables():
    """The steps fall on calls without the first kernel."""
    first, start, gradient = kernel_and_gradient()
    with keras.name_scope("conv2d_1"):
        second = keras.Variable(start, name="kernel")
    inner = optimizers.SGD(1.0, gradient_accumulation_steps=2)
    optimizer = WGD(inner, placement="update")
    optimizer.build([first, second])
    gradient = ops.convert_to_tensor(gradient)
    for _ in range(3):
        optimizer.apply([gradient, gradient], [first, second])
        optimizer.apply([gradient], [second])
    assert (values([second])[0] != start).any()


def test_own_method_that_takes_a_step_is_refused():
    class Minimizing(optimizers.SGD):
        def minimize(self, grads, variables):
            self.apply_gradients(zip(grads, variables, strict=True))

        def rate(self):
            return float(ops.convert_to_numpy(self.learning_rate))

    variable, _, gradient = kernel_and_gradient()
    optimizer = WGD(Minimizing(0.5))
    optimizer.build([variable])
    assert optimizer.rate() == 0.5
    with pytest.raises(ValueError, match=r"minimize\(\) of Minimizing took a step"):
        optimizer.minimize([ops.convert_to_tensor(gradient)], [variable])


def test_update_step_set_on_the_wrapper():
    with pytest.raises(AttributeError, match="set update_step on inner_optimizer"):
        WGD("sgd").update_step = lambda *_: None


def test_unseen_step_of_one_kernel():
    """Another variable is stepped in between."""
    conv, _, gradient = kernel_and_gradient()
    with keras.name_scope("conv2d_1"):
        other = keras.Variable(np.zeros((3, 3, 2, 4), "float32"), name="kernel")

    class Half(optimizers.SGD):
        """Steps one kernel by itself, and the other as Keras does."""

        def apply(self, grads, trainable_variables=None):
            if trainable_variables[0] is conv:
                conv.assign(conv - grads[0])
            else:
                super().apply(grads, trainable_variables)

    optimizer = WGD(Half(1.0, gradient_accumulation_steps=2), placement="update")
    optimizer.build([conv, other])
    gradient = ops.convert_to_tensor(gradient)
    for _ in range(3):
        optimizer.apply([gradient], [other])
    with pytest.raises(ValueError, match="Received: conv2d/kernel, not centered"):
        optimizer.apply([gradient], [conv])


def test_unseen_step_beside_an_accumulating_part():
    class Composite(optimizers.SGD):
        """Lets another optimizer accumulate for one kernel, and steps the other."""

        def build(self, variables):
            super().build(variables)
            self.part = optimizers.SGD(1.0, gradient_accumulation_steps=2)
            self.part.build(variables[:1])

        def apply(self, grads, trainable_variables=None):
            first, second = trainable_variables
            self.part.apply(grads[:1], [first])
            second.assign(second - grads[1])

    first, start, gradient = kernel_and_gradient()
    with keras.name_scope("conv2d_1"):
        second = keras.Variable(start, name="kernel")
    optimizer = WGD(Composite(1.0), placement="update")
    gradient = ops.convert_to_tensor(gradient)
    with pytest.raises(ValueError, match="Received: conv2d_1/kernel, not centered"):
        optimizer.apply([gradient, gradient], [first, second])


def test_step_set_on_the_instance():
    inner = optimizers.SGD(1.0, weight_decay=0.5)
    own_step, own_decay = inner._backend_update_step, inner._apply_weight_decay

    def twice(*arguments):
        own_step(*arguments)
        own_step(*arguments)

    def decay_twice(variables):
        own_decay(variables)
        own_decay(variables)

    inner._backend_update_step = twice
    inner._apply_weight_decay = decay_twice
    variable, start, gradient = kernel_and_gradient()
    optimizer = WGD(inner, placement="update")
    optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    step = 0.25 * start - 2 * gradient - start
    wanted = start + reference.whiten(step, "standard", "filters")
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=2e-6)
    inner.apply([ops.convert_to_tensor(gradient)], [variable])
    wanted = 0.25 * wanted - 2 * gradient
    np.testing.assert_allclose(values([variable])[0], wanted, rtol=0, atol=2e-6)
