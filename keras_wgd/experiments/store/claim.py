"""A study's claim to its folder: what it is, and that nobody else is at it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from keras_wgd import files, settings
from keras_wgd.experiments.spec import RunSpec
from keras_wgd.experiments.store import results

STUDY = "study.json"

# Seconds.
_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of so many parts of a study.

    Attributes:
        number: Which part, from 1.
        parts: How many there are.
    """

    number: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`.

        Raises:
            ValueError: If it is something else.
        """
        number, _, parts = text.partition("/")
        if number.isdecimal() and parts.isdecimal():
            shard = cls(int(number), int(parts))
            if 1 <= shard.number <= shard.parts:
                return shard
        raise ValueError(
            f"shard must be i/n, with i from 1 to n, as in 2/8. Received: {text!r}"
        )

    def of(self, specs: list[RunSpec]) -> list[RunSpec]:
        """The runs of this part: each is in one, with those that it is compared with.

        Machines may differ in their numbers: that must not look like what an arm does.
        A run stays in its part when seeds are added to the study.
        """
        blocks = list(dict.fromkeys(_without_seed(spec.plain) for spec in specs))
        position = {block: number for number, block in enumerate(blocks)}

        def part(spec):
            place = spec.seed * len(blocks) + position[_without_seed(spec.plain)]
            return place % self.parts + 1

        return [spec for spec in specs if part(spec) == self.number]


def _without_seed(spec):
    return dataclasses.replace(spec, seed=0)


@contextlib.contextmanager
def claim(
    out: Path, specs: list[RunSpec], backend: str, shard: Shard = Shard()
) -> Iterator[None]:
    """Hold the folder of a study, which is made, against others and other plans.

    The shards of one study may share a folder; the system frees what a killed
    process held. Seeds that are new to the study are added to its record.

    Args:
        out: The folder.
        specs: All runs that are asked for, whatever the shard.
        backend: The backend that makes them.
        shard: The part that this process makes.

    Raises:
        ValueError: If a study is at work there, or one of other runs, another
            backend or other settings was begun there, or a lock is a link. The
            message names the difference.
    """
    results.prepare(out, specs)
    if shard.parts == 1:
        with alone(out):
            _settle(out, specs, backend)
            yield
        return
    with contextlib.ExitStack() as held:
        # Other shards hold it too, for a moment, when they begin.
        whole = _hold(held, out / ".lock", out, _PATIENCE)
        # Shards of another size share runs with this one.
        _see_free(out, except_size=shard.parts)
        _hold(held, out / f".lock-{shard.number}-of-{shard.parts}", out)
        _settle(out, specs, backend)
        whole.release()
        yield


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a folder against every study, whatever it is.

    Args:
        out: The folder.

    Raises:
        ValueError: If a study, or a part of one, is at work there.
    """
    with contextlib.ExitStack() as held:
        _hold(held, out / ".lock", out)
        _see_free(out)
        yield


def _see_free(out, except_size=None):
    for path in sorted(out.glob(".lock-*-of-*")):
        if not path.name.endswith(f"-of-{except_size}"):
            with contextlib.ExitStack() as held:
                _hold(held, path, out)


def _hold(stack, path, out, patience=0):
    if path.is_symlink():  # what it leads to would be emptied
        raise ValueError(
            f"out must hold its locks itself. Received: {files.printable(path)}, a link"
        )
    lock = FileLock(path, timeout=patience)
    try:
        stack.enter_context(lock)
    except Timeout:
        raise ValueError(
            "out must be a folder at which no other study is at work; wait for it or "
            f"choose another. Received: {out}"
        ) from None
    return lock


def check_plan(out: Path, specs: list[RunSpec], backend: str) -> list[RunSpec]:
    """See that no other study was begun in a folder, which need not be there.

    Runs that differ from those of the study in nothing but the seed belong to it.

    Args:
        out: The folder.
        specs: All runs that are asked for.
        backend: The backend that makes them.

    Returns:
        The runs of the study that was begun there; none if there is no study.

    Raises:
        ValueError: If another study was begun. The message names the difference.
    """
    path = out / STUDY
    if not path.exists():
        return []
    begun, by, having = _begun(path)
    difference = _difference(begun, by, specs, backend) or settings.difference(
        having, settings.of_process(backend)
    )
    if difference:
        raise ValueError(
            files.printable(
                f"out must be a new folder, or one of the same study. Received: {out}, "
                f"begun with {difference}"
            )
        )
    return begun


def recorded(out: Path) -> list[RunSpec]:
    """All runs of the study that a folder is claimed for, of whatever seeds."""
    return _begun(out / STUDY)[0]


def _settle(out, specs, backend):
    begun = check_plan(out, specs, backend)
    whole = list(dict.fromkeys([*begun, *specs]))
    if whole != begun:
        plan = {
            "backend": backend,
            "settings": settings.deciding(backend),
            "runs": [spec.to_dict() for spec in whole],
        }
        files.write_text(out / STUDY, json.dumps(plan, indent=1) + "\n")


def _begun(path):
    """The runs, the backend and the settings of the study that a file tells of."""
    before = files.read_json(path)
    try:
        runs = [RunSpec.from_dict(fields) for fields in before["runs"]]
        backend = before["backend"]
        having = settings.of_record(before)
    except (TypeError, KeyError, ValueError):
        runs, backend, having = [], None, {}
    if not runs or backend not in settings.BACKENDS:
        raise ValueError(
            files.printable(
                f"{path} is not of this program: choose another folder, or remove it"
            )
        )
    return runs, backend, having


def _difference(
    old: list[RunSpec], old_backend: str, new: list[RunSpec], backend: str
) -> str:
    """What differs, or nothing, in words; the seeds and the order of the runs may."""
    if old_backend != backend:
        return f"backend {old_backend}, now {backend}"
    before, now = (dict.fromkeys(map(_without_seed, runs)) for runs in (old, new))
    gone = [setting for setting in before if setting not in now]
    added = [setting for setting in now if setting not in before]
    if not gone and not added:
        return ""
    for name in new[0].to_dict():
        values = [
            list(dict.fromkeys(getattr(setting, name) for setting in row))
            for row in (before, now)
        ]
        if set(values[0]) != set(values[1]):
            was, is_now = (", ".join(map(str, row)) for row in values)
            return f"{name} {was}, now {is_now}"
    counts = f"{len(before)} settings, now {len(now)}"
    setting, which = (gone[0], "then") if gone else (added[0], "now")
    fields = ", ".join(
        str(getattr(setting, name))
        for name in ("optimizer", "learning_rate", "mean_over")
    )
    return f"{counts}; {which} alone: {fields}"
