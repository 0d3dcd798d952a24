"""Compare optimizers on a model and data of one's own."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
from rich.console import Console

from keras_wgd.choices import check_choice
from keras_wgd.experiments.analysis.sequential import Decision
from keras_wgd.experiments.analysis.trials import TrialAnalysis
from keras_wgd.experiments.arguments import (
    check_arms,
    check_bool,
    check_callable,
    check_fit,
    check_number,
    check_text,
    check_whole,
    console_of,
    folder_of,
    grids_of,
    seconds_of,
    seeds_of,
)
from keras_wgd.experiments.launch.plan import Plan
from keras_wgd.experiments.launch.scheduler import End
from keras_wgd.report.watch import Watch


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The outcome of `compare`. `print` shows it as text.

    Attributes:
        analysis: All numbers.
        failures: The reason why an arm has no further trials, by arm.
        warnings: What limits the verdict, a sentence each.
        stopped: Why it ended: `"decided"`, `"seeds"` (all are used), `"budget"`,
            `"failed"` (no arm is left to compare), `"interrupted"`, or `"unknown"` if
            it was read from its folder.
        learning_rates: The learning rate that was chosen for each arm, if any.
        out: The folder with the trials.
    """

    analysis: TrialAnalysis
    failures: Mapping[str, str]
    warnings: Sequence[str]
    stopped: End
    learning_rates: Mapping[str, float]
    out: Path

    @classmethod
    def read(cls, out: str | os.PathLike) -> "Comparison":
        """The comparison in a folder, as far as its trials are finished.

        Args:
            out: The folder that was given to `compare`.

        Raises:
            ValueError: If there is none, or none of its trials is finished.
        """
        analysis, problems = TrialAnalysis.read(Path(out))
        rates = analysis.runs.drop_nulls("learning_rate")
        return cls(
            analysis=analysis,
            failures={},
            warnings=problems,
            stopped="unknown",
            learning_rates=dict(rates.select("arm", "learning_rate").iter_rows()),
            out=Path(out),
        )

    @property
    def verdicts(self) -> dict[str, Decision]:
        """`"better"`, `"worse"`, `"equivalent"` or `"undecided"`, by arm."""
        return self.analysis.verdicts

    @property
    def runs(self) -> pl.DataFrame:
        """A row for each trial: `arm`, `seed`, and what it has measured.

        `value` is compared: the mean of the monitor over the tail. `last` and `best`
        are those of the monitor. Each other measured value has its last one.
        """
        return self.analysis.runs

    @property
    def epochs(self) -> pl.DataFrame:
        """A row for each trial and epoch, with every measured value."""
        return self.analysis.epochs

    def table(self) -> pl.DataFrame:
        """A row for each arm, the baseline first.

        `n` trials; `mean` and `std` of their values; the mean `gain` over the baseline
        of the same seed, positive if better; its interval from `low` to `high` and
        `p`, both adjusted for the looks and the arms; `verdict`; and the mean `seconds`
        of training.
        """
        return self.analysis.table

    def report(self, path: str | os.PathLike) -> Path:
        """Write a page with the verdict, figures and tables; it needs no network.

        Args:
            path: The file, which ends in `.html`.

        Returns:
            The path.
        """
        from keras_wgd.report import comparison as page

        return page.write(self.analysis, Path(path), self.notes)

    @property
    def notes(self) -> list[str]:
        """How the comparison ended, and what limits its verdict."""
        ends = {
            "decided": "It ended when every arm was decided.",
            "seeds": "It ended when all seeds were used.",
            "budget": "It ended because the next look would not fit into the budget.",
            "failed": "It ended because no arm is left to compare.",
            "interrupted": "It was interrupted; the same call resumes it.",
            "unknown": "These are the trials that are finished.",
        }
        rates = [f"{arm} {rate:g}" for arm, rate in self.learning_rates.items()]
        return [
            ends[self.stopped],
            *([f"Learning rates, tuned: {', '.join(rates)}."] if rates else []),
            *(f"{arm} failed: {why}" for arm, why in self.failures.items()),
            *self.warnings,
        ]

    def __str__(self):
        from keras_wgd.report import comparison as page

        width = min(120, max(60, shutil.get_terminal_size().columns))
        return page.as_text(self.analysis, self.notes, width)


def compare(
    build_model: Callable[[], Any],
    optimizers: Mapping[str, Any],
    *,
    train: Any,
    validation: Any = None,
    loss: Any = None,
    metrics: Any = None,
    loss_weights: Any = None,
    weighted_metrics: Any = None,
    monitor: str = "val_accuracy",
    mode: Literal["auto", "min", "max"] = "auto",
    tail: float = 0.3,
    epochs: int = 1,
    batch_size: int = 32,
    seeds: int | Iterable[int] = 10,
    budget: str | float | None = None,
    margin: float | None = None,
    sequential: bool = True,
    learning_rates: Mapping[str, Sequence[float]] | None = None,
    tuning_seeds: int = 1,
    callbacks: Callable[[], Any] | None = None,
    class_weight: Any = None,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    dtype_policy: Any = None,
    jit_compile: bool | Literal["auto"] = "auto",
    steps_per_execution: int = 1,
    out: str | os.PathLike | None = None,
    jobs: int = 1,
    ray: str | None = None,
    devices: int = 1,
    progress: bool | Console = True,
) -> Comparison:
    """Find out whether an optimizer is better than another, on any model and data.

    Each optimizer trains the model with several seeds. The optimizers of a seed start
    from the same weights and, for arrays, see the same batches in the same order. The
    differences within the seeds are tested after 4, 6, 8, ... of them, and the
    comparison ends as soon as all arms are decided. The error rate holds for all these
    looks, and for all arms, together: if no optimizer differs from the first one, the
    probability that any is called better or worse is at most 5 %.

    The same call with the same `out` resumes a comparison that was stopped. Ctrl-C
    stops it, and what is known by then is returned.

    Args:
        build_model: A function that returns a new `keras.Model`, not compiled.
        optimizers: For each arm, by name, a function that returns a new optimizer, a
            name such as `"adam"`, or a config. The first one is the baseline.
        train: What `fit` trains on: arrays `(x, y)` or `(x, y, sample_weight)`, a
            `keras.utils.PyDataset`, a `tf.data.Dataset`, a torch `DataLoader`, or a
            function of the seed that returns one of these or a generator.
        validation: What it is validated on, likewise.
        loss, metrics, loss_weights, weighted_metrics: As for `keras.Model.compile`.
        monitor: The measured value that is compared, by its name in the logs of `fit`.
        mode: `"max"` if more of it is better, `"min"` if less is, or `"auto"`, which
            asks Keras.
        tail: The share of the epochs, from the last one back, over which it is
            averaged; 0 takes the last epoch alone. The mean is less noisy.
        epochs: Passes over the training data.
        batch_size: Samples in each batch of arrays.
        seeds: The largest number of seeds, or the seeds themselves.
        budget: The time after which no further seed begins, such as `"30m"`, `"2h"`,
            or a number of seconds.
        margin: The smallest difference that matters, in units of the monitor. Arms that
            differ by less can then be found equivalent.
        sequential: Whether the comparison may end before all seeds are used.
        learning_rates: For each arm a grid, all of the same size. Each rate is first
            tried on a part of the training data that is held out, with seeds of its
            own, and each arm then has its best one.
        tuning_seeds: The number of trials of each rate.
        callbacks: A function that returns new callbacks for each trial.
        class_weight, steps_per_epoch, validation_steps: As for `keras.Model.fit`.
        dtype_policy: Such as `"mixed_bfloat16"`; by default the one that is in force.
        jit_compile, steps_per_execution: As for `keras.Model.compile`.
        out: The folder for the trials. By default it lasts as long as the process.
        jobs: Trials at a time, each in a process of its own; 1 is this process.
        ray: The address of a Ray cluster that makes the trials, or `"local"`.
        devices: Devices of this machine that each batch is split over.
        progress: Whether to show a bar, and after each pair the verdict so far; or the
            Rich console that shows them.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: If an argument cannot be used, if another comparison is in `out`, or
            if the baseline cannot be trained.

    Example:

    ```python
    comparison = compare(
        build_model,
        {"adam": lambda: Adam(1e-3), "wgd": lambda: WGD(Adam(1e-3), "fan_in")},
        train=(x, y),
        validation=(x_val, y_val),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        epochs=20,
        budget="30m",
    )
    print(comparison)
    comparison.verdicts["wgd"]
    ```

    References:
        - Pocock, 1977, Biometrika 64: group-sequential tests.
        - Holm, 1979, Scandinavian Journal of Statistics 6: several arms.
    """
    import keras

    from keras_wgd.experiments.launch import session
    from keras_wgd.experiments.training.custom.task import CustomTask

    check_callable("build_model", build_model, "that returns a new model")
    if callbacks is not None:
        check_callable("callbacks", callbacks, "that returns new callbacks")
    check_choice("mode", mode, ("auto", "min", "max"))
    check_text("monitor", monitor)
    if ray is not None:
        check_text("ray", ray)
    check_bool("sequential", sequential)
    check_fit(
        batch_size=batch_size,
        steps_per_execution=steps_per_execution,
        steps_per_epoch=steps_per_epoch,
        validation_steps=validation_steps,
        jit_compile=jit_compile,
        class_weight=class_weight,
    )
    arms = check_arms(optimizers)
    plan = Plan(
        arms=arms,
        seeds=seeds_of(seeds),
        epochs=check_whole("epochs", epochs),
        monitor=monitor,
        tail=check_number("tail", tail, 0, 1),
        margin=None if margin is None else check_number("margin", margin, 0),
        sequential=sequential,
        budget=seconds_of(budget),
        learning_rates=grids_of(learning_rates, arms),
        tuning_seeds=check_whole("tuning_seeds", tuning_seeds),
        jobs=check_whole("jobs", jobs),
        may_end_early=callbacks is not None,
    )
    task = CustomTask(
        build_model=build_model,
        optimizers=dict(optimizers),
        train=train,
        validation=validation,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        compile={
            "loss": loss,
            "metrics": metrics,
            "loss_weights": loss_weights,
            "weighted_metrics": weighted_metrics,
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution,
        },
        fit={"class_weight": class_weight, "validation_steps": validation_steps},
        callbacks=callbacks,
        dtype_policy=session.dtype_policy(dtype_policy),
        floatx=keras.config.floatx(),
        monitor=monitor,
        mode=mode,
    )
    engine = session.engine(
        check_whole("devices", devices), task.batch_size, plan.jobs, ray
    )
    folder, console = folder_of(out), console_of(progress)
    with Watch(plan, console) as watch:
        outcome, analysis = session.conduct(plan, task, folder, ray, engine, watch)
    return Comparison(
        analysis=analysis,
        failures=outcome.failures,
        warnings=outcome.warnings,
        stopped=outcome.stopped,
        learning_rates=outcome.rates,
        out=folder,
    )
