"""Run Keras's own tests with every optimizer that they build wrapped.

Keras ships its tests in its wheel. This script runs its tests of optimizers, trainers,
callbacks and saving unchanged. Only the optimizers' names mean something else in them:
`Adam` makes `WGD(Adam)`.

    KERAS_BACKEND=jax python tests/support/keras_own.py [--plain] [PYTEST OPTIONS]
"""

import fnmatch
import importlib.util
import os
import sys
import types
from collections import Counter
from pathlib import Path

import keras
import pytest
from keras.src import optimizers

from keras_wgd import WGD

BACKEND = keras.backend.backend()
SOURCES = Path(keras.__file__).parent / "src"
FILES = [
    "optimizers/*_test.py",
    "trainers/trainer_test.py",
    "callbacks/*_test.py",
    "saving/*_test.py",
    f"backend/{BACKEND}/dist*_test.py",
    f"backend/{BACKEND}/optimizer_*_test.py",
    f"backend/{BACKEND}/trainer_test.py",
    f"backend/{BACKEND}/saved_model_test.py",
]

EVERY = "tensorflow jax torch"
PRIVATE = "reads or calls private members of the inner optimizer"
MOCKED = "mocks a method of the wrapper, but the inner optimizer takes the step"
NAMES = "compares the name or the class of the optimizer"

# Tests that no wrapper can pass: backends, test, reason. If one of them passes, the run
# fails, so this list stays correct.
EXPECTED_TO_FAIL = [
    (EVERY, "optimizers/*::test_optimizer_auto_naming", NAMES),
    (EVERY, "optimizers/multi_*::test_serialization", NAMES),
    (EVERY, "optimizers/multi_*::test_tensorboard_logging_with_multi_*", NAMES),
    (EVERY, "saving/*::test_saved_module_paths_and_class_names", NAMES),
    (EVERY, "optimizers/optimizer_test.py::*::test_gradient_accumulation", PRIVATE),
    (EVERY, "optimizers/*::test_overwrite_with_gradient_with_gradient_a*", PRIVATE),
    ("tensorflow jax", "optimizers/*::test_sparse_gradients_[!s]*", MOCKED),
    ("tensorflow jax", "optimizers/*::test_sparse_gradients_sgd*", MOCKED),
    ("tensorflow", "trainers/*::test_fit_sparse_*", MOCKED),
    ("tensorflow", "backend/*distribute*::test_gradient_accumulation", PRIVATE),
    (EVERY, "optimizers/nadam*::test_build_with_empty_var_list", PRIVATE),
    (EVERY, "optimizers/muon*::test_should_use_adamw", PRIVATE),
    (EVERY, "optimizers/muon*::test_adamw_weight_decay", PRIVATE),
    (EVERY, "optimizers/muon*_single_step", PRIVATE),
]
# Tests that fail with plain optimizers too.
EXPECTED_TO_FAIL_PLAIN = [
    (
        EVERY,
        "saving/*::test_legacy_load_skips_missing*",
        "its file is not in the wheel",
    ),
]
# Packages that some tests need and this project does not use.
NEEDED = {"*orbax*": "orbax", "*grain*": "grain"}
# Tests that build no optimizer and take a minute.
LEFT_OUT = "test_weights_sharding_efficientnet*"

_COLLECTIONS = (optimizers.LossScaleOptimizer, optimizers.MultiOptimizer)
_wrapped: Counter[str] = Counter()


def wrap(optimizer):
    """Wrap an optimizer, and count it."""
    _wrapped[type(optimizer).__name__] += 1
    return WGD(optimizer)


class Twin:
    """Stands for an optimizer's class, and makes wrapped optimizers.

    As a base class, in `isinstance` and as a key it is the class itself.
    """

    def __init__(self, plain):
        self.plain = plain

    def __call__(self, *args, **kwargs):
        return wrap(self.plain(*args, **kwargs))

    def from_config(self, config):
        if "inner_optimizer" in config:
            return WGD.from_config(config)
        return wrap(self.plain.from_config(config))

    def __getattr__(self, name):
        return getattr(self.plain, name)

    def __mro_entries__(self, bases):
        return (self.plain,)

    def __instancecheck__(self, instance):
        return isinstance(getattr(instance, "inner_optimizer", instance), self.plain)

    def __eq__(self, other):
        return other in (self.plain,) or other is self

    def __hash__(self):
        return hash(self.plain)


def exchange_optimizers():
    """Put the twins into Keras's modules, for the tests that import them later."""
    plain = {
        value
        for value in vars(keras.optimizers).values()
        if isinstance(value, type) and issubclass(value, optimizers.Optimizer)
    }
    plain -= {optimizers.Optimizer, *_COLLECTIONS}
    for made in plain:
        made()  # loads Keras's PyTorch versions, which import some classes by name
    twins = {value: Twin(value) for value in plain}
    for name, module in list(sys.modules.items()):
        if name.startswith("keras.src.optimizers"):
            for attribute, value in list(vars(module).items()):
                if isinstance(value, type) and value in twins:
                    setattr(module, attribute, twins[value])
    get = optimizers.get

    def get_wrapped(identifier):
        optimizer = get(identifier)
        if isinstance(identifier, str) and type(optimizer) not in _COLLECTIONS:
            return wrap(optimizer)
        return optimizer

    optimizers.get = get_wrapped


def pytest_addoption(parser):
    parser.addoption("--plain", action="store_true", help="wrap nothing")


def pytest_configure(config):
    # Keras's tests import this from Keras's conftest.py, which is not in the wheel.
    conftest = types.ModuleType("conftest")
    conftest.skip_if_backend = lambda backend, reason: pytest.mark.skipif(
        backend == BACKEND, reason=reason
    )
    sys.modules["conftest"] = conftest
    for mark in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{mark}: one of Keras's")
    if not config.getoption("plain"):
        exchange_optimizers()


def pytest_collection_modifyitems(config, items):
    plain = config.getoption("plain")
    failing = (
        EXPECTED_TO_FAIL_PLAIN if plain else EXPECTED_TO_FAIL + EXPECTED_TO_FAIL_PLAIN
    )
    kept = [item for item in items if not fnmatch.fnmatchcase(item.name, LEFT_OUT)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    for item in items:
        name = item.nodeid.split("keras/src/")[-1]
        for backends, pattern, reason in failing:
            if BACKEND in backends and fnmatch.fnmatchcase(name, pattern):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        for pattern, package in NEEDED.items():
            absent = importlib.util.find_spec(package) is None
            if absent and fnmatch.fnmatchcase(name, pattern):
                item.add_marker(pytest.mark.skip(f"needs {package}"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    _wrapped.update(node.workeroutput["wrapped"])


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["wrapped"] = dict(_wrapped)


def pytest_terminal_summary(terminalreporter):
    made = ", ".join(f"{name} {count}" for name, count in _wrapped.most_common())
    line = f"{_wrapped.total()} optimizers wrapped: {made or 'none'}"
    terminalreporter.write_line(line)


if __name__ == "__main__":
    if BACKEND == "jax":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    files = sorted(str(path) for part in FILES for path in SOURCES.glob(part))
    # Keras's tests cause warnings. So does WGD, as most models have no convolution.
    alone = ["-c", os.devnull, "-p", "no:cacheprovider", "-W", "ignore", "-q"]
    where = ["--rootdir", str(SOURCES.parents[1]), "--import-mode=importlib"]
    sys.exit(pytest.main(["-p", "keras_own", *alone, *where, *files, *sys.argv[1:]]))
