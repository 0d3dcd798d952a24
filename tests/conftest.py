import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def full_compilation():
    """XLA's programs as users get them, where `make` asks for quick ones on JAX."""
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, False)
    jax.clear_caches()  # of single operations, too, which round in other ways
    yield
    jax.config.update(name, before)
    jax.clear_caches()


@pytest.fixture
def half_precision():
    """What is built computes in float16, and its loss is scaled."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(policy)
