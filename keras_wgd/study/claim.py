"""A study's claim to its folder: what it is, and that nobody else is at it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from keras_wgd.study import results
from keras_wgd.study.spec import RunSpec

STUDY = "study.json"


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
        """The runs of this part: each run is in one."""
        return specs[self.number - 1 :: self.parts]


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
        ValueError: If a study is at work there, or one of other runs or of
            another backend was begun there. The message names the difference.
    """
    results.prepare(out, specs)
    with contextlib.ExitStack() as held:
        whole = FileLock(out / ".lock", blocking=False)
        _hold(held, whole, out)
        if shard.parts > 1:
            name = f".lock-{shard.number}-of-{shard.parts}"
            _hold(held, FileLock(out / name, blocking=False), out)
            whole.release()
        else:
            for part in sorted(out.glob(".lock-*-of-*")):
                with contextlib.ExitStack() as seen:
                    _hold(seen, FileLock(part, blocking=False), out)
        _settle(out, specs, backend)
        yield


def _hold(stack, lock, out):
    try:
        stack.enter_context(lock)
    except Timeout:
        raise ValueError(
            "out must be a folder at which no other study is at work; wait for it or "
            f"choose another. Received: {out}"
        ) from None


def _settle(out, specs, backend):
    now = {"backend": backend, "runs": [spec.to_dict() for spec in specs]}
    path = out / STUDY
    if not path.exists():
        results.write_text(path, json.dumps(now, indent=1) + "\n")
        return
    before = results.read_json(path)
    try:
        difference = _difference(before, now)
    except (TypeError, KeyError, AttributeError):
        raise ValueError(
            f"{path} is not of this program: choose another folder, or remove it"
        ) from None
    if difference:
        raise ValueError(
            f"out must be a new folder, or one of the same study. Received: {out}, "
            f"begun with {difference}"
        )


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs, or nothing, in words."""
    if before == now:
        return ""
    if before["backend"] != now["backend"]:
        return f"backend {before['backend']}, now {now['backend']}"
    for name in now["runs"][0]:
        values = [
            list(dict.fromkeys(run[name] for run in study["runs"]))
            for study in (before, now)
        ]
        if values[0] != values[1]:
            was, is_now = (", ".join(map(str, row)) for row in values)
            return f"{name} {was}, now {is_now}"
    return f"{len(before['runs'])} runs, now {len(now['runs'])}"
