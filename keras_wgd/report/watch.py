"""What is shown of a comparison while it is under way."""

from rich.console import Console

from keras_wgd.experiments.analysis.sentences import time_text
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.experiments.launch.events import Event
from keras_wgd.experiments.launch.plan import Plan
from keras_wgd.files import printable
from keras_wgd.progress import RunsBar


class Watch:
    """A context that shows a bar, and after each pair the verdict so far.

    It is called with each event.
    """

    def __init__(self, plan: Plan, console: Console):
        self._plan, self._console = plan, console
        self._bar = RunsBar(console, "trials", len(plan.trials()) * plan.epochs)

    def __enter__(self):
        self._bar.__enter__()
        return self

    def __exit__(self, *error):
        self._bar.__exit__(*error)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        run = event.spec
        self._bar.see(event.kind, run)
        if event.kind == "fail":
            self._print(f"failed: {run.arm} with seed {run.seed}: {event.detail}")
        if event.kind == "pair":
            self._pair(event.detail)

    def _pair(self, analysis: TrialAnalysis):
        unit = analysis.unit
        for arm, found in analysis.judgments.items():
            between = ""
            if found.low is not None and found.high is not None:
                low, high = unit.number(found.low, "+"), unit.number(found.high, "+")
                between = f" ({low} to {high})"
            self._print(
                f"{found.pairs} of {len(self._plan.seeds)} pairs: {arm} "
                f"{unit.difference(found.gain)}{between}, {found.decision}"
            )
        if analysis.runs["seed"].n_unique() == 1:
            seconds = float(analysis.runs["wall_seconds"].sum()) / self._plan.jobs
            whole = time_text(seconds * len(self._plan.seeds))
            self._print(f"all {len(self._plan.seeds)} pairs would take {whole}")

    def _print(self, text: str) -> None:
        self._bar.console.print(
            printable(text), highlight=False, markup=False, soft_wrap=True
        )
