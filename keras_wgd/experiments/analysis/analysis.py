"""All numbers of a study, from one long frame."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from keras_wgd.experiments.analysis import frames
from keras_wgd.experiments.analysis.comparisons import summarize
from keras_wgd.experiments.analysis.frames import EPOCH, KEYS, MEASURES, SETTING, TASK
from keras_wgd.experiments.analysis.statistics import adjusted, roughness
from keras_wgd.experiments.metrics import METRICS
from keras_wgd.experiments.store.results import Result
from keras_wgd.files import write_text


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What the tables, charts and files of a study are made from.

    Attributes:
        long: One row for each run and epoch, as `frames.long` returns it.
    """

    long: pl.DataFrame

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Analysis":
        """The analysis of the results of one or more studies."""
        return cls(frames.long(results))

    @functools.cached_property
    def epochs(self) -> pl.DataFrame:
        """One row for each run and epoch, without what belongs to the whole run."""
        return self.long.select(*KEYS, "epoch", *EPOCH)

    @functools.cached_property
    def runs(self) -> pl.DataFrame:
        """One row for each run.

        It has the columns of `KEYS` and `METRICS`; `train_roughness` and
        `test_roughness` (`statistics.roughness`); `diverged`, whether a loss is not
        finite; and the columns of `EPOCH` in the last epoch, but `seconds` over all.
        """
        losses = pl.col("loss", "train_loss", "test_loss")
        return self.long.group_by(KEYS, maintain_order=True).agg(
            pl.col(METRICS).first(),
            train_roughness=roughness("train_loss"),
            test_roughness=roughness("test_loss"),
            diverged=~pl.all_horizontal(losses.is_finite().all()),
            **{name: pl.col(name).last() for name in EPOCH if name != "seconds"},
            seconds=pl.col("seconds").sum(),
        )

    @functools.cached_property
    def summary(self) -> pl.DataFrame:
        """One row for each setting, optimizer, learning rate and arm.

        Besides the columns of `comparisons.summarize` it has `diverged`, the number
        of runs that diverged, and for each measure `m_gain_p_adjusted`, the p value
        adjusted for the number of gains in `m` of the setting.
        """
        diverged = pl.col("diverged").sum().cast(pl.Int64)
        summary = summarize(self.runs, MEASURES, TASK, diverged=diverged)
        return summary.with_columns(
            pl.col(f"{name}_gain_p")
            .map_batches(adjusted, return_dtype=pl.Float64)
            .over(SETTING)
            .alias(f"{name}_gain_p_adjusted")
            for name in MEASURES
        )

    @functools.cached_property
    def curves(self) -> pl.DataFrame:
        """One row for each arm, as in `summary`, and epoch: `comparisons.summarize`."""
        return summarize(self.epochs, EPOCH, (*TASK, "epoch"))

    def write(self, out: Path) -> list[Path]:
        """Write the numbers, for a program to read.

        Args:
            out: The folder for them.

        Returns:
            `runs.csv`, a row for each run; `epochs.csv`, a row for each run and
            epoch; and `summary.csv`, a row for each arm.
        """
        tables = {"runs": self.runs, "epochs": self.epochs, "summary": self.summary}
        paths = [out / f"{name}.csv" for name in tables]
        for path, table in zip(paths, tables.values(), strict=True):
            write_text(path, table.write_csv())
        return paths
