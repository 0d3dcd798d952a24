import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

# `make test` draws the same few examples each time. `make test-all` draws forty times
# as many, from the seed that it sets.
settings.register_profile(
    "quick",
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "thorough",
    settings.get_profile("quick"),
    max_examples=480,
    derandomize=False,
)
settings.load_profile("quick")


@pytest.fixture(scope="module")
def full_compilation():
    """Undo the fast compilation that `make` chooses for JAX, as for users."""
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, False)
    jax.clear_caches()  # single operations, too, round differently
    yield
    jax.config.update(name, before)
    jax.clear_caches()


@pytest.fixture
def half_precision():
    """Compute in float16, and scale the loss, in models that are built."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(policy)
