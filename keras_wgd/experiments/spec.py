"""What a run is, and what a study is: frozen data, with no Keras in it."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_wgd.choices import check_choice, did_you_mean
from keras_wgd.experiments.fields import (
    check_fields,
    described,
    field,
    file_name,
    info_of,
    number,
    whole,
)
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.optimizers.means import MEANS, PLACEMENTS, MeanOver, Placement
from keras_wgd.tasks.datasets.names import SAMPLERS, SIZES
from keras_wgd.tasks.models.names import MODELS, STEMS

# A batch of larger images does not fit into memory.
_MAX_PIXELS = 4096
ARMS = ("plain", *(f"{mean}{end}" for mean in MEANS for end in ("", "-update")))
# The fields that name a run. The others can be set for all runs of a study.
NAMED = ("dataset", "model", "optimizer", "mean_over", "placement", "seed")

_SETTING = r"[a-z0-9_]+=[A-Za-z0-9_.+-]+"


def _settings(name, value):
    if not (
        isinstance(value, str) and re.fullmatch(f"{_SETTING}(,{_SETTING})*", value)
    ):
        raise ValueError(f"{name} must be NAME=VALUE,NAME=VALUE. Received: {value!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run. The fields say what each is; the defaults are Table 1 of the paper."""

    dataset: str = field(check=file_name, choices=SIZES, help="Data set.")
    model: str = field(check=file_name, choices=MODELS, help="Network.")
    image_size: int | None = field(
        None,
        check=whole(maximum=_MAX_PIXELS),
        none="the data set's own",
        metavar="PIXELS",
        help="Height and width that images are resized to, in pixels.",
    )
    stem: str | None = field(
        None,
        choices=STEMS,
        none="the network's own",
        help="small: a first layer for small images.",
    )
    epochs: int = field(50, check=whole(), help="Passes over the training images.")
    batch_size: int = field(32, check=whole(), help="Images in a step.")
    sampler: str = field(
        "weighted",
        choices=SAMPLERS,
        help="How the images of an epoch are drawn: weighted, with replacement and "
        "every class equally often; or shuffled, each image once.",
    )
    train_size: int | None = field(
        None,
        check=whole(),
        none="all",
        help="Training images to use, the classes in balance.",
    )
    test_size: int | None = field(
        None,
        check=whole(),
        none="all",
        help="Test images to use, the classes in balance.",
    )
    momentum: float = field(0.9, check=number(below=1), help="Momentum of sgdm.")
    weight_decay: float = field(
        1e-3,
        check=number(),
        help="L2 on every weight, added to its gradient as torch.optim does.",
    )
    epsilon: float = field(
        1e-10, check=number(above=0), help="Epsilon of adam, nadam and radam."
    )
    optimizer: str = field(
        check=file_name,
        choices=OPTIMIZERS,
        open=True,
        help=f"Inner optimizer: {', '.join(OPTIMIZERS)}, or another of Keras by its "
        "lower-case name.",
    )
    optimizer_settings: str | None = field(
        None,
        check=_settings,
        none="Keras's own",
        flag="--set",
        metavar="NAME=VALUE",
        added=True,
        help="An argument of the inner optimizer, such as amsgrad=true; may be "
        "repeated.",
    )
    learning_rate: float = field(
        0.01, check=number(above=0), help="Learning rate; it stays constant."
    )
    mean_over: MeanOver | None = field(
        None,
        choices=MEANS,
        none="the plain optimizer",
        help="The mean that WGD removes.",
    )
    placement: Placement = field(
        "gradient", choices=PLACEMENTS, help="What WGD removes the mean from."
    )
    seed: int = field(
        0,
        check=whole(0, 2**32 - 1),
        help="Seed of the initial weights and of the order of the images.",
    )

    def __post_init__(self):
        check_fields(self)
        if self.optimizer_settings is not None:
            # In any order they are the same run, and have one id.
            ordered = ",".join(sorted({*self.optimizer_settings.split(",")}))
            object.__setattr__(self, "optimizer_settings", ordered)
        if self.mean_over is None and self.placement != "gradient":
            raise ValueError(
                "placement is an option of WGD: it needs a mean_over of "
                f"{', '.join(MEANS)}. Received: {self.placement!r} without"
            )

    @property
    def arm(self) -> str:
        """The side of the comparison: `"plain"`, or the mean that is removed."""
        if self.mean_over is None:
            return "plain"
        return self.mean_over + ("-update" if self.placement == "update" else "")

    @property
    def has_norm_ratios(self) -> bool:
        """Whether the run records `||h|| / ||g||` of its centered kernels."""
        return self.mean_over is not None

    @property
    def plain(self) -> "RunSpec":
        """The run that this one is compared with: the same but for the arm."""
        return dataclasses.replace(self, **arm_fields("plain"))

    @property
    def id(self) -> str:
        """A name for files: readable, and different for different specs."""
        hashed = {
            name: getattr(self, name)
            for name, field in described(type(self)).items()
            if not (info_of(field).added and getattr(self, name) == field.default)
        }
        text = json.dumps(hashed, sort_keys=True)
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
        known = described(cls)
        required = {name for name, field in known.items() if not info_of(field).added}
        if not isinstance(fields, dict) or not required <= set(fields) <= set(known):
            raise ValueError("a run's spec must have the fields of RunSpec")
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"a run's spec has a wrong type: {error}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs that differ only in optimizer, learning rate, arm and seed.

    Attributes:
        base: What the runs have in common.
        learning_rates: The learning rates of each optimizer, for all arms.
        arms: Names from `ARMS`.
        seeds: The seeds of each optimizer, learning rate and arm.
    """

    base: RunSpec
    learning_rates: Mapping[str, tuple[float, ...]]
    arms: tuple[str, ...] = ("plain", "filters", "fan_in")
    seeds: tuple[int, ...] = (0, 1, 2)

    def runs(self) -> list[RunSpec]:
        """The runs by seed, so that a study cut short has whole pairs."""
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
        name: The name of the study.
        grids: The runs; one that is in several counts once.
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
        optimizers: Sequence[str] = (),
        **fields: Any,
    ) -> "StudySpec":
        """The same study with some fields of all its runs set.

        Args:
            seeds: The seeds of every grid; if empty, each keeps its own.
            learning_rate: For every optimizer; if `None`, each keeps its own.
            optimizers: Those that the study does not have are added to every grid,
                with that learning rate.
            **fields: Fields of `RunSpec` that no grid varies.

        Returns:
            The study.

        Raises:
            ValueError: If a value is out of its range, or an optimizer that the study
                does not have comes without a learning rate.
        """
        known = {name for grid in self.grids for name in grid.learning_rates}
        added = [name for name in optimizers if name not in known]
        if added and learning_rate is None:
            raise ValueError(
                f"learning_rate must be given for an optimizer that {self.name} does "
                f"not have: {', '.join(sorted(known))}. Received: "
                f"{', '.join(map(repr, added))}{did_you_mean(added[0], known)}"
            )
        return dataclasses.replace(
            self,
            grids=tuple(
                dataclasses.replace(
                    grid,
                    base=dataclasses.replace(grid.base, **fields),
                    seeds=tuple(seeds) or grid.seeds,
                    learning_rates=grid.learning_rates
                    if learning_rate is None
                    else dict.fromkeys(
                        [*grid.learning_rates, *added], (learning_rate,)
                    ),
                )
                for grid in self.grids
            ),
        )

    def select(self, **wanted: Sequence[str]) -> list[RunSpec]:
        """The runs whose attributes have given values.

        Args:
            **wanted: The values of an attribute, such as `model` or `arm`; if empty,
                all.

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
    """The fields of `RunSpec` for an arm: the reverse of `RunSpec.arm`."""
    check_choice("arm", arm, ARMS)
    if arm == "plain":
        return {"mean_over": None, "placement": "gradient"}
    mean_over, _, placement = arm.partition("-")
    return {"mean_over": mean_over, "placement": placement or "gradient"}
