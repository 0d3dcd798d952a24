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
