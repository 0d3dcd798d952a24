"""The user's training and validation data, in any form that `fit` takes."""

import inspect
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_wgd.experiments.arguments import call, check_whole
from keras_wgd.experiments.training.custom.arrays import Arrays
from keras_wgd.tasks.datasets.batches import Batches

_FORMS = (
    "(x, y) or (x, y, sample_weight) of arrays, a dict of inputs, a "
    "keras.utils.PyDataset, a tf.data.Dataset, a torch DataLoader, a grain data set, "
    "or a function of the seed that returns one of these or a generator"
)


class Data:
    """The training and validation data of the runs of one seed.

    Samples in arrays are trained on in an order that depends on the seed and on the
    number of the epoch alone: every optimizer and every backend sees the same batches.
    Other data keep their own order.

    Args:
        train: `(x, y)` or `(x, y, sample_weight)`, each an array or a list, tuple or
            dict of arrays (NumPy, tensors, data frames); a dict of inputs; a
            `keras.utils.PyDataset`, `tf.data.Dataset`, torch `DataLoader` or grain
            data set; or a function of the seed that returns one of these, or a
            generator of batches.
        validation: As `train`, or `None`.
        batch_size: Samples in each batch, for arrays. The last batch may have fewer.
        seed: The seed of the runs.
        steps_per_epoch: Batches in each epoch; `None` for all. Data that make batches
            themselves go on in the next epoch where they were.

    Raises:
        ValueError: If the data have no such form, or if they cannot be trained on.
    """

    def __init__(
        self,
        train: Any,
        validation: Any,
        batch_size: int,
        seed: int,
        steps_per_epoch: int | None = None,
    ):
        check_whole("batch_size", batch_size)
        if steps_per_epoch is not None:
            check_whole("steps_per_epoch", steps_per_epoch)
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch
        self._make_train = _maker("train", train, seed)
        self._train = self._make_train()
        self._make_validation = _maker("validation", validation, seed)
        self._validation = self._make_validation()
        self._used = False
        if isinstance(self._train, Arrays):
            _check_classes(self._train)
            available = -(-len(self._train) // self.batch_size)
            if steps_per_epoch is not None and steps_per_epoch > available:
                raise ValueError(
                    f"steps_per_epoch must be at most the {available} batches of "
                    f"train. Received: {steps_per_epoch}"
                )
            self._epochs = _Epochs(self._train, self.batch_size, seed, steps_per_epoch)
        elif isinstance(self._train, Iterator) and steps_per_epoch is None:
            raise ValueError(
                "A generator as train needs steps_per_epoch. "
                "Received: steps_per_epoch=None"
            )
        elif self._train is None:
            raise ValueError(f"train must be {_FORMS}. Received: None")

    @property
    def ordered(self) -> bool:
        """Whether the order of the samples depends on seed and epoch alone."""
        return isinstance(self._train, Arrays)

    @property
    def is_validated(self) -> bool:
        """Whether there are validation data."""
        return self._validation is not None

    def training(self) -> dict[str, Any]:
        """The training data.

        Returns:
            Keyword arguments for one call of `fit`, which `begin` then tells of each
            epoch.
        """
        if isinstance(self._train, Arrays):
            return {"x": self._epochs, "shuffle": False}
        data = self._make_train() if self._used else self._train
        self._used = isinstance(data, Iterator)  # it can be read once
        # `fit` shuffles the batches of a PyDataset, and warns that it does no others.
        known = isinstance(data, keras.utils.PyDataset) and data.num_batches is not None
        return {"x": data, "steps_per_epoch": self.steps_per_epoch, "shuffle": known}

    def begin(self, epoch: int) -> None:
        """Put the samples of arrays in the order of an epoch, counted from 0."""
        if isinstance(self._train, Arrays):
            self._epochs.begin(epoch)

    def symbolic_inputs(self) -> Any:
        """The shapes and types of the inputs of a batch; `None` if they are not known.

        They are known of arrays and of a `tf.data.Dataset`.
        """
        spec = getattr(self._train, "element_spec", None)
        if isinstance(spec, tuple):
            return keras.tree.map_structure(
                lambda leaf: keras.KerasTensor(leaf.shape, leaf.dtype.name), spec[0]
            )
        if not isinstance(self._train, Arrays):
            return None

        def symbolic(array):
            dtype = keras.backend.standardize_dtype(array.dtype)
            return keras.KerasTensor((self.batch_size, *array.shape[1:]), dtype)

        return keras.tree.map_structure(symbolic, self._train.take(np.zeros(1, int))[0])

    def validation(self, steps: int | None = None) -> dict[str, Any]:
        """The validation data.

        Args:
            steps: The batches that are used of a generator; `None` for all.

        Returns:
            Keyword arguments for `fit`; none if there are no validation data.
        """
        if self._validation is None:
            return {}
        if not isinstance(self._validation, Arrays):
            data = self._validation
            if isinstance(data, Iterator):
                # It can be read once, and each epoch reads it.
                made = self._make_validation()
                data = _Listed(list(itertools.islice(made, steps)))
            return {"validation_data": data}
        batches = self._validation.batches(None, self.batch_size)
        if isinstance(batches, Batches):
            return {"validation_data": batches}
        return {"validation_data": batches, "validation_batch_size": self.batch_size}

    def held_out(self, share: float, seed: int) -> "Data":
        """Data whose validation part is a random part of these training data.

        Args:
            share: The share that is held out, between 0 and 1. Whole-number labels have
                the same share of both parts, to one sample.
            seed: The seed of the choice.

        Raises:
            ValueError: If the training data are no arrays, or a part would be empty.
        """
        if not isinstance(self._train, Arrays):
            raise ValueError(
                "Holding out a part of train needs arrays, or a function of the seed "
                f"that returns arrays. Received: {_describe(self._train)}"
            )
        rest, held_out = self._train.split(share, seed)
        steps = self.steps_per_epoch
        if steps is not None:
            steps = min(steps, -(-len(rest) // self.batch_size))
        return Data(rest, held_out, self.batch_size, self.seed, steps)

    def check_parts(self, parts: int) -> None:
        """Check that each batch of arrays can be split into so many equal parts.

        Raises:
            ValueError: If the last one cannot.
        """
        for name, data in (("train", self._train), ("validation", self._validation)):
            last = len(data) % self.batch_size if isinstance(data, Arrays) else 0
            if last % parts:
                raise ValueError(
                    f"devices must divide the last batch of {name}, too, which has "
                    f"{last} samples: leave some out. Received: {parts}"
                )

    def digest(self) -> str:
        """A text that changes when the data change.

        For arrays it is their SHA-256. Other data cannot be read twice: it is their
        type and, where known, their length.
        """
        return f"{_digest(self._train)} {_digest(self._validation)}"


class _Listed(keras.utils.PyDataset):
    """Batches of a generator."""

    def __init__(self, batches: list[Any]):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        return self._batches[index]


class _Epochs(Batches):
    """The batches of one epoch after the other.

    An epoch has the samples in the order of
    `numpy.random.default_rng((seed, epoch)).permutation(n)`, or the first of them.
    """

    def __init__(self, arrays: Arrays, batch_size: int, seed: int, steps: int | None):
        self._seed, self._samples = seed, len(arrays)
        self._count = None if steps is None else steps * batch_size
        self._reads_ahead = not arrays.fits
        super().__init__(arrays.take, self._order(0), batch_size)

    def __getitem__(self, index):
        # Threads take longer than it takes to copy a batch.
        return super().__getitem__(index) if self._reads_ahead else self._batch(index)

    def _order(self, epoch):
        generator = np.random.default_rng((self._seed, epoch))
        return generator.permutation(self._samples)[: self._count]

    def begin(self, epoch: int) -> None:
        """Begin an epoch. No batch may be read at the same time."""
        with self._lock:
            self.positions = self._order(epoch)
            self._ahead.clear()


def _maker(name: str, data: Any, seed: int) -> Callable[[], Any]:
    """A function that returns the data of this seed: arrays are read and checked."""
    if not callable(data) or isinstance(data, _batched_types()):
        if isinstance(data, Iterator):
            raise ValueError(
                f"{name} must not be a generator, because each run needs its own: give "
                f"a function of the seed that returns one. Received: {_describe(data)}"
            )
        return lambda: _read(name, data)
    signature = inspect.signature(data)
    try:
        signature.bind(seed)
    except TypeError:
        raise ValueError(
            f"{name} must be a function of one argument, the seed. "
            f"Received: {_describe(data)}{signature}"
        ) from None
    return lambda: _read(name, call(name, data, seed))


def _read(name: str, data: Any) -> Any:
    if data is None or isinstance(data, (Arrays, Iterator, *_batched_types())):
        return data
    if isinstance(data, str | os.PathLike):
        raise ValueError(
            f"{name} must be data, not a path: read it first, for example with "
            f"keras.utils.image_dataset_from_directory. Received: {str(data)!r}"
        )
    if isinstance(data, dict) or (
        isinstance(data, list | tuple) and len(data) in (2, 3)
    ):
        return Arrays.of(name, data)
    raise ValueError(f"{name} must be {_FORMS}. Received: {_describe(data)}")


def _batched_types() -> tuple[type, ...]:
    """The types that make batches themselves, of the libraries that are in use."""
    types = [keras.utils.PyDataset]
    for module, names in (
        ("tensorflow", ("data.Dataset",)),
        ("torch.utils.data", ("DataLoader",)),
        ("grain", ("MapDataset", "IterDataset", "DataLoader")),
    ):
        for name in names:
            found = sys.modules.get(module)
            for part in name.split("."):
                found = getattr(found, part, None)
            if isinstance(found, type):
                types.append(found)
    return tuple(types)


def _digest(data: Any) -> str:
    return data.digest() if isinstance(data, Arrays) else _describe(data)


def _describe(data: Any) -> str:
    """The type and, where known, the length."""
    if data is None:
        return "None"
    name = getattr(data, "__name__", None) if callable(data) else None
    name = name or type(data).__name__
    try:
        return f"{name} of length {len(data)}"
    except (TypeError, NotImplementedError):
        return name


def _check_classes(train: Arrays) -> None:
    labels = train.labels
    if labels is not None and (labels == labels[0]).all():
        raise ValueError(
            "y of train must have at least two classes. "
            f"Received: {labels[0]} for all {len(labels)} samples"
        )
