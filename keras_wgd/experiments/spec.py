"""What a run is, and what a study is: frozen data, with no Keras in it."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.choices import check_choice
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.optimizers.means import MEANS, PLACEMENTS
from keras_wgd.tasks.datasets.names import SAMPLERS
from keras_wgd.tasks.models.names import STEMS

# Whole numbers that fit wherever they may go, and numbers whose squares do.
_MOST_WHOLE = 2**31 - 1
_MOST = 1e30
# A batch of larger images fills a memory before it comes to a network.
_MOST_PIXELS = 4096
ARMS = ("plain", *(f"{mean}{end}" for mean in MEANS for end in ("", "-update")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run. The defaults are Table 1 of the paper.

    Attributes:
        dataset: The name of a data set.
        model: The name of a network.
        optimizer: One of `OPTIMIZERS`.
        mean_over: The mean that WGD removes, or `None` for the plain optimizer.
        placement: Where WGD removes it.
        seed: Decides the initial weights and the order of the images, the same
            for every optimizer.
        epochs: Passes over the training images.
        batch_size: Images in a step.
        learning_rate: The constant learning rate.
        momentum: Of `sgdm` alone.
        weight_decay: What L2 on every weight adds to its gradient, in units of
            the weight, as torch.optim does.
        epsilon: Of all optimizers but `sgdm`.
        sampler: How the images of an epoch are drawn: `"weighted"`, with
            replacement and every class as often as any other, or `"shuffled"`,
            each once.
        image_size: Height and width that images are resized to; `None` is the
            data set's own; at most 4096.
        stem: `"small"`, for small images, or `None`: the network's own.
        train_size: Training images, the classes in balance; `None` is all.
        test_size: Test images, likewise.
    """

    dataset: str
    model: str
    optimizer: str
    mean_over: str | None = None
    placement: str = "gradient"
    seed: int = 0
    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-3
    epsilon: float = 1e-10
    sampler: str = "weighted"
    image_size: int | None = None
    stem: str | None = None
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self):
        for name in ("dataset", "model"):
            _file_name(name, getattr(self, name))
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("placement", self.placement, PLACEMENTS)
        check_choice("sampler", self.sampler, SAMPLERS)
        if self.stem is not None:
            check_choice("stem", self.stem, STEMS)
        if self.mean_over is not None:
            check_choice("mean_over", self.mean_over, MEANS)
        elif self.placement != "gradient":
            raise ValueError(
                "placement is WGD's: it needs a mean_over of "
                f"{', '.join(MEANS)}. Received: {self.placement!r} without"
            )
        for name in ("epochs", "batch_size"):
            _whole(name, getattr(self, name), 1)
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 1)
        if self.image_size is not None:
            _whole("image_size", self.image_size, 1, _MOST_PIXELS)
        _whole("seed", self.seed, 0, 2**32 - 1)
        _between("learning_rate", self.learning_rate, above=0)
        _between("epsilon", self.epsilon, above=0)
        _between("weight_decay", self.weight_decay)
        _between("momentum", self.momentum, below=1)
        for name in ("learning_rate", "epsilon", "weight_decay", "momentum"):
            # 1 and 1.0 are the same run, and have one id.
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def arm(self) -> str:
        """The side of the comparison: `"plain"`, or the mean that is removed."""
        if self.mean_over is None:
            return "plain"
        update = "-update" if self.placement == "update" else ""
        return f"{self.mean_over}{update}"

    @property
    def plain(self) -> "RunSpec":
        """The run that its gain is measured against: itself, but for the arm."""
        return dataclasses.replace(self, **arm_fields("plain"))

    @property
    def id(self) -> str:
        """A name for files: readable, and different for different specs."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        names = (self.dataset, self.model, self.optimizer, self.arm, f"s{self.seed}")
        return "-".join((*names, digest))

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> "RunSpec":
        """The reverse of `to_dict`.

        Raises:
            ValueError: If a field is missing, unknown or out of its range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) != names:
            raise ValueError("a run's spec must have the fields of RunSpec")
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"a run's spec has a wrong type: {error}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs that differ in optimizer, learning rate, arm and seed, and in nothing else.

    Attributes:
        base: What the runs have in common.
        learning_rates: The learning rates of each optimizer: all its arms use
            them.
        arms: Names from `ARMS`.
        seeds: One run of each optimizer, learning rate and arm for each.
    """

    base: RunSpec
    learning_rates: Mapping[str, tuple[float, ...]]
    arms: tuple[str, ...] = ("plain", "filters", "fan_in")
    seeds: tuple[int, ...] = (0, 1, 2)

    def runs(self) -> list[RunSpec]:
        """The runs, seed after seed, so that a study cut short has whole pairs."""
        return [
            dataclasses.replace(
                self.base,
                optimizer=optimizer,
                learning_rate=learning_rate,
                seed=seed,
                **arm_fields(arm),
            )
            for seed in self.seeds
            for optimizer, learning_rates in self.learning_rates.items()
            for learning_rate in learning_rates
            for arm in self.arms
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A named study: the runs of its grids, each once.

    Attributes:
        name: What the study is called.
        grids: Where the runs come from.
    """

    name: str
    grids: tuple[Grid, ...]

    def runs(self) -> list[RunSpec]:
        """The runs, in the order of the grids."""
        return list(dict.fromkeys(run for grid in self.grids for run in grid.runs()))

    def replace(
        self,
        seeds: Sequence[int] = (),
        learning_rate: float | None = None,
        **fields: Any,
    ) -> "StudySpec":
        """The same study with some fields of all its runs set.

        Args:
            seeds: In place of each grid's own; none keeps them.
            learning_rate: One for every optimizer; `None` keeps each its own.
            **fields: Fields of `RunSpec` that no grid varies.

        Returns:
            The study.

        Raises:
            ValueError: If a value is out of its range.
        """
        return dataclasses.replace(
            self,
            grids=tuple(
                dataclasses.replace(
                    grid,
                    base=dataclasses.replace(grid.base, **fields),
                    seeds=tuple(seeds) or grid.seeds,
                    learning_rates=grid.learning_rates
                    if learning_rate is None
                    else dict.fromkeys(grid.learning_rates, (learning_rate,)),
                )
                for grid in self.grids
            ),
        )

    def select(self, **wanted: Sequence[str]) -> list[RunSpec]:
        """The runs with certain values.

        Args:
            **wanted: For each attribute of a run, such as `model` or `arm`, the
                values to take; none takes all.

        Returns:
            The runs, in their order.

        Raises:
            ValueError: If a value occurs in no run.
        """
        runs = self.runs()
        for name, values in wanted.items():
            known = tuple(dict.fromkeys(getattr(run, name) for run in runs))
            for value in values:
                check_choice(name, value, known)
            runs = [run for run in runs if not values or getattr(run, name) in values]
        return runs


def arm_fields(arm: str) -> dict[str, Any]:
    """The fields of a `RunSpec` that an arm stands for, the reverse of `arm`."""
    check_choice("arm", arm, ARMS)
    if arm == "plain":
        return {"mean_over": None, "placement": "gradient"}
    mean_over, _, placement = arm.partition("-")
    return {"mean_over": mean_over, "placement": placement or "gradient"}


def _file_name(name, value):
    # It becomes part of a folder's name, and may come from a stranger's file.
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_]+", value):
        raise ValueError(
            f"{name} must be lower-case letters, digits and _. Received: {value!r}"
        )


def _whole(name, value, least, most=_MOST_WHOLE):
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        raise ValueError(
            f"{name} must be a whole number of at least {least} and at most {most}. "
            f"Received: {value!r}"
        )


def _between(name, value, above=None, below=_MOST):
    """Check that `value` is a number in `(above, below)`, or `[0, below)`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    least_ok = number and (value >= 0 if above is None else value > above)
    if not (least_ok and value < below):
        bound = "at least 0" if above is None else f"above {above}"
        raise ValueError(
            f"{name} must be a number {bound} and below {below:g}. Received: {value!r}"
        )
