"""What each arm of a comparison costs beside the baseline."""

from typing import Any

import numpy as np
import polars as pl

from keras_wgd.experiments.analysis.trial_frames import Question


def table(runs: pl.DataFrame, epochs: pl.DataFrame, question: Question) -> pl.DataFrame:
    """A row for each arm, the baseline first.

    Args:
        runs: As of `TrialAnalysis.runs`.
        epochs: As of `TrialAnalysis.epochs`.
        question: What is asked.

    Returns:
        Medians over the trials of an arm:

        - `seconds_per_step`, and `seconds`, of a trial's training;
        - `epochs_to_baseline` and `seconds_to_baseline`, of training until the monitor
          is first as good as the baseline's own value of that seed. A trial that never
          is counts as one that takes longer than all others; null if the median is of
          such trials;
        - `reached` of `targets`: in how many of the trials that is so, of those with a
          baseline that has not diverged;
        - the same four with `_ratio`: the median over the pairs of the arm's number
          divided by the baseline's; null for the baseline.
    """
    own = ("seconds_per_step", "seconds")
    reached = runs.select("arm", "seed", *own).join(
        _to_baseline(runs, epochs, question), on=["arm", "seed"], how="left"
    )
    measures = (*own, "epochs_to_baseline", "seconds_to_baseline")
    is_baseline = pl.col("arm") == question.arms[0]
    pairs = reached.join(
        reached.filter(is_baseline).select("seed", pl.col(measures).name.suffix("_of")),
        on="seed",
        how="left",
    )
    found = pairs.group_by("arm").agg(
        *(pl.col(name).median() for name in measures),
        reached=pl.col("epochs_to_baseline").is_finite().sum().cast(pl.Int64),
        targets=pl.col("epochs_to_baseline").count().cast(pl.Int64),
        **{
            f"{name}_ratio": (pl.col(name) / pl.col(f"{name}_of")).median()
            for name in measures
        },
    )
    arms = pl.DataFrame({"arm": question.arms}, schema={"arm": question.kind})
    ratios = pl.col([f"{name}_ratio" for name in measures])
    numbers = pl.col(pl.Float64)
    return (
        arms.join(found, on="arm", how="left", maintain_order="left")
        .with_columns(pl.when(numbers.is_finite()).then(numbers).name.keep())
        .with_columns(pl.when(~is_baseline).then(ratios).name.keep())
    )


def _to_baseline(
    runs: pl.DataFrame, epochs: pl.DataFrame, question: Question
) -> pl.DataFrame:
    """For each trial with a target: when it gets there; infinite if it never does."""
    baseline = runs.filter(pl.col("arm") == question.arms[0], ~pl.col("diverged"))
    targets = dict(baseline.select("seed", "value").iter_rows())
    rows = []
    for (arm, seed), trial in epochs.group_by("arm", "seed"):
        if seed not in targets:
            continue
        there = question.reaches(trial[question.monitor].to_numpy(), targets[seed])
        first = int(np.argmax(there)) if there.any() else None
        seconds = trial["seconds"].cum_sum()
        rows.append(
            {
                "arm": arm,
                "seed": seed,
                "epochs_to_baseline": np.inf if first is None else first + 1.0,
                "seconds_to_baseline": np.inf if first is None else seconds[first],
            }
        )
    schema: dict[str, Any] = {"arm": question.kind, "seed": pl.Int64}
    numbers = dict.fromkeys(("epochs_to_baseline", "seconds_to_baseline"), pl.Float64)
    return pl.DataFrame(rows, schema=schema | numbers)
