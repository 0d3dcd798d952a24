"""Whitened gradient descent for every Keras 3 optimizer.

Example:

```python
from keras_wgd import WGD, RAdam

optimizer = WGD(RAdam(1e-3), mean_over="fan_in")
model.compile(optimizer, loss="sparse_categorical_crossentropy")
```
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_wgd.callbacks import WhiteningMonitor
    from keras_wgd.comparison import Comparison, compare
    from keras_wgd.optimizers.kernels import ConvKernel, conv_kernels
    from keras_wgd.optimizers.radam import RAdam
    from keras_wgd.optimizers.wgd import WGD, WGDWrapper
    from keras_wgd.optimizers.whitening import whiten

__all__ = [
    "WGD",
    "Comparison",
    "ConvKernel",
    "RAdam",
    "WGDWrapper",
    "WhiteningMonitor",
    "compare",
    "conv_kernels",
    "whiten",
]
__version__ = "0.1.0"

_MODULES = {
    "Comparison": "comparison",
    "ConvKernel": "optimizers.kernels",
    "RAdam": "optimizers.radam",
    "WGD": "optimizers.wgd",
    "WGDWrapper": "optimizers.wgd",
    "WhiteningMonitor": "callbacks",
    "compare": "comparison",
    "conv_kernels": "optimizers.kernels",
    "whiten": "optimizers.whitening",
}


def _public(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)


if not TYPE_CHECKING:  # which else took any name for one of these
    __getattr__ = _public

# Importing Keras settles the backend, so the command line must come before it.
# Where Keras is there already, all that a saved model may have is imported at once:
# loading it then needs `import keras_wgd` and nothing more.
if "keras" in sys.modules:
    for _name, _module in _MODULES.items():
        if _module != "comparison":
            globals()[_name] = _public(_name)
