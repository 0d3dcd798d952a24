"""Arrays of samples: inputs, targets and weights whose first axis is the sample."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_wgd.tasks.datasets.batches import Batches

_PARTS = ("x", "y", "sample_weight")

# Bytes of arrays that are reordered in memory at once. Larger ones are read batch by
# batch.
_LIMIT = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Samples in memory, or in files that NumPy maps into memory.

    Attributes:
        name: What the user calls them; messages start with it.
        parts: `(x, y, sample_weight)`. Each is a NumPy array, a tuple or dict of them,
            or `None`.
        rows: The positions of the samples that are used, or `None` for all.
    """

    name: str
    parts: tuple[Any, Any, Any]
    rows: np.ndarray | None = None

    @classmethod
    def of(cls, name: str, data: Any) -> "Arrays":
        """Read what a user gave.

        Floats are converted to `keras.config.floatx()`, as `fit` does, once.

        Args:
            name: What the user calls the data.
            data: `(x, y)`, `(x, y, sample_weight)`, or a dict of inputs. Leaves are
                NumPy arrays, tensors of any backend, or data frames.

        Raises:
            ValueError: If a leaf is no array, if there are no samples, if arrays differ
                in length, or if all labels are equal.
        """
        parts = (data,) if isinstance(data, dict) else tuple(data)
        _refuse_list_of_images(name, parts)
        parts += (None,) * (3 - len(parts))
        leaves = [
            None if leaf is None else _as_numpy(f"{path} of {name}", leaf)
            for path, leaf in _leaves(parts)
        ]
        if sum(leaf.nbytes for leaf in leaves if leaf is not None) <= _LIMIT:
            leaves = [None if leaf is None else _as_floatx(leaf) for leaf in leaves]
        parts = keras.tree.lists_to_tuples(keras.tree.pack_sequence_as(parts, leaves))
        x, y, weight = parts
        if keras.tree.is_nested(y) and isinstance(weight, np.ndarray):
            # `fit` does this for arrays alone.
            weight = keras.tree.map_structure(lambda _: weight, y)
        arrays = cls(name, (x, y, weight))
        arrays._check()
        return arrays

    def _check(self):
        names = {len(array): path for path, array in self._arrays()}
        if len(names) > 1:
            received = ", ".join(f"{path}: {n}" for n, path in names.items())
            raise ValueError(
                f"All arrays of {self.name} must have the same length. "
                f"Received: {received}"
            )
        if not any(names):
            raise ValueError(
                f"{self.name} must have at least one sample. Received: arrays of "
                "length 0"
            )

    @property
    def fits(self) -> bool:
        """Whether the arrays are small enough to be copied at once."""
        return sum(array.nbytes for _, array in self._arrays()) <= _LIMIT

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((path, a) for path, a in _leaves(self.parts) if a is not None)

    def __len__(self):
        if self.rows is not None:
            return len(self.rows)
        return len(next(self._arrays())[1])

    @property
    def labels(self) -> np.ndarray | None:
        """`(n,)`, if y is one array of a whole number a sample; else `None`."""
        y = self.parts[1]
        if not isinstance(y, np.ndarray) or y.dtype.kind not in "iub":
            return None
        if y.ndim > 2 or y.size != len(y):
            return None
        return y.ravel() if self.rows is None else y.ravel()[self.rows]

    def take(self, positions: np.ndarray | None = None) -> tuple:
        """`(x,)`, `(x, y)` or `(x, y, sample_weight)` at these positions, in order.

        Args:
            positions: Positions from 0 to the length; `None` for all samples.
        """
        rows = self.rows
        if positions is not None:
            rows = positions if rows is None else rows[positions]

        def gather(array):
            if array is None or rows is None:
                return array
            return _as_floatx(np.take(array, rows, axis=0))

        parts = keras.tree.map_structure(gather, self.parts)
        while parts[-1] is None:
            parts = parts[:-1]
        return parts

    def batches(self, positions: np.ndarray | None, batch_size: int) -> Batches | tuple:
        """The samples at these positions, as `fit` is fastest on them.

        Returns:
            Those of `take`, or batches that are read when `fit` asks for them, if the
            arrays are too large to be copied.
        """
        rows = len(self) if positions is None else len(positions)
        size = sum(a.nbytes // len(a) for _, a in self._arrays()) * rows
        if size <= _LIMIT:
            return self.take(positions)
        if positions is None:
            positions = np.arange(rows)
        return Batches(self.take, positions, batch_size)

    def split(self, share: float, seed: int) -> tuple["Arrays", "Arrays"]:
        """Two parts, without a copy: most of the samples, and a random `share`.

        Where there are labels, each has the same share of both parts, to one sample.

        Raises:
            ValueError: If a part would be empty.
        """
        n = len(self)
        count = round(share * n)
        if not 0 < count < n:
            raise ValueError(
                f"The held-out share must leave samples in both parts of the {n} of "
                f"{self.name}. Received: {share}"
            )
        # A key of its own: the seed alone gives the numbers of (seed, 0).
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        order = generator.permutation(n)
        if self.labels is not None:
            order = order[np.argsort(self.labels[order], kind="stable")]
        chosen = ((np.arange(count) + generator.random()) * n / count).astype(int)
        held_out = np.zeros(n, bool)
        held_out[order[chosen]] = True
        rows = np.arange(n) if self.rows is None else self.rows
        return (
            dataclasses.replace(self, rows=rows[~held_out]),
            dataclasses.replace(self, rows=rows[held_out]),
        )

    def digest(self) -> str:
        """SHA-256 of the name in the tree, shape, dtype and bytes of each array."""
        digest = hashlib.sha256()
        for path, array in [*self._arrays(), ("rows", self.rows)]:
            if array is None:
                continue
            digest.update(f"{path} {array.shape} {array.dtype};".encode())
            if array.dtype == object:
                digest.update(repr(array.tolist()).encode())
            else:
                array = np.ascontiguousarray(array)  # a copy only where it must be
                digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def _leaves(parts: tuple) -> Iterator[tuple[str, Any]]:
    """The leaves of `(x, y, sample_weight)`, each with its name: `x["image"]`."""
    for path, leaf in keras.tree.flatten_with_path(parts):
        yield f"{_PARTS[path[0]]}{''.join(f'[{key!r}]' for key in path[1:])}", leaf


def _refuse_list_of_images(name: str, parts: tuple) -> None:
    x = parts[0]
    if not isinstance(x, list | tuple):
        return
    shapes = {tuple(getattr(leaf, "shape", ())) for leaf in x}
    samples = tuple(getattr(parts[1], "shape", ()))[:1] == (len(x),)
    if not samples or all(shape[:1] == (len(x),) for shape in shapes):
        return
    raise ValueError(
        f"x of {name} must be one array, not a list with an array a sample: give all "
        f"images one size and call np.stack. Received: {len(x)} arrays of "
        f"{len(shapes)} shapes"
    )


def _as_numpy(name: str, leaf: Any) -> np.ndarray:
    if isinstance(leaf, str | bytes | os.PathLike):
        raise ValueError(
            f"{name} must be an array; a path is not read. Received: {str(leaf)!r}"
        )
    if not hasattr(leaf, "__array__"):
        raise ValueError(
            f"{name} must be a dense array: call np.asarray, or make it dense. "
            f"Received: {type(leaf).__name__}"
        )
    if hasattr(leaf, "detach"):  # a tensor of PyTorch
        leaf = leaf.detach().cpu()
        leaf = leaf.float() if str(leaf.dtype) == "torch.bfloat16" else leaf
    array = np.asarray(leaf)
    if hasattr(leaf, "iloc") and array.ndim == 1:
        array = array[:, None]  # as `fit` reads a series of pandas
    if array.ndim == 0:
        raise ValueError(
            f"{name} must have an axis of samples. Received: one number, {leaf}"
        )
    if array.dtype == object and not all(isinstance(e, str) for e in array.flat):
        shapes = {getattr(element, "shape", ()) for element in array.flat}
        found = f"objects of type {type(array.flat[0]).__name__}"
        if len(shapes) > 1:
            found += f" and {len(shapes)} different shapes"
        raise ValueError(
            f"{name} must be an array of numbers or strings: give all images one size "
            f"and call np.stack. Received: {found}"
        )
    return array


def _as_floatx(array: np.ndarray) -> np.ndarray:
    # bfloat16 is no float of NumPy's own.
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return array.astype(keras.config.floatx(), copy=False)
    return array
