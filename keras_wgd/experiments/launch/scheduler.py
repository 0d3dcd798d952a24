"""The trials of a comparison, pair by pair, until it is decided or paid for."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Literal

from keras_wgd.experiments.analysis.sentences import time_text
from keras_wgd.experiments.analysis.trials import TrialAnalysis, choose_rates
from keras_wgd.experiments.launch.events import Event
from keras_wgd.experiments.launch.pace import Pace
from keras_wgd.experiments.launch.plan import Plan
from keras_wgd.experiments.store import results
from keras_wgd.experiments.store.results import Result
from keras_wgd.experiments.trial import Trial

End = Literal["decided", "seeds", "budget", "failed", "interrupted", "unknown"]
OnEvent = Callable[[Event], None]
# Makes trials, and says what happens to them: it yields events, or gives them to the
# function while a trial is made.
Launch = Callable[[list[Trial], OnEvent], Generator[Event, None, None]]


@dataclasses.dataclass
class Outcome:
    """How a comparison ended.

    Attributes:
        rates: The learning rate of each arm that has a grid.
        failures: The reason why an arm has no further trials.
        warnings: What the reader of the verdict should know.
        stopped: Why it ended: `"decided"`, `"seeds"` (all are used), `"budget"`,
            `"failed"` (no arm is left to compare) or `"interrupted"`.
    """

    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    stopped: End = "seeds"


class Scheduler:
    """Makes the trials of a plan that are not in a folder yet.

    Args:
        plan: The plan.
        out: The folder.
        launch: Makes trials.
        on_event: Called with each event.
        backend: Keras's backend.
    """

    def __init__(
        self,
        plan: Plan,
        out: Path,
        launch: Launch,
        on_event: OnEvent,
        backend: str,
    ):
        self._plan, self._out, self._launch = plan, out, launch
        self._on_event, self._backend = on_event, backend
        self._pace = Pace(plan.may_end_early)
        self._found: dict[Trial, Result] = {}
        # The first arm of each seed, and a digest of its initial weights.
        self._weights: dict[int, tuple[str, str]] = {}
        # Why the last trial of a learning rate failed, by arm.
        self._reasons: dict[str, str] = {}
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Make pairs until every arm is decided, or seeds or budget are used up.

        Raises:
            ValueError: If a trial of the baseline fails, if two arms of a seed do not
                start from the same weights, or if the budget is too small.
        """
        try:
            self._tune()
            self.outcome.stopped = self._compare()
        except KeyboardInterrupt:
            if not self._pairs:
                raise
            self.outcome.stopped = "interrupted"
        return self.outcome

    @property
    def made(self) -> bool:
        """Whether any trial is finished."""
        return bool(self._found)

    def analysis(self) -> TrialAnalysis:
        """The analysis of the trials so far, of which there must be one."""
        best = next(iter(self._found.values())).details["best"]
        return TrialAnalysis(self._plan.question(best), list(self._found.values()))

    def _tune(self) -> None:
        plan = self._plan
        trials = [trial for trial in plan.trials() if trial.tuning]
        if not trials:
            return
        self._make(trials)
        found = [self._found[trial] for trial in trials if trial in self._found]
        if found:
            question = plan.question(found[0].details["best"])
            self.outcome.rates, warnings = choose_rates(found, question)
            self.outcome.warnings += warnings
        for arm in plan.learning_rates:
            if arm not in self.outcome.rates:
                reason = self._reasons[arm]
                self._drop(arm, f"no learning rate can be trained: {reason}")

    def _compare(self) -> End:
        plan = self._plan
        active = [arm for arm in plan.arms[1:] if arm not in self.outcome.failures]
        made, first = 0, plan.design.looks[0]
        for look in plan.design.looks:
            while made < look:
                left = plan.seeds[made:look]
                more = sum(not self._is_finished(seed, active) for seed in left)
                # Pairs between two looks decide nothing.
                if more and not self._affordable(more if made >= first else 1):
                    return "budget"
                seeds = left[: self._pairs_at_once(len(left))]
                self._make([t for seed in seeds for t in self._pair(seed, active)])
                made += len(seeds)
                active = [arm for arm in active if arm not in self.outcome.failures]
                if not active:
                    return "failed"
                analysis = self.analysis()
                self._on_event(Event("pair", None, analysis))
            active = [arm for arm in active if analysis.verdicts[arm] == "undecided"]
            if not active and plan.sequential:
                return "decided"
        return "seeds"

    def _pair(self, seed: int, active: Sequence[str]) -> list[Trial]:
        """The trials of a seed."""
        arms = (self._plan.arms[0], *active)
        rates = self.outcome.rates
        return [self._plan.trial(arm, seed, rates.get(arm)) for arm in arms]

    def _is_finished(self, seed: int, active: Sequence[str]) -> bool:
        trials = self._pair(seed, active)
        return all(results.is_finished(self._out, trial) for trial in trials)

    def _pairs_at_once(self, left: int) -> int:
        """How many of the pairs that are left before a look are made together.

        Processes start once for them, so they are all, unless the budget may end them.
        """
        plan = self._plan
        if plan.jobs == 1:
            return 1
        if plan.budget is None or (self._pairs and self._affordable(left)):
            return left
        return min(left, max(1, plan.jobs // len(plan.arms)))

    def _affordable(self, more: int) -> bool:
        """Whether so many more pairs fit into the budget."""
        budget = self._plan.budget
        if budget is None:
            return True
        own = [found for trial, found in self._found.items() if not trial.tuning]
        spent, pairs = self._seconds(self._found.values()), self._pairs
        return not pairs or spent + more * self._seconds(own) / pairs <= budget

    @property
    def _pairs(self) -> int:
        """The number of seeds with a trial."""
        return len({trial.seed for trial in self._found if not trial.tuning})

    def _check_budget(self, seconds: float) -> None:
        """Check that the budget has room for the first pair.

        Args:
            seconds: The time of a trial.
        """
        plan = self._plan
        if plan.budget is None or self._pairs:
            return
        tuning = [t for t in plan.trials() if t.tuning and t not in self._found]
        left = (len(tuning) + len(plan.arms)) / plan.jobs
        needed = self._seconds(self._found.values()) + seconds * max(1, left)
        if needed > plan.budget:
            search = "the search for learning rates and " if plan.learning_rates else ""
            raise ValueError(
                f"budget must be enough for {search}one trial of each arm, about "
                f"{time_text(needed)}. Received: {time_text(plan.budget)}"
            )

    def _seconds(self, found: Iterable[Result]) -> float:
        return sum(result.details["wall_seconds"] for result in found) / self._plan.jobs

    def _make(self, trials: Sequence[Trial]) -> None:
        """Make trials, or read those that are finished."""
        self.outcome.warnings += results.check(self._out, trials, self._backend)
        waiting = []
        for trial in trials:
            try:
                found = results.read(results.path_of(self._out, trial))
            except ValueError:
                waiting.append(trial)
            else:
                self._keep(trial, found)
        if waiting:
            with contextlib.closing(self._launch(waiting, self._see)) as events:
                for event in events:
                    self._see(event)
                    if event.kind == "finish":
                        self._keep(event.spec, event.detail)
                    if event.kind == "fail":
                        self._fail(event)

    def _see(self, event: Event) -> None:
        self._on_event(event)
        seconds = self._pace.see(event)
        if seconds is not None:
            self._check_budget(seconds)

    def _keep(self, trial: Trial, result: Result) -> None:
        weights = result.details["initial_weights"]
        arm, expected = self._weights.setdefault(trial.seed, (trial.arm, weights))
        if weights != expected:
            raise ValueError(
                "build_model must make the same weights again after "
                "keras.utils.set_random_seed, so that the arms of a seed start "
                f"equal. Received: other weights for {trial.arm!r} than for "
                f"{arm!r} with seed {trial.seed}"
            )
        self._found[trial] = result

    def _fail(self, event: Event) -> None:
        trial = event.spec
        if trial.tuning:
            self._reasons[trial.arm] = event.detail
            self.outcome.warnings.append(
                f"{trial.arm} failed with the learning rate {trial.learning_rate:g}: "
                f"{event.detail}"
            )
        else:
            self._drop(trial.arm, event.detail, event.error)

    def _drop(self, arm: str, reason: str, error: BaseException | None = None) -> None:
        """Leave an arm out. Without the baseline there is no comparison."""
        if arm == self._plan.arms[0]:
            raise ValueError(f"the baseline {arm!r} failed: {reason}") from error
        self.outcome.failures.setdefault(arm, reason)
        others = set(self._plan.arms[1:])
        if others <= set(self.outcome.failures) and not any(
            trial.arm in others and not trial.tuning for trial in self._found
        ):
            raise ValueError(
                f"every arm but the baseline failed, the last one, {arm!r}, with: "
                f"{reason}"
            ) from error
