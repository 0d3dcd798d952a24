"""The claim of a study to its folder: its plan, and locks against other processes."""

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

_TIMEOUT = 10  # seconds


@dataclasses.dataclass(frozen=True)
class Shard:
    """A part of a study: the `number`-th, from 1, of `parts`."""

    number: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`.

        Raises:
            ValueError: If the text is something else.
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
        """The runs of this part. Runs that are compared are in the same part.

        The numbers of machines may differ, which must not look like an effect of the
        arm. A run stays in its part when seeds are added to the study.
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
    """Make the folder of a study, and hold it against other studies.

    The shards of one study may share a folder. The system frees the locks of a killed
    process. `specs` are the runs of all shards; new seeds are added to the plan.

    Raises:
        ValueError: If another process makes runs there, if the plan there has other
            runs, another backend or other settings, or if a lock is a link. The
            message names the difference.
    """
    results.prepare(out, specs)
    if shard.parts == 1:
        with alone(out):
            _write_plan(out, specs, backend)
            yield
        return
    with contextlib.ExitStack() as held:
        # Other shards hold it for a moment, too, when they start.
        whole = _hold(held, out / ".lock", out, _TIMEOUT)
        # Shards of another size share runs with this one.
        _check_free(out, except_size=shard.parts)
        _hold(held, out / f".lock-{shard.number}-of-{shard.parts}", out)
        _write_plan(out, specs, backend)
        whole.release()
        yield


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a folder against every study.

    Raises:
        ValueError: If another process makes runs there.
    """
    with contextlib.ExitStack() as held:
        _hold(held, out / ".lock", out)
        _check_free(out)
        yield


def _check_free(out, except_size=None):
    for path in sorted(out.glob(".lock-*-of-*")):
        if not path.name.endswith(f"-of-{except_size}"):
            with contextlib.ExitStack() as held:
                _hold(held, path, out)


def _hold(stack, path, out, timeout=0):
    if path.is_symlink():  # FileLock would empty its target
        raise ValueError(
            f"out must hold its locks itself. Received: {files.printable(path)}, a link"
        )
    lock = FileLock(path, timeout=timeout)
    try:
        stack.enter_context(lock)
    except Timeout:
        raise ValueError(
            "out must be a folder that no other study is using; wait for it or "
            f"choose another. Received: {out}"
        ) from None
    return lock


def check_plan(out: Path, specs: list[RunSpec], backend: str) -> list[RunSpec]:
    """Check that a folder, which need not exist, has no plan of another study.

    Runs that differ from those of the plan only in the seed belong to the study.

    Returns:
        The runs of the plan; none if there is no plan.

    Raises:
        ValueError: If there is a plan of another study. The message names the
            difference.
    """
    path = out / STUDY
    if not path.exists():
        return []
    begun, its_backend, its_settings = _read_plan(path)
    difference = _difference(begun, its_backend, specs, backend) or settings.difference(
        its_settings, settings.of_process(backend)
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
    """All runs of the plan in a folder."""
    return _read_plan(out / STUDY)[0]


def _write_plan(out, specs, backend):
    begun = check_plan(out, specs, backend)
    runs = list(dict.fromkeys([*begun, *specs]))
    if runs != begun:
        plan = {
            "backend": backend,
            "settings": settings.deciding(backend),
            "runs": [spec.to_dict() for spec in runs],
        }
        files.write_text(out / STUDY, json.dumps(plan, indent=1) + "\n")


def _read_plan(path):
    """The runs, the backend and the settings of a plan."""
    plan = files.read_json(path)
    try:
        runs = [RunSpec.from_dict(fields) for fields in plan["runs"]]
        if runs and plan["backend"] in settings.BACKENDS:
            return runs, plan["backend"], settings.of_record(plan)
    except (TypeError, KeyError, ValueError):
        pass
    raise ValueError(
        files.printable(
            f"{path} is not of this program: choose another folder, or remove it"
        )
    )


def _difference(
    old: list[RunSpec], old_backend: str, new: list[RunSpec], backend: str
) -> str:
    """The difference between two studies as text; seeds and order do not count."""
    if old_backend != backend:
        return f"backend {old_backend}, now {backend}"
    before, now = (dict.fromkeys(map(_without_seed, runs)) for runs in (old, new))
    gone = [run for run in before if run not in now]
    added = [run for run in now if run not in before]
    if not gone and not added:
        return ""
    for name in new[0].to_dict():
        was, is_now = (
            list(dict.fromkeys(getattr(run, name) for run in runs))
            for runs in (before, now)
        )
        if set(was) != set(is_now):
            return f"{name} {_joined(was)}, now {_joined(is_now)}"
    run, which = (gone[0], "then") if gone else (added[0], "now")
    values = [run.optimizer, run.learning_rate, run.mean_over]
    counts = f"{len(before)} settings, now {len(now)}"
    return f"{counts}; {which} alone: {_joined(values)}"


def _joined(values):
    return ", ".join(map(str, values))
