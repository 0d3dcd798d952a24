"""Which variables are convolution kernels, and the axes of their means."""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

from keras import layers

from keras_wgd.choices import check_choice
from keras_wgd.optimizers import means

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_ORDINARY = (layers.Conv1D, layers.Conv2D, layers.Conv3D)

_KINDS = ("ordinary", "transposed", "depthwise")

# MobileNet says conv_dw_1, EfficientNet block1a_dwconv.
_DEPTHWISE_NAME = re.compile(r"depthwise|(^|_)dw(conv|_|\d|$)")


@dataclasses.dataclass(frozen=True)
class ConvKernel:
    """A convolution kernel and how its layer reads it.

    Attributes:
        path: The path of the variable, such as `"conv2d/kernel"`.
        shape: The shape of the variable.
        layer: The class of its layer, such as `"Conv2DTranspose"`, with a
            question mark where only the variable's name and shape tell.
        kind: `"ordinary"` `(*k, in / groups, out)`, `"transposed"`
            `(*k, out, in)` or `"depthwise"` `(*k, in, multiplier)`.
        groups: The groups of the layer; each reads channels of its own.
        index: The position of the variable among the trainable variables it
            was found with, or `None` where it was not among them.
        variable: The variable itself, or `None` after loading.

    Raises:
        ValueError: If these are not those of a convolution kernel.
    """

    path: str
    shape: tuple[int, ...]
    layer: str
    kind: str = "ordinary"
    groups: int = 1
    index: int | None = None
    variable: Any = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, _KINDS)
        index = 0 if self.index is None else self.index
        if not (
            isinstance(self.path, str)
            and isinstance(self.layer, str)
            and all(type(n) is int for n in (*self.shape, self.groups, index))
            and len(self.shape) > 2
            and min(*self.shape, self.groups, index + 1) > 0
            and self.shape[-1] % self.groups == 0
        ):
            raise ValueError(
                "a convolution kernel must have a path, a shape of rank 3 or more, "
                "groups that divide its last axis, and no negative index. Received: "
                f"{self!r}"
            )

    def axes(self, mean_over: str) -> tuple[int, ...]:
        """The axes of the mean named `mean_over`, counted from the last."""
        return means.get(mean_over).axes(self.kind, len(self.shape))

    def mean_groups(self, mean_over: str) -> int:
        """Into how many runs the last axis is split, each with its own mean."""
        return self.groups if means.get(mean_over).in_groups else 1

    def mean_size(self, mean_over: str) -> int:
        """How many elements each mean is taken over.

        A mean over P elements removes 1/P of the kernel's freedom; a mean over
        one element would remove all of it and is never subtracted.
        """
        elements = math.prod(self.shape[axis] for axis in self.axes(mean_over))
        return elements // self.mean_groups(mean_over)

    def get_config(self) -> dict[str, Any]:
        """What identifies the kernel in a file: all but the variable."""
        config = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "variable"
        }
        return {**config, "shape": list(self.shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ConvKernel":
        """The reverse of `get_config`.

        Raises:
            ValueError: If it is not what that has written.
        """
        try:
            kernel = cls(**{**config, "shape": tuple(config["shape"])})
            if kernel.get_config() == config:
                return kernel
        except (KeyError, TypeError, ValueError):
            pass
        raise ValueError(
            "a kernel's config must be as get_config() has written it. "
            f"Received: {config!r}"
        )


def conv_kernels(model: layers.Layer) -> list[ConvKernel]:
    """The convolution kernels of a model, with their layers' types and axes.

    Every layer inside the model is looked at, at any depth, by its class:
    `Conv1D/2D/3D` (with groups), their transposes, `DepthwiseConv1D/2D`,
    `SeparableConv1D/2D` and subclasses of these. Recurrent convolutions,
    `Dense`, `EinsumDense`, embeddings, attention and the factors of LoRA are
    not convolution kernels here. Each kernel is listed once, in the order of
    the layers, frozen ones too; one that layers share goes by the first of them.

    Args:
        model: A built model or layer, or one whose layers are.

    Returns:
        A list of `ConvKernel`. Pass the model, or a part of this list, to
        `WGD(..., kernels=...)`.

    Raises:
        ValueError: If `model` is no Keras layer or model, or has layers that are not
            built.

    Example:

    ```python
    head = model.get_layer("mask")
    kernels = [k for k in conv_kernels(model) if k.variable is not head.kernel]
    WGD("adam", kernels=kernels)
    ```
    """
    if not isinstance(model, layers.Layer):
        raise ValueError(f"model must be a Keras model or layer. Received: {model!r}")
    kernels, complete = kernels_within(model)
    if not complete:
        raise ValueError(
            "The model must be built before its kernels can be found: call "
            f"model.build(input_shape) first. Received: {model.name!r}, not built"
        )
    return kernels


def kernels_within(model: layers.Layer) -> tuple[list[ConvKernel], bool]:
    """As `conv_kernels`, of layers that have their weights.

    Args:
        model: A model or layer.

    Returns:
        The kernels, and whether there are none to come. A model whose `train_step`
        calls its parts is itself never built.
    """
    positions = {id(v): i for i, v in enumerate(model.trainable_variables)}
    found: dict[int, ConvKernel] = {}
    complete = True
    for layer in _layers_of(model, set()):
        parts = _kernel_kinds(layer)
        # Its own alone: a convolution may have other layers inside.
        own = (*layer._trainable_variables, *layer._non_trainable_variables)
        complete &= parts.keys() <= {variable.name for variable in own}
        for variable in own:
            if variable.name in parts and id(variable) not in found:
                found[id(variable)] = ConvKernel(
                    path=variable.path,
                    shape=tuple(variable.shape),
                    layer=type(layer).__name__,
                    kind=parts[variable.name],
                    groups=getattr(layer, "groups", 1),
                    index=positions.get(id(variable)),
                    variable=variable,
                )
    return list(found.values()), model.built or (bool(found) and complete)


def _layers_of(layer: Any, seen: set[int]) -> Iterator[Any]:
    """A layer and those inside it, each once, in order, parents first.

    Keras's own walk meets the layers of a nested model last to first.
    """
    if id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        for part in layer._layers:
            yield from _layers_of(part, seen)


def _kernel_kinds(layer: Any) -> dict[str, str]:
    """The names of a layer's kernels and the kind of each."""
    # Conv2DTranspose and DepthwiseConv2D are no subclasses of Conv2D.
    if isinstance(layer, _TRANSPOSED):
        return {"kernel": "transposed"}
    if isinstance(layer, _DEPTHWISE):
        return {"kernel": "depthwise"}
    if isinstance(layer, _SEPARABLE):
        return {"depthwise_kernel": "depthwise", "pointwise_kernel": "ordinary"}
    if isinstance(layer, _ORDINARY):
        return {"kernel": "ordinary"}
    return {}


def guess_kernel(variable: Any, index: int) -> ConvKernel | str:
    """What a variable alone tells: a convolution kernel, or why it is none.

    An optimizer is given variables and no layers, so this goes by the name,
    the rank and the path. It is right for layers that keep the names Keras
    gives them; it cannot see groups, nor that a layer called `"up1"` is
    transposed. `conv_kernels(model)` knows.

    Args:
        variable: A `keras.Variable` or a variable of the backend.
        index: Its position among the optimizer's variables.

    Returns:
        The kernel, or the reason to leave the variable alone.
    """
    path = variable_path(variable)
    *scopes, name = path.lower().split("/")
    layer = scopes[-1] if scopes else ""
    shape = tuple(variable.shape)
    if name not in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        return f"{name}: not a convolution kernel"
    if len(shape) not in (3, 4, 5):
        return f"{name} of rank {len(shape)}: not a convolution kernel"
    if "conv_lstm" in layer:  # the name of the cell
        return "recurrent kernel"
    if len(shape) == 3 and "conv" not in layer:
        return "rank 3 and no 'conv' in its layer's name"
    groups = 1
    if name == "depthwise_kernel" or _DEPTHWISE_NAME.search(layer):
        kind, pattern = "depthwise", "DepthwiseConv{}D"
        if shape[-2] == 1 and name == "kernel":
            # A convolution with as many groups as channels.
            kind, pattern, groups = "ordinary", "Conv{}D", shape[-1]
    elif "transpose" in layer:
        kind, pattern = "transposed", "Conv{}DTranspose"
    elif shape[-1] == 1 and name == "kernel":
        return "last dimension 1, of one filter or of a depthwise kernel"
    else:
        kind, pattern = "ordinary", "Conv{}D"
    return ConvKernel(
        path=path,
        shape=shape,
        layer=pattern.format(len(shape) - 2) + "?",
        kind=kind,
        groups=groups,
        index=index,
        variable=variable,
    )


def variable_path(variable: Any) -> str:
    """The path of a Keras variable, or the name of one of the backend's."""
    return getattr(variable, "path", None) or variable.name.split(":")[0]
