"""A call of `compare`, from the checks that need the task to its outcome."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import keras

from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.experiments.launch.launcher import launcher
from keras_wgd.experiments.launch.plan import Plan
from keras_wgd.experiments.launch.scheduler import OnEvent, Outcome, Scheduler
from keras_wgd.experiments.store import claim, comparison, results
from keras_wgd.experiments.store.comparison import Record
from keras_wgd.experiments.training import devices as engines
from keras_wgd.experiments.training.build import clear_session
from keras_wgd.experiments.training.custom.fingerprint import Fingerprint, fingerprint
from keras_wgd.experiments.training.custom.task import CustomTask
from keras_wgd.experiments.training.devices import OneDevice
from keras_wgd.experiments.trial import Trial


def dtype_policy(policy: Any) -> str:
    """The name of a dtype policy; `None` stands for the one in force."""
    if policy is None:
        return keras.config.dtype_policy().name
    try:
        return keras.dtype_policies.get(policy).name
    except (TypeError, ValueError, AttributeError):
        raise ValueError(
            'dtype_policy must be one of Keras, such as "mixed_bfloat16". '
            f"Received: {policy!r}"
        ) from None


def engine(devices: int, batch_size: int, jobs: int, ray: str | None) -> OneDevice:
    """What trials are trained on.

    Raises:
        ValueError: If there are not so many devices, or `compare` cannot use them.
    """
    if devices == 1:
        return OneDevice()
    if keras.backend.backend() == "torch":
        raise ValueError(
            "devices must be 1 on PyTorch: jobs makes several trials at a time. "
            f"Received: {devices}"
        )
    if jobs > 1 or ray is not None:
        raise ValueError(f"devices must be 1 with jobs or ray. Received: {devices}")
    engines.check(devices, batch_size)
    return engines.start(devices)


def conduct(
    plan: Plan,
    task: CustomTask,
    out: Path,
    ray: str | None,
    engine: OneDevice,
    on_event: OnEvent,
) -> tuple[Outcome, TrialAnalysis]:
    """Check the task, make the trials, and judge them.

    A folder that an error leaves without a trial is left as it was.

    Raises:
        ValueError: If something cannot be used, if another comparison is in `out`, or
            if there is nothing to compare.
    """
    trials = [plan.trial(arm, plan.seeds[0], plan.first_rate(arm)) for arm in plan.arms]
    results.check_places(out, plan.trials())
    found, ordered = _examine(task, trials, engine)
    record = Record(
        task=found.task,
        question=plan.asked() | {"mode": task.mode},
        seeds=list(plan.seeds),
    )
    comparison.check(out, record)  # before anything is written
    is_new = not os.path.lexists(out)
    with launcher(out, task, engine, plan.jobs, ray) as launch:
        results.prepare(out, trials)
        with claim.alone(out):
            # Another process may have begun one since.
            more = comparison.check(out, record)
            begun = (out / comparison.NAME).exists()
            if more or not begun:
                comparison.write(out, record)
            backend = keras.backend.backend()
            scheduler = Scheduler(plan, out, launch, on_event, backend)
            try:
                outcome = scheduler.run()
            except ValueError:
                if not begun and not scheduler.made:
                    _clear(out, is_new, plan)
                raise
    notes = [*_alike(plan, found.task), *found.warnings, *outcome.warnings]
    if more:
        notes.append(
            "The number of seeds was raised after the comparison had begun, which "
            "raises the error rate above 5 %."
        )
    if not ordered:
        notes.append(
            "The data have an order of their own, so that the arms of a seed may have "
            "seen other batches."
        )
    return dataclasses.replace(outcome, warnings=notes), scheduler.analysis()


def _alike(plan: Plan, texts: dict[str, str]) -> list[str]:
    """A warning for each arm that has the optimizer of an earlier one."""
    made = {
        a: (texts[f"optimizers[{a!r}]"], plan.learning_rates.get(a)) for a in plan.arms
    }
    notes = []
    for number, arm in enumerate(plan.arms):
        earlier = [other for other in plan.arms[:number] if made[other] == made[arm]]
        if earlier:
            notes.append(
                f"{earlier[0]} and {arm} are the same optimizer with equal settings. "
                "Functions that are made in a loop must keep its variable: "
                "lambda rate=rate: Adam(rate)."
            )
    return notes


def _examine(
    task: CustomTask, trials: list[Trial], engine: OneDevice
) -> tuple[Fingerprint, bool]:
    """The fingerprint of a task, and whether its data have the order of the seed.

    The data are read here once, and freed before the first trial reads its own.
    """
    clear_session()
    with task.scope():
        data = task.data(trials[0])
        if not data.is_validated and task.monitor.startswith("val_"):
            raise ValueError(
                f"validation must be given for the monitor {task.monitor!r}. "
                "Received: None"
            )
        found = fingerprint(task, trials, data)
    if engine.count > 1 and keras.backend.backend() == "jax":
        data.check_parts(engine.count)
    return found, data.ordered


def _clear(out: Path, is_new: bool, plan: Plan) -> None:
    """Remove what a comparison without a trial has left, so that it can be mended."""
    if is_new:
        shutil.rmtree(out)
        return
    (out / comparison.NAME).unlink()
    for trial in plan.trials():
        shutil.rmtree(results.draft_of(out, trial), ignore_errors=True)
