"""A study's claim to its folder: what it is, and that nobody else is at it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from keras_wgd import files, settings
from keras_wgd.study import results
from keras_wgd.study.spec import RunSpec

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
        """
        blocks = list(dict.fromkeys(spec.plain for spec in specs))
        own = set(blocks[self.number - 1 :: self.parts])
        return [spec for spec in specs if spec.plain in own]


@contextlib.contextmanager
def claim(
    out: Path, specs: list[RunSpec], backend: str, shard: Shard = Shard()
) -> Iterator[None]:
    """Hold the folder of a study, which is made, against others and other plans.

    The shards of one study may share a folder; the system frees what a killed
    process held.

    Args:
        out: The folder.
        specs: All runs of the study, whatever the shard.
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


def check_plan(out: Path, specs: list[RunSpec], backend: str) -> None:
    """See that no other study was begun in a folder, which need not be there.

    Args:
        out: The folder.
        specs: All runs of the study.
        backend: The backend that makes them.

    Raises:
        ValueError: If one was. The message names the difference.
    """
    path = out / STUDY
    if not path.exists():
        return
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


def _settle(out, specs, backend):
    check_plan(out, specs, backend)
    path = out / STUDY
    if not path.exists():
        plan = {
            "backend": backend,
            "settings": settings.deciding(backend),
            "runs": [spec.to_dict() for spec in specs],
        }
        files.write_text(path, json.dumps(plan, indent=1) + "\n")


def _begun(path):
    """The runs, the backend and the settings of the study that a file tells of."""
    before = files.read_json(path)
    try:
        runs = [RunSpec.from_dict(fields) for fields in before["runs"]]
        backend = before["backend"]
        having = settings.of_record(before)
    except (TypeError, KeyError, ValueError):
        runs, backend, having = [], None, {}
    if not runs or backend not in results.BACKENDS:
        raise ValueError(
            files.printable(
                f"{path} is not of this program: choose another folder, or remove it"
            )
        )
    return runs, backend, having


def _difference(
    old: list[RunSpec], old_backend: str, new: list[RunSpec], backend: str
) -> str:
    """What differs, or nothing, in words; the order of the runs may."""
    if old_backend != backend:
        return f"backend {old_backend}, now {backend}"
    gone = [run for run in old if run not in new]
    added = [run for run in new if run not in old]
    if not gone and not added:
        return ""
    for name in new[0].to_dict():
        values = [
            list(dict.fromkeys(getattr(run, name) for run in runs))
            for runs in (old, new)
        ]
        if set(values[0]) != set(values[1]):
            was, is_now = (", ".join(map(str, row)) for row in values)
            return f"{name} {was}, now {is_now}"
    counts = f"{len(old)} runs, now {len(new)}"
    run, which = (gone[0], "then") if gone else (added[0], "now")
    fields = ", ".join(
        str(getattr(run, name))
        for name in ("optimizer", "learning_rate", "mean_over", "seed")
    )
    return f"{counts}; {which} alone: {fields}"
