"""Progress in a terminal. A file or a pipe gets nothing."""

import contextlib
import datetime
import math
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text


def is_live(console: Console) -> bool:
    """Whether a line can be overwritten: not in a file or a pipe, such as a CI log.

    With FORCE_COLOR Rich takes these for a terminal, too.
    """
    is_terminal = console.is_terminal and not console.is_dumb_terminal
    return is_terminal and console.file.isatty()


def status(console: Console, what: str) -> contextlib.AbstractContextManager:
    """Show what is being done, where the time it takes is not known."""
    return console.status(what) if is_live(console) else contextlib.nullcontext()


class Bar(Progress):
    """A bar with the time left."""

    def __init__(self, console: Console, what: str, total: int, unit: str = "epochs"):
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"),
            TimeElapsedColumn(),
            _TimeLeft(),
            console=console,
            transient=True,
            disable=not is_live(console),
        )
        now = self.get_time()
        self._task = self.add_task(what, total=total, skipped=0, since=now, moved=now)

    def begin(self) -> None:
        """Start the clock, unless something is done: the time before does not count."""
        (task,) = self.tasks
        if not task.completed:
            self.update(self._task, since=self.get_time())

    def move(self, count: int = 1, skipped: bool = False) -> None:
        """Move the bar by a number of units.

        Skipped units took no time here, so they do not count for the time left.
        """
        self.advance(self._task, count)
        if skipped:
            (task,) = self.tasks
            self.update(self._task, skipped=task.fields["skipped"] + count)
        else:
            self.update(self._task, moved=self.get_time())


class RunsBar(Bar):
    """A bar of the epochs of several runs, which may start more than once."""

    def __init__(self, console: Console, what: str, total: int):
        super().__init__(console, what, total)
        self._left: dict[Any, int] = {}

    def see(self, kind: str, run: Any) -> None:
        """Move the bar by an event of a run, which has `epochs`."""
        left = self._left
        if kind == "start":  # perhaps not for the first time
            self.begin()
            self.move(left.get(run, run.epochs) - run.epochs)
            left[run] = run.epochs
        if kind in ("epoch", "restore"):
            left[run] -= 1
            self.move(skipped=kind == "restore")
        if kind in ("finish", "fail"):
            self.move(left.pop(run, run.epochs), skipped=True)


class _TimeLeft(ProgressColumn):
    """The time left, from the mean time of the units so far.

    The column of Rich looks at the last 30 seconds; an epoch may take longer.
    """

    def render(self, task: Task) -> Text:
        since, moved = task.fields["since"], task.fields["moved"]
        done = task.completed - task.fields["skipped"]
        left = "-:--:--"
        if done > 0:
            seconds = (task.remaining or 0) * (moved - since) / done
            waited = task.get_time() - moved
            whole = math.ceil(max(0, seconds - waited))
            left = str(datetime.timedelta(seconds=whole))
        return Text(f"{left} left", style="progress.remaining")
