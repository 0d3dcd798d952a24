"""Which variables are convolution kernels, and the axes of their means."""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any, get_args

from keras import layers

from keras_wgd.choices import check_choice
from keras_wgd.optimizers import means
from keras_wgd.optimizers.means import KernelKind, MeanOver

# Layer classes, and the kind of each of their kernels by the variable's name.
# (Conv2DTranspose and DepthwiseConv2D are not subclasses of Conv2D.)
_CONVOLUTIONS: dict[tuple[type, ...], dict[str, KernelKind]] = {
    (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose): {
        "kernel": "transposed"
    },
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D): {"kernel": "depthwise"},
    (layers.SeparableConv1D, layers.SeparableConv2D): {
        "depthwise_kernel": "depthwise",
        "pointwise_kernel": "standard",
    },
    (layers.Conv1D, layers.Conv2D, layers.Conv3D): {"kernel": "standard"},
}

# MobileNet says conv_dw_1, EfficientNet block1a_dwconv.
_DEPTHWISE_NAME = re.compile(r"depthwise|(^|_)dw(conv|_|\d|$)")


@dataclasses.dataclass(frozen=True)
class ConvKernel:
    """A convolution kernel and how its layer reads it.

    Attributes:
        path: The path of the variable, such as `"conv2d/kernel"`.
        shape: The shape of the variable.
        layer: The class of its layer, such as `"Conv2DTranspose"`.
        kind: `"standard"` `(*k, in / groups, out)`, `"transposed"`
            `(*k, out, in)` or `"depthwise"` `(*k, in, multiplier)`.
        groups: The groups of the layer; each reads its own channels.
        index: The position of the variable among the trainable variables it
            was found with, or `None` if it was not among them.
        variable: The variable itself, or `None` after loading.
        guessed: Whether layer, kind and groups are guessed from the variable's
            name and shape.

    Raises:
        ValueError: If the values do not describe a convolution kernel.
    """

    path: str
    shape: tuple[int, ...]
    layer: str
    kind: KernelKind = "standard"
    groups: int = 1
    index: int | None = None
    variable: Any = dataclasses.field(default=None, compare=False, repr=False)
    guessed: bool = False

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, get_args(KernelKind))
        index = 0 if self.index is None else self.index
        if not (
            isinstance(self.path, str)
            and isinstance(self.layer, str)
            and isinstance(self.guessed, bool)
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

    def axes(self, mean_over: MeanOver) -> tuple[int, ...]:
        """The axes of the mean named `mean_over`, counted from the last."""
        return means.get(mean_over).axes(self.kind, len(self.shape))

    def mean_groups(self, mean_over: MeanOver) -> int:
        """The number of equal parts of the last axis, each with its own mean."""
        return self.groups if means.get(mean_over).per_group else 1

    def mean_size(self, mean_over: MeanOver) -> int:
        """The number of elements of each mean.

        A mean over P elements removes 1/P of the kernel's degrees of freedom. A mean
        over one element would remove all of them, so it is never subtracted.
        """
        elements = math.prod(self.shape[axis] for axis in self.axes(mean_over))
        return elements // self.mean_groups(mean_over)

    def get_config(self) -> dict[str, Any]:
        """Return what identifies the kernel in a file: all fields but the variable."""
        fields = (field.name for field in dataclasses.fields(self))
        config = {name: getattr(self, name) for name in fields if name != "variable"}
        return {**config, "shape": list(self.shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ConvKernel":
        """Make the kernel that `get_config` describes.

        Raises:
            ValueError: If `get_config` does not write such a config.
        """
        try:
            current = _current_config(config)
            kernel = cls(**{**current, "shape": tuple(current["shape"])})
            if kernel.get_config() == current:
                return kernel
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        raise ValueError(
            "a kernel's config must be as get_config() has written it. "
            f"Received: {config!r}"
        )


def _current_config(config: dict[str, Any]) -> dict[str, Any]:
    """Translate a config that an earlier version wrote."""
    if "guessed" in config:
        return config
    kind = "standard" if config["kind"] == "ordinary" else config["kind"]
    layer = config["layer"].removesuffix("?")
    return {**config, "kind": kind, "layer": layer, "guessed": layer != config["layer"]}


def conv_kernels(model: layers.Layer) -> list[ConvKernel]:
    """Find the convolution kernels of a model by the classes of its layers.

    The search covers the layers inside the model at any depth: `Conv1D/2D/3D` (with
    groups), their transposes, `DepthwiseConv1D/2D`, `SeparableConv1D/2D` and
    subclasses of these. Recurrent convolutions, `Dense`, `EinsumDense`, embeddings,
    attention and LoRA factors do not count as convolution kernels. Each kernel is
    listed once, in the order of the layers, frozen ones included. The first of the
    layers that share a kernel decides its kind.

    Args:
        model: A built model or layer, or one whose layers are built.

    Returns:
        A list of `ConvKernel`. Pass the model, or a part of this list, to
        `WGD(..., kernels=...)`.

    Raises:
        ValueError: If `model` is not a Keras layer or model, or has layers that are not
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
            "model must be built before its kernels can be found: call "
            f"model.build(input_shape) first. Received: {model.name!r}, not built"
        )
    return kernels


def kernels_within(model: layers.Layer) -> tuple[list[ConvKernel], bool]:
    """Find the kernels of those layers that have their weights.

    Also whether they are all that the model will have. (A model whose `train_step`
    calls its parts is itself never built.)
    """
    positions = {id(v): i for i, v in enumerate(model.trainable_variables)}
    found: dict[int, ConvKernel] = {}
    complete = True
    for layer in _layers_of(model, set()):
        by_class = _CONVOLUTIONS.items()
        kinds = next((k for classes, k in by_class if isinstance(layer, classes)), {})
        # The layer's own variables: a convolution may contain other layers.
        own = (*layer._trainable_variables, *layer._non_trainable_variables)
        complete &= kinds.keys() <= {variable.name for variable in own}
        for variable in own:
            if variable.name in kinds and id(variable) not in found:
                found[id(variable)] = ConvKernel(
                    path=variable.path,
                    shape=tuple(variable.shape),
                    layer=type(layer).__name__,
                    kind=kinds[variable.name],
                    groups=getattr(layer, "groups", 1),
                    index=positions.get(id(variable)),
                    variable=variable,
                )
    return list(found.values()), model.built or (bool(found) and complete)


def _layers_of(layer: Any, seen: set[int]) -> Iterator[Any]:
    """Yield a layer and those inside it, each once, in order, parents first.

    Keras's own walk yields the layers of a nested model last to first.
    """
    if id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        for part in layer._layers:
            yield from _layers_of(part, seen)


def guess_kernel(variable: Any, index: int) -> ConvKernel | str:
    """Guess a kernel from a variable alone, or return why it is not centered.

    An optimizer receives variables without layers, so the name, the rank and the path
    decide. The guess is right for layers with the names that Keras gives them. It
    cannot see groups, nor that a layer called `"up1"` is transposed.
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
    kind: KernelKind = "standard"
    class_name, groups = "Conv{}D", 1
    if name == "depthwise_kernel" or _DEPTHWISE_NAME.search(layer):
        if shape[-2] == 1 and name == "kernel":
            groups = shape[-1]  # a convolution with as many groups as channels
        else:
            kind, class_name = "depthwise", "DepthwiseConv{}D"
    elif "transpose" in layer:
        kind, class_name = "transposed", "Conv{}DTranspose"
    elif shape[-1] == 1 and name == "kernel":
        return "last dimension 1: one filter, or a depthwise kernel"
    return ConvKernel(
        path=path,
        shape=shape,
        layer=class_name.format(len(shape) - 2),
        kind=kind,
        groups=groups,
        index=index,
        variable=variable,
        guessed=True,
    )


def variable_path(variable: Any) -> str:
    """The path of a Keras variable, or the name of a variable of the backend."""
    return getattr(variable, "path", None) or variable.name.split(":")[0]
