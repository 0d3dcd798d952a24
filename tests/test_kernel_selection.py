"""`kernels=` through copies, files and configs."""

import contextlib
import copy
import dataclasses
import json
import pickle

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import values

from keras_wgd import WGD, conv_kernels

IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


@keras.saving.register_keras_serializable("test_kernel_selection")
class Two(keras.Model):
    """A subclassed model: its layers get the next automatic names of the session."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = layers.Conv2D(3, 3, padding="same")
        self.b = layers.Conv2D(3, 3, padding="same")

    def call(self, x):
        return self.b(self.a(x))


def built(model):
    model(IMAGES)
    return model


def only_b(model):
    return [k for k in conv_kernels(model) if k.variable is model.b.kernel]


def new_session(others):
    """Start a Keras session that has made some layers."""
    keras.utils.clear_session()
    for _ in range(others):
        layers.Conv2D(1, 1)


@pytest.mark.parametrize(
    ("others", "placement"), [(0, "gradient"), (1, "update"), (2, "gradient")]
)
def test_list_in_a_file_after_renaming(tmp_path, others, placement):
    new_session(0)
    model = built(Two())
    optimizer = WGD("sgd", placement=placement, kernels=only_b(model))
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    new_session(others)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.optimizer.build(loaded.trainable_variables)
    assert loaded.optimizer.whitened_variables == [loaded.b.kernel]
    before = values([loaded.a.kernel, loaded.b.kernel])
    loaded.fit(IMAGES, IMAGES, verbose=0)
    after = values([loaded.a.kernel, loaded.b.kernel])
    means = [
        abs((y - x).mean(-1)).max() / abs(y - x).max()
        for x, y in zip(before, after, strict=True)
    ]
    assert means[0] > 0.05
    assert means[1] < 1e-5
    # Now the kernel is found by its variable.
    again = WGD.from_config(loaded.optimizer.get_config())
    again.build(loaded.trainable_variables)
    assert again.whitened_variables == [loaded.b.kernel]


def through_json(optimizer):
    return WGD.from_config(json.loads(json.dumps(optimizer.get_config())))


def test_ambiguous_list():
    """Another kernel has the old path now."""

    def convolutions(first):
        made = [layers.Conv2D(3, 3, name=f"conv2d_{i}") for i in (first, first + 1)]
        for layer in made:
            layer.build((None, 8, 8, 3))
        return made

    old = convolutions(1)
    optimizer = WGD("sgd", kernels=conv_kernels(old[1]))
    optimizer.build([layer.kernel for layer in old])
    new = [layer.kernel for layer in convolutions(2)]
    with pytest.raises(ValueError, match="may be conv2d_3/kernel or conv2d_2/kernel"):
        through_json(optimizer).build(new)
    later = [layer.kernel for layer in convolutions(7)]
    again = through_json(optimizer)
    again.build(later)
    assert again.whitened_variables == later[1:]


@pytest.mark.parametrize("others", [0, 1, 2])
def test_whole_model_in_a_file_after_renaming(tmp_path, others):
    new_session(0)
    model = built(Two())
    model.compile(WGD("sgd", kernels=model), loss="mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    new_session(others)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.optimizer.build(loaded.trainable_variables)
    kernels = [loaded.a.kernel, loaded.b.kernel]
    assert loaded.optimizer.whitened_variables == kernels


def test_variables_in_another_order():
    model = keras.Sequential([keras.Input((8, 8, 3))])
    for i in (1, 2):
        model.add(layers.Conv2D(3, 1, use_bias=False, name=f"block_{i}"))
    optimizer = WGD("sgd", kernels=conv_kernels(model)[:1])
    optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="block_1/kernel' may be"):
        through_json(optimizer).build(model.trainable_variables[::-1])


def with_backbone(stem):
    backbone = keras.Sequential([keras.Input((8, 8, 4))], name="backbone")
    for name in ("b1", "b2"):
        backbone.add(layers.Conv2D(4, 3, padding="same", use_bias=False, name=name))
    inputs = keras.Input((8, 8, 3))
    x = backbone(stem(inputs))
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="head")(x)
    return keras.Model(inputs, x)


STEMS = {
    "conv": lambda: layers.Conv2D(4, 3, padding="same", use_bias=False, name="stem"),
    "dense": lambda: layers.Dense(4, use_bias=False, name="stem"),
}


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("is_built", [True, False], ids=["built", "unbuilt"])
@pytest.mark.parametrize("as_list", [False, True], ids=["model", "list"])
def test_part_of_a_model_in_a_file(tmp_path, stem, is_built, as_list):
    model = with_backbone(STEMS[stem]())
    part = model.get_layer("backbone")
    model.compile(
        WGD(keras.optimizers.SGD(1.0), kernels=conv_kernels(part) if as_list else part),
        loss="mse",
    )
    if is_built:
        model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    # Saved before the optimizer is built: a warning names the others.
    warned = pytest.warns(UserWarning, match=r"Left alone: .*head/kernel")
    with contextlib.nullcontext() if is_built else warned:
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        loaded.optimizer.build(loaded.trainable_variables)
    part = loaded.get_layer("backbone")
    wanted = [part.get_layer(name).kernel.path for name in ("b1", "b2")]
    assert [v.path for v in loaded.optimizer.whitened_variables] == wanted


def test_part_of_the_variables_in_a_config():
    model = with_backbone(STEMS["dense"]())
    part = [layer.kernel for layer in model.get_layer("backbone").layers]
    optimizer = WGD("sgd", kernels=model)
    optimizer.build(part)
    again = through_json(optimizer)
    again.build(part)
    assert again.whitened_variables == part


def test_kernel_named_twice():
    kernels = conv_kernels(built(Two()))
    with pytest.raises(ValueError, match="name each variable once"):
        WGD("sgd", kernels=[*kernels, kernels[0]])


@pytest.mark.parametrize(
    "change", [{"kind": "transpose"}, {"shape": (4, 4)}, {"groups": 2}], ids=str
)
def test_invalid_kernel(change):
    kernel = conv_kernels(built(Two()))[0]
    with pytest.raises(ValueError, match="Received: "):
        dataclasses.replace(kernel, **change)


def test_list_saved_before_building():
    new_session(0)
    model = built(Two())
    optimizer = WGD("sgd", kernels=only_b(model))
    assert not optimizer.built
    with pytest.raises(ValueError, match="may be"):  # a, or b, under a new name
        through_json(optimizer).build(model.trainable_variables)
    new_session(1)
    other = built(Two())
    with pytest.raises(ValueError, match=r"two/conv2d_1/kernel' may be .*compile=F"):
        through_json(optimizer).build(other.trainable_variables)
    new_session(2)
    with pytest.raises(ValueError, match="kernels must belong to the model"):
        through_json(optimizer).build(built(Two()).trainable_variables)
    named = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="a")])
    named.add(layers.Conv2D(4, 3, name="b"))
    optimizer = WGD("sgd", kernels=conv_kernels(named)[1:])
    again = through_json(optimizer)
    with pytest.warns(UserWarning, match=r"Left alone: .*a/kernel"):
        again.build(named.trainable_variables)
    assert again.whitened_variables == [named.get_layer("b").kernel]


def test_list_of_the_first_version():
    new_session(0)
    model = built(Two())
    config = WGD("sgd", kernels=only_b(model)).get_config()
    config["kernels"] = config["kernels"]["kernels"]
    with pytest.raises(ValueError, match="may be"):
        WGD.from_config(config).build(model.trainable_variables)
    new_session(1)
    with pytest.raises(ValueError, match=r"may be two/conv2d_1/kernel or \S*conv2d_2"):
        WGD.from_config(config).build(built(Two()).trainable_variables)


def test_warning_about_other_variables():
    def make():
        names = ("first", "second", "third")
        stack = [layers.Conv2D(4, 1, name=name) for name in names]
        return keras.Sequential([keras.Input((8, 8, 4)), *stack])

    model = make()
    model.get_layer("second").trainable = False
    optimizer = WGD("sgd", kernels=conv_kernels(model)[:1])
    optimizer.build(model.trainable_variables)
    # One more is trainable now: other positions, the same paths.
    model.get_layer("second").trainable = True
    again = through_json(optimizer)
    with pytest.warns(UserWarning, match=r"Left alone: .*second/kernel.*third/kernel"):
        again.build(model.trainable_variables)
    assert again.whitened_variables == [model.get_layer("first").kernel]
    # One fewer is trainable.
    both = WGD("sgd", kernels=model)
    both.build(model.trainable_variables)
    again = through_json(both)
    model.get_layer("third").trainable = False
    with pytest.warns(UserWarning, match=r"not found: .*third/kernel"):
        again.build(model.trainable_variables)
    found = [model.get_layer(name).kernel for name in ("first", "second")]
    assert again.whitened_variables == found


def unbuilt(**options):
    model = keras.Sequential(
        [layers.Conv2D(4, 3, name="stem"), layers.Flatten(), layers.Dense(2)]
    )
    optimizer = WGD("adam", **{k: v(model) for k, v in options.items()})
    model.compile(optimizer, loss="mse")
    return model


def saved(model, tmp_path):
    with pytest.warns(UserWarning, match="has not yet been built"):
        model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


def pickled(model, tmp_path):
    return pickle.loads(pickle.dumps(model))


COPIES = {
    "clone_model": lambda model, _: keras.models.clone_model(model),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "pickle": pickled,
    "save": saved,
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_an_unbuilt_model(how, tmp_path):
    """As with the plain optimizer, and with a warning if kernels are guessed."""
    targets = np.zeros((4, 2))
    plain = COPIES[how](unbuilt(), tmp_path)
    model = unbuilt(kernels=lambda model: model)
    again = COPIES[how](model, tmp_path)
    assert bool(again.compiled) == bool(plain.compiled)
    if again.compiled:
        is_own = again.optimizer._selection.model is model
        if not is_own:
            with pytest.warns(UserWarning, match="Pass kernels=model again"):
                again.fit(IMAGES, targets, verbose=0)
            assert again.optimizer.whitened_variables == [again.layers[0].kernel]
    model.fit(IMAGES, targets, verbose=0)
    assert model.optimizer.whitened_variables == [model.layers[0].kernel]


def test_config_of_an_unbuilt_model():
    optimizer = unbuilt(kernels=lambda model: model).optimizer
    again = through_json(through_json(optimizer))
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(ValueError, match="must be built"):
        conv_kernels(unbuilt())


class Pair(keras.Model):
    """A model that is never called itself, such as a GAN."""

    def __init__(self):
        super().__init__()
        self.up = keras.Sequential(
            [keras.Input((8, 8, 3)), layers.Conv2DTranspose(4, 3, name="up1")]
        )
        self.down = keras.Sequential(
            [keras.Input((10, 10, 4)), layers.Conv2D(3, 3, name="down1")]
        )

    def train_on(self, optimizer, generator):
        variables = self.trainable_variables
        gradients = [
            keras.ops.convert_to_tensor(generator.normal(size=v.shape), "float32")
            for v in variables
        ]
        optimizer.apply(gradients, variables)


def test_model_without_its_own_build():
    pair = Pair()
    assert not pair.built
    assert [k.kind for k in conv_kernels(pair)] == ["transposed", "standard"]
    optimizer = WGD("sgd", kernels=pair)
    again = through_json(optimizer)
    for one in (optimizer, again):
        one.build(pair.trainable_variables)
        kinds = [kernel.kind for kernel in one._plan.centered.values()]
        assert kinds == ["transposed", "standard"]
    before = values(pair.trainable_variables)
    pair.train_on(optimizer, np.random.default_rng(0))
    after = values(pair.trainable_variables)
    up, down = (after[i] - before[i] for i in (0, 2))
    assert abs(up.mean(-2)).max() < 1e-6 < abs(up.mean(-1)).max()
    assert abs(down.mean(-1)).max() < 1e-6 < abs(down.mean(-2)).max()
