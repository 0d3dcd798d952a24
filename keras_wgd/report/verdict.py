"""The verdict of a study: does WGD help in these runs?"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from keras_wgd.experiments.analysis import comparisons
from keras_wgd.experiments.analysis.frames import MEASURES, SETTING, TASK
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.spec import ARMS
from keras_wgd.paper import published
from keras_wgd.report import cells
from keras_wgd.report.cells import Cell, Table
from keras_wgd.report.display_names import arm_name, counted, distinct_names

AT_PAPER_RATE = pl.col("learning_rate") == published.LEARNING_RATE
# The columns that the runs of a comparison have in common.
GROUP = (*SETTING, "at_paper_rate")


class _Words(NamedTuple):
    """The words for the verdict on a measure."""

    title: str
    head: str
    quantity: str
    unit: str
    better: str
    worse: str


_WORDS = {
    "accuracy": _Words(
        "Gain in accuracy, by comparison",
        "Gain",
        "accuracy",
        "percentage points",
        "gains accuracy",
        "loses accuracy",
    ),
    "train_roughness": _Words(
        "Change in the roughness of the training loss, by comparison",
        "Change",
        "roughness of the training loss",
        "nats per epoch; a lower value is smoother",
        "makes training smoother",
        "makes training rougher",
    ),
}


def judge(
    runs: pl.DataFrame, measures: Sequence[str] = ("accuracy", "train_roughness")
) -> pl.DataFrame:
    """A row for each measure, setting, kind of learning rate and arm.

    The columns are those of `comparisons.verdicts`. The runs of a setting at the
    paper's learning rate make one group, those at other rates another.
    """
    order = (pl.struct(SETTING).rle_id(), ~AT_PAPER_RATE)
    grouped = runs.sort(order, maintain_order=True).with_columns(
        at_paper_rate=AT_PAPER_RATE
    )
    best = {name: MEASURES[name] for name in measures}
    return comparisons.verdicts(grouped, best, GROUP, TASK)


def headline(verdicts: pl.DataFrame, measure: str = "accuracy") -> str:
    """The outcome of all comparisons of a measure, in one sentence."""
    verdicts = verdicts.filter(measure=measure)
    words, number = _WORDS[measure], len(verdicts)
    if not number:
        return (
            "There is nothing to compare: no run with WGD has a plain run with the "
            "same setting, optimizer, learning rate and seed."
        )
    parts = []
    for verdict, verb in (("better", words.better), ("worse", words.worse)):
        arms = verdicts.filter(verdict=verdict)["arm"]
        if len(arms):
            names = ""
            if verdicts.select(GROUP).n_unique() == 1:
                names = f" ({', '.join(map(arm_name, arms))})"
            parts.append(f"{verb} in {len(arms)}{names}")
    if not parts:
        return (
            f"These runs do not tell whether WGD changes the {words.quantity}: in none "
            f"of {counted(number, 'comparison')} is the difference significant "
            f"(p adjusted below {LEVEL:g})."
        )
    rest = verdicts.filter(verdict="undecided").height
    tail = f"; {rest} {'is' if rest == 1 else 'are'} undecided" if rest else ""
    return f"Of {counted(number, 'comparison')}, WGD {' and '.join(parts)}{tail}."


def diverged(runs: pl.DataFrame) -> str:
    """A sentence on the runs that diverged; empty if none did."""
    arms = runs.filter("diverged")["arm"].to_list()
    if not arms:
        return ""
    counts = [f"{arms.count(arm)} {arm_name(arm)}" for arm in ARMS if arm in arms]
    return (
        f"{len(arms)} of {len(runs)} runs diverged: a loss is not finite "
        f"({', '.join(counts)})."
    )


def sections(verdicts: pl.DataFrame) -> list[tuple[str, Table]]:
    """For each measure a sentence, and a table with a row for each comparison."""
    return [
        (headline(part, measure), _table(part, measure))
        for (measure,), part in verdicts.group_by("measure", maintain_order=True)
    ]


def markdown(runs: pl.DataFrame, verdicts: pl.DataFrame) -> str:
    """The verdict in Markdown."""
    parts = [f"{words}\n\n{table.markdown()}" for words, table in sections(verdicts)]
    sentences = [headline(verdicts) if verdicts.is_empty() else "", diverged(runs)]
    return "\n".join([*parts, *(f"{sentence}\n" for sentence in sentences if sentence)])


def group_names(verdicts: pl.DataFrame) -> list[str]:
    """The name of the group of runs of each verdict."""
    settings = verdicts.select(SETTING).unique(maintain_order=True)
    names = dict(zip(settings.rows(), distinct_names(settings.to_dicts()), strict=True))
    rates = {True: "at the paper's learning rate", False: "at other learning rates"}
    return [
        f"{names[tuple(setting)]} {rates[at_paper_rate]}"
        for *setting, at_paper_rate in verdicts.select(GROUP).rows()
    ]


def _table(verdicts: pl.DataFrame, measure: str) -> Table:
    words = _WORDS[measure]
    blocks: dict[str, list[tuple[Cell, ...]]] = {}
    for group, row in zip(group_names(verdicts), verdicts.to_dicts(), strict=True):
        gain = cells.gain_cells(row, "gain", measure)
        seeds = counted(row["gain_n"], "seed")
        counts = " / ".join(str(row[name]) for name in ("higher", "equal", "lower"))
        others = f" ({row['diverged']} diverged)" if row["diverged"] else ""
        blocks.setdefault(group, []).append(
            (
                Cell(text=arm_name(row["arm"]), note=f"{group}, {seeds}"),
                Cell(text=row["verdict"], bold=gain[0].bold),
                *gain,
                Cell(text=f"{counts}{others}", value=row["higher"]),
            )
        )
    tests = counted(verdicts["gain_p"].count(), "test")
    return Table(
        title=words.title,
        heads=(
            *("Comparison", "Verdict", words.head, "95 % interval"),
            *("p", "p adjusted", "Higher / same / lower"),
        ),
        blocks=tuple(map(tuple, blocks.values())),
        notes=(
            f"{words.head}: {words.quantity} minus that of the plain run of the same "
            f"seed ({words.unit}), averaged first over the optimizers and learning "
            "rates that every seed has, with its 95 % interval over the seeds and the "
            f"p value of a paired t test. P adjusted: for {tests} (Benjamini and "
            f"Hochberg). Verdict: better or worse if p adjusted is below {LEVEL:g}, "
            "otherwise undecided. Higher, same, lower: the number of pairs of runs in "
            f"which the {words.quantity} is higher, the same or lower with WGD.",
        ),
    )
