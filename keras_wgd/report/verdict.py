"""The verdict of a study: does WGD help in these runs?"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from keras_wgd.experiments.analysis import comparisons
from keras_wgd.experiments.analysis.frames import MEASURES, SETTING, TASK
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.spec import ARMS
from keras_wgd.paper import cells, published
from keras_wgd.paper.cells import Cell, Table
from keras_wgd.paper.display_names import arm_name, counted, distinct_names


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


def verdicts(
    runs: pl.DataFrame, measures: Sequence[str] = ("accuracy", "train_roughness")
) -> pl.DataFrame:
    """One row for each comparison: a measure, a setting, some rates and an arm.

    Args:
        runs: As `Analysis.runs`.
        measures: Some of `frames.MEASURES`.

    Returns:
        As from `comparisons.verdicts`. The runs of a setting at the paper's
        learning rate make one group, those at other rates another.
    """
    grouped = runs.with_columns(
        at_paper_rate=pl.col("learning_rate") == published.LEARNING_RATE
    ).sort(pl.struct(SETTING).rle_id(), ~pl.col("at_paper_rate"), maintain_order=True)
    group = (*SETTING, "at_paper_rate")
    best = {name: MEASURES[name] for name in measures}
    return comparisons.verdicts(grouped, best, group, TASK)


def headline(judged: pl.DataFrame, measure: str = "accuracy") -> str:
    """The outcome of all comparisons of a measure, in one sentence.

    Args:
        judged: As from `verdicts`.
        measure: One that is judged there.
    """
    judged = judged.filter(measure=measure)
    words, number = _WORDS[measure], len(judged)
    if not number:
        return (
            "There is nothing to compare: no run with WGD has a plain run with the "
            "same setting, optimizer, learning rate and seed."
        )
    parts = []
    for verdict, verb in (("better", words.better), ("worse", words.worse)):
        arms = judged.filter(verdict=verdict)["arm"]
        if len(arms):
            names = ""
            if judged.select(*SETTING, "at_paper_rate").n_unique() == 1:
                names = f" ({', '.join(map(arm_name, arms))})"
            parts.append(f"{verb} in {len(arms)}{names}")
    if not parts:
        return (
            f"These runs do not tell whether WGD changes the {words.quantity}: in none "
            f"of {counted(number, 'comparison')} is the difference significant "
            f"(p adjusted below {LEVEL:g})."
        )
    rest = judged.filter(verdict="undecided").height
    tail = f"; {rest} {'is' if rest == 1 else 'are'} undecided" if rest else ""
    return f"Of {counted(number, 'comparison')}, WGD {' and '.join(parts)}{tail}."


def diverged(runs: pl.DataFrame) -> str:
    """A sentence on the runs that diverged; empty if none did.

    Args:
        runs: As `Analysis.runs`.
    """
    arms = runs.filter("diverged")["arm"].to_list()
    if not arms:
        return ""
    counts = [f"{arms.count(arm)} {arm_name(arm)}" for arm in ARMS if arm in arms]
    return (
        f"{len(arms)} of {len(runs)} runs diverged: a loss is not finite "
        f"({', '.join(counts)})."
    )


def sections(judged: pl.DataFrame) -> list[tuple[str, Table]]:
    """For each measure a sentence, and a table with a row for each comparison.

    Args:
        judged: As from `verdicts`.
    """
    return [
        (headline(part, measure), _table(part, measure))
        for (measure,), part in judged.group_by("measure", maintain_order=True)
    ]


def markdown(runs: pl.DataFrame, judged: pl.DataFrame) -> str:
    """The verdict in Markdown.

    Args:
        runs: As `Analysis.runs`.
        judged: As from `verdicts`.
    """
    parts = [f"{words}\n\n{table.markdown()}" for words, table in sections(judged)]
    sentences = [headline(judged)] if judged.is_empty() else []
    if diverged(runs):
        sentences.append(diverged(runs))
    return "\n".join([*parts, *(f"{sentence}\n" for sentence in sentences)])


def group_names(judged: pl.DataFrame) -> list[str]:
    """The name of the group of runs of each row of `verdicts`."""
    settings = judged.select(SETTING).unique(maintain_order=True)
    names = dict(zip(settings.rows(), distinct_names(settings.to_dicts()), strict=True))
    rates = {True: "at the paper's learning rate", False: "at other learning rates"}
    return [
        f"{names[setting]} {rates[at_paper_rate]}"
        for setting, at_paper_rate in zip(
            judged.select(SETTING).rows(), judged["at_paper_rate"], strict=True
        )
    ]


def _table(judged: pl.DataFrame, measure: str) -> Table:
    words = _WORDS[measure]
    blocks: dict[str, list[tuple[Cell, ...]]] = {}
    for group, row in zip(group_names(judged), judged.to_dicts(), strict=True):
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
    tests = counted(judged["gain_p"].count(), "test")
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
