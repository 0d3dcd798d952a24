"""One run of a comparison of the user's own: an arm and a seed."""

import dataclasses
import hashlib
import json
import re
from typing import Any, ClassVar

_NAMED = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_FIELDS = {
    "arm": str,
    "seed": int,
    "epochs": int,
    "learning_rate": float | None,
    "tuning": bool,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A run of `compare`. The task itself is the same for all trials of a folder.

    Attributes:
        arm: The name that the user has given to the optimizer.
        seed: The seed of the initial weights and of the order of the data.
        epochs: The most passes over the training data.
        learning_rate: The learning rate; `None` for the optimizer's own.
        tuning: Whether the trial is a part of the search for learning rates. It then
            trains on one part of the training data and is validated on the other.
    """

    arm: str
    seed: int
    epochs: int
    learning_rate: float | None = None
    tuning: bool = False

    # Whether `||h|| / ||g||` of the centered kernels is recorded.
    has_norm_ratios: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """A name for files: readable, and different for different trials."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        arm = self.arm.lower()
        name = arm if _NAMED.fullmatch(arm) else "arm"
        kind = "tuning" if self.tuning else "trial"
        return f"{kind}-{name}-s{self.seed}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> "Trial":
        """The reverse of `to_dict`.

        Raises:
            ValueError: If a field is missing, unknown or of another type.
        """
        right = (
            isinstance(fields, dict)
            and set(fields) == set(_FIELDS)
            and all(
                isinstance(fields[name], kind)
                and (kind is bool or not isinstance(fields[name], bool))
                for name, kind in _FIELDS.items()
            )
        )
        if not right or fields["epochs"] < 1 or fields["seed"] < 0:
            raise ValueError("a trial must have the fields of Trial")
        return cls(**fields)
