"""What a study says of WGD, in plain words, for it or against it."""

from collections.abc import Sequence

import polars as pl

from keras_wgd.study import paper, statistics
from keras_wgd.study.labels import arm_name
from keras_wgd.study.layout import p_text
from keras_wgd.study.spec import ARMS
from keras_wgd.study.statistics import Verdict

LEVEL = 0.05


def words(runs: pl.DataFrame) -> list[str]:
    """Paragraphs: first the outcome, then the numbers of each arm.

    Args:
        runs: As `tables.frame` gives them.
    """
    accuracies = _verdicts(runs, "accuracy")
    if not accuracies:
        return [
            "No run with WGD has beside it the plain run of the same setting, "
            "optimizer, learning rate and seed, so there is nothing to compare."
        ]
    adjusted = statistics.adjusted([v.difference.p for v in accuracies])
    outcomes = [_outcome(v, p) for v, p in zip(accuracies, adjusted, strict=True)]
    first = f"{_list(outcomes)}."
    return [
        f"{first[0].upper()}{first[1:]}",
        *(
            f"{_accuracy(v, p, len(accuracies))} {_smoothness(runs, v.arm)}"
            for v, p in zip(accuracies, adjusted, strict=True)
        ),
        *_diverged(runs),
    ]


def paper_words() -> str:
    """What the paper's own tables say."""
    pairs = [
        (table.rows[name, False], table.rows[name, True])
        for table in paper.TABLES
        for name in paper.OPTIMIZERS
    ]
    gains = [with_wgd[0] - plain[0] for plain, with_wgd in pairs]
    losses = sum(with_wgd[1] < plain[1] for plain, with_wgd in pairs)
    return (
        f"The paper reports {len(pairs)} pairs of runs (Tables 3 to 8). With WGD the "
        f"accuracy is higher in {sum(gain > 0 for gain in gains)} of them, by "
        f"{sum(gains) / len(gains):.2f} percentage points on average "
        f"({min(gains):+.2f} to {max(gains):+.2f}), and the loss is lower in {losses}. "
        "It says that WGD smooths the training curve, and shows curves of RAdam. One "
        "run each gives no interval and no test."
    )


def _verdicts(runs, measure):
    found = (statistics.verdict(runs, measure, arm) for arm in ARMS if arm != "plain")
    return [verdict for verdict in found if verdict.pairs]


def _outcome(verdict: Verdict, p: float | None) -> str:
    mean = verdict.difference.mean
    if p is None or mean is None or p >= LEVEL:
        return f"whether {arm_name(verdict.arm)} helps, these runs do not tell"
    if mean > 0:
        return f"{arm_name(verdict.arm)} gains accuracy in these runs"
    return f"{arm_name(verdict.arm)} loses accuracy in these runs"


def _accuracy(verdict: Verdict, adjusted: float | None, family: int) -> str:
    pairs = "pair" if verdict.pairs == 1 else "pairs"
    counts = (
        f"{arm_name(verdict.arm)}: of {verdict.pairs} {pairs} of runs the accuracy is "
        f"higher with it in {verdict.higher}, lower in {verdict.lower} and the same in "
        f"{verdict.equal}."
    )
    more = ""
    if family > 1 and adjusted is not None:
        more = f"; {_p(adjusted)} when adjusted for {family} arms"
    mean = _mean(verdict, 100, 2, "percentage points", more)
    return (
        f"{counts} Averaged first over the optimizers and learning rates of a setting "
        f"and seed, the gain is {mean}."
    )


def _smoothness(runs: pl.DataFrame, arm: str) -> str:
    verdict = statistics.verdict(runs, "train_roughness", arm)
    if not verdict.pairs:
        return "Too few epochs to say how smooth training is."
    left_out = ""
    if verdict.undecided:
        left_out = f", {verdict.undecided} not compared because a run diverged"
    return (
        f"The loss in training is smoother with it in {verdict.lower} of "
        f"{verdict.pairs} pairs{left_out}; its roughness changes by "
        f"{_mean(verdict, 1, 4, 'nats per epoch')}."
    )


def _mean(verdict, scale, digits, unit, more=""):
    found = verdict.difference
    if found.mean is None:
        return "unknown"
    text = f"{scale * found.mean:+.{digits}f} {unit} (n = {found.n}"
    if found.low is None:
        reason = "of one" if found.n == 1 else "where all are the same"
        return f"{text}; there is no interval {reason})"
    return (
        f"{text}; 95 % interval {scale * found.low:+.{digits}f} to "
        f"{scale * found.high:+.{digits}f}; {_p(found.p)}{more})"
    )


def _diverged(runs):
    count = runs["diverged"].sum()
    if not count:
        return []
    by_arm = runs.filter("diverged")["arm"]
    counts = [
        f"{(by_arm == arm).sum()} {arm_name(arm)}"
        for arm in ARMS
        if (by_arm == arm).any()
    ]
    return [
        f"{count} of {len(runs)} runs diverged: a loss of theirs is not finite "
        f"({', '.join(counts)})."
    ]


def _p(p):
    text = p_text(p)
    return f"p {text.replace('<', '< ')}" if text.startswith("<") else f"p = {text}"


def _list(parts: Sequence[str]) -> str:
    return "; ".join(parts)
