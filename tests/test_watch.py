"""What is shown of a comparison while it is under way."""

import io

import pytest
from rich.console import Console
from support.trials import trials_of

from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.experiments.launch.events import Event
from keras_wgd.experiments.launch.plan import Plan
from keras_wgd.report.watch import Watch

pytestmark = pytest.mark.any_backend

ARMS = ("adam", "wgd", "lion", "sgd")


@pytest.mark.parametrize(("failed", "price"), [(0, "3.2 minutes"), (2, "96 seconds")])
def test_the_price_of_all_pairs_is_told_once(failed, price):
    """A trial takes 4.8 seconds: ten pairs of four arms 192, and of two arms 96."""
    text = io.StringIO()
    plan = Plan(
        arms=ARMS,
        seeds=tuple(range(10)),
        epochs=4,
        monitor="val_accuracy",
        tail=0.3,
        margin=None,
        sequential=True,
        budget=None,
        learning_rates={},
        tuning_seeds=1,
        jobs=1,
    )
    made = ARMS[: len(ARMS) - failed]
    with Watch(plan, Console(file=text, width=200)) as watch:
        for pairs in (1, 2, 3):
            results = trials_of({arm: [0.5] * pairs for arm in made})
            watch(Event("pair", None, TrialAnalysis(plan.question("max"), results)))
    told = [line for line in text.getvalue().splitlines() if "would take" in line]
    assert told == [f"all 10 pairs would take {price}"]
