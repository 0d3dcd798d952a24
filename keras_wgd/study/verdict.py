"""What a study says of WGD, in plain words, for it or against it."""

from collections.abc import Mapping, Sequence

import polars as pl

from keras_wgd.study import paper, statistics
from keras_wgd.study.labels import arm_name, counted, distinct_names
from keras_wgd.study.layout import p_text
from keras_wgd.study.spec import ARMS
from keras_wgd.study.statistics import Verdict

LEVEL = 0.05


def words(runs: pl.DataFrame) -> list[str]:
    """Paragraphs: first the outcome, then the numbers of each group and arm.

    Args:
        runs: As `tables.frame` gives them.
    """
    accuracies = statistics.verdicts(runs, "accuracy")
    if not accuracies:
        return [
            "No run with WGD has beside it the plain run of the same setting, "
            "optimizer, learning rate and seed, so there is nothing to compare."
        ]
    names = _group_names(accuracies)
    adjusted = statistics.adjusted([v.difference.p for v in accuracies])
    tests = sum(p is not None for p in adjusted)
    outcomes: dict[str, dict[str, list[str]]] = {}
    for name, verdict, p in zip(names, accuracies, adjusted, strict=True):
        arms = outcomes.setdefault(name, {"gain": [], "loss": [], "open": []})
        arms[_outcome(verdict, p)].append(arm_name(verdict.arm))
    first = "; ".join(f"with {name}, {_said(arms)}" for name, arms in outcomes.items())
    smoothness = {_key(v): v for v in statistics.verdicts(runs, "train_roughness")}
    return [
        f"W{first[1:]}.",
        *(
            f"{_accuracy(name, v, p, tests)} {_smoothness(smoothness.get(_key(v)))}"
            for name, v, p in zip(names, accuracies, adjusted, strict=True)
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


def _group_names(verdicts: Sequence[Verdict]) -> list[str]:
    """What the group of each verdict is called."""
    settings = list({_key(v)[:-2]: v.setting for v in verdicts}.values())
    names = distinct_names(settings)
    rates = {
        True: "at the paper's learning rate",
        False: "at other learning rates",
    }
    return [
        f"{names[settings.index(v.setting)]} {rates[v.at_paper_rate]}" for v in verdicts
    ]


def _key(verdict: Verdict) -> tuple:
    return (*verdict.setting.values(), verdict.at_paper_rate, verdict.arm)


def _outcome(verdict: Verdict, p: float | None) -> str:
    mean = verdict.difference.mean
    if p is None or mean is None or p >= LEVEL:
        return "open"
    return "gain" if mean > 0 else "loss"


def _said(arms: Mapping[str, Sequence[str]]) -> str:
    """The outcomes of a group in words."""
    found = [
        f"{_list(arms[outcome])} {one if len(arms[outcome]) == 1 else more} accuracy "
        "in these runs"
        for outcome, one, more in (("gain", "gains", "gain"), ("loss", "loses", "lose"))
        if arms[outcome]
    ]
    if arms["open"]:
        found.append(
            f"these runs do not tell whether {_list(arms['open'], 'or')} helps"
        )
    return _list(found)


def _accuracy(name: str, verdict: Verdict, adjusted: float | None, family: int) -> str:
    pairs = "pair" if verdict.pairs == 1 else "pairs"
    counts = (
        f"With {name}, {arm_name(verdict.arm)}: of {verdict.pairs} {pairs} of runs the "
        f"accuracy is higher with it in {verdict.higher}, lower in {verdict.lower} and "
        f"the same in {verdict.equal}."
    )
    more = ""
    if family > 1 and adjusted is not None:
        more = f"; {_p(adjusted)} when adjusted for {family} tests"
    mean = _mean(verdict, 100, 2, "percentage points", more)
    if not verdict.blocks:
        return f"{counts} No optimizer and learning rate has a pair for every seed."
    if verdict.blocks == 1:
        return f"{counts} The gain is {mean}."
    return (
        f"{counts} Averaged first over the {verdict.blocks} optimizers and learning "
        f"rates that every seed has, the gain is {mean}."
    )


def _smoothness(verdict: Verdict | None) -> str:
    if verdict is None:
        return "Too few epochs to say how smooth training is."
    left_out = ""
    if verdict.undecided:
        left_out = f", {verdict.undecided} not compared because a run diverged"
    pairs = "pair" if verdict.pairs == 1 else "pairs"
    return (
        f"The loss in training is smoother with it in {verdict.lower} of "
        f"{verdict.pairs} {pairs}{left_out}; its roughness changes by "
        f"{_mean(verdict, 1, 4, 'nats per epoch')}."
    )


def _mean(verdict, scale, digits, unit, more=""):
    found = verdict.difference
    if found.mean is None:
        return "an unknown amount"
    text = f"{scale * found.mean:+.{digits}f} {unit} (n = {counted(found.n, 'seed')}"
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


def _list(parts: Sequence[str], last: str = "and") -> str:
    """Parts as "a, b and c"."""
    *others, end = parts
    return f"{', '.join(others)} {last} {end}" if others else end
