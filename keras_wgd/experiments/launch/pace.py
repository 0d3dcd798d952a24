"""How long a trial takes, estimated from the events of its start."""

import time

from keras_wgd.experiments.launch.events import Event
from keras_wgd.experiments.trial import Trial


class Pace:
    """Takes events, and estimates the time of a whole trial.

    Args:
        may_end_early: Whether a trial may have fewer epochs than planned. Its time is
            then known at its end only.
    """

    def __init__(self, may_end_early: bool):
        self._may_end_early = may_end_early
        # The times of the start and of each epoch.
        self._times: dict[Trial, list[float]] = {}

    def see(self, event: Event) -> float | None:
        """The seconds of a whole trial, if this event tells them."""
        run = event.spec
        if event.kind == "start":
            self._times[run] = [time.perf_counter()]
        elif event.kind == "restore":
            self._times.pop(run, None)  # an earlier process has taken its time
        elif event.kind == "epoch" and run in self._times:
            return self._at_epoch(run)
        elif event.kind == "finish":
            return event.detail.details["wall_seconds"]
        return None

    def _at_epoch(self, run: Trial) -> float | None:
        times = self._times[run]
        times.append(time.perf_counter())
        if self._may_end_early or len(times) != 3:
            return None
        begin, first, second = times  # the first epoch compiles
        return first - begin + (run.epochs - 1) * (second - first)
