import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def quick_compilation():
    """A few steps are not worth the time that XLA would take for them."""
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    name = "jax_disable_most_optimizations"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, name.upper(), "1")  # for processes of its own
        jax.config.update(name, True)
        yield
        jax.config.update(name, False)


@pytest.fixture
def half_precision():
    """What is built computes in float16, and its loss is scaled."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(policy)
