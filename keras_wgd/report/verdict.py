"""What a study says of WGD, in plain words, for it or against it."""

import dataclasses
from collections.abc import Mapping, Sequence

import polars as pl

from keras_wgd.experiments.analysis import comparisons, statistics
from keras_wgd.experiments.analysis.comparisons import Verdict
from keras_wgd.experiments.analysis.statistics import LEVEL
from keras_wgd.experiments.spec import ARMS
from keras_wgd.paper import published
from keras_wgd.paper.cells import is_significant, p_text
from keras_wgd.paper.labels import arm_name, counted, distinct_names

_SMOOTHNESS = "train_roughness"


@dataclasses.dataclass(frozen=True)
class Judged:
    """A verdict as one of a family of tests: those of one measure.

    Attributes:
        verdict: The verdict.
        group: What its group of runs is called.
        p: Its p value, adjusted for the family; `None` where there is none.
        tests: How many tests there are in the family.
    """

    verdict: Verdict
    group: str
    p: float | None
    tests: int

    @property
    def outcome(self) -> str:
        """Where WGD is shown to move the measure: higher, lower or open."""
        mean = self.verdict.difference.mean
        if mean is None or not is_significant(self.p):
            return "open"
        return "higher" if mean > 0 else "lower"


def judged(runs: pl.DataFrame, measure: str) -> list[Judged]:
    """The verdicts on one measure: one for each comparison.

    Args:
        runs: As `frames.frame` gives them.
        measure: A column of it.
    """
    verdicts = comparisons.verdicts(runs, measure)
    adjusted = statistics.adjusted([v.difference.p for v in verdicts])
    tests = sum(p is not None for p in adjusted)
    return [
        Judged(verdict, group, p, tests)
        for verdict, group, p in zip(
            verdicts, _group_names(verdicts), adjusted, strict=True
        )
    ]


def words(runs: pl.DataFrame) -> list[str]:
    """Paragraphs: first the outcome in one sentence, then each comparison's numbers.

    Args:
        runs: As `frames.frame` gives them.
    """
    accuracies = judged(runs, "accuracy")
    if not accuracies:
        return [
            "No run with WGD has beside it the plain run of the same setting, "
            "optimizer, learning rate and seed, so there is nothing to compare."
        ]
    roughness = {_key(found.verdict): found for found in judged(runs, _SMOOTHNESS)}
    return [
        _headline(accuracies),
        *(
            f"{_accuracy(found)} {_smoothness(roughness.get(_key(found.verdict)))}"
            for found in accuracies
        ),
        *_diverged(runs),
    ]


def paper_words() -> str:
    """What the paper's own tables say."""
    pairs = [
        (table.rows[name, False], table.rows[name, True])
        for table in published.TABLES
        for name in published.OPTIMIZERS
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


def _headline(found: Sequence[Judged]) -> str:
    """The outcome of all comparisons in a sentence; by arm where it is one group."""
    arms: dict[str, list[str]] = {"higher": [], "lower": [], "open": []}
    for one in found:
        arms[one.outcome].append(arm_name(one.verdict.arm))
    if len({one.group for one in found}) == 1:
        return f"With {found[0].group}, {_said(arms)}."
    number, higher, lower, rest = len(found), *map(len, arms.values())
    if rest == number:
        return (
            "These runs do not tell whether WGD changes the accuracy: in none of "
            f"{number} comparisons is the difference significant (p adjusted below "
            f"{LEVEL:g})."
        )
    moved = [
        f"{verb} accuracy in {count}"
        for verb, count in (("gains", higher), ("loses", lower))
        if count
    ]
    moved[0] += f" of {number} comparisons"
    tail = f"; in the other {rest} these runs do not tell" if rest else ""
    return f"WGD {' and '.join(moved)}{tail}."


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


def _said(arms: Mapping[str, Sequence[str]]) -> str:
    """The outcomes of a group in words."""
    found = [
        f"{_list(arms[outcome])} {one if len(arms[outcome]) == 1 else more} accuracy "
        "in these runs"
        for outcome, one, more in (
            ("higher", "gains", "gain"),
            ("lower", "loses", "lose"),
        )
        if arms[outcome]
    ]
    if arms["open"]:
        found.append(
            f"these runs do not tell whether {_list(arms['open'], 'or')} helps"
        )
    return _list(found)


def _accuracy(found: Judged) -> str:
    verdict = found.verdict
    pairs = "pair" if verdict.pairs == 1 else "pairs"
    counts = (
        f"With {found.group}, {arm_name(verdict.arm)}: of {verdict.pairs} {pairs} of "
        f"runs the accuracy is higher with it in {verdict.higher}, lower in "
        f"{verdict.lower} and the same in {verdict.equal}."
    )
    mean = _mean(found, 100, 2, "percentage points")
    if not verdict.blocks:
        return f"{counts} No optimizer and learning rate has a pair for every seed."
    if verdict.blocks == 1:
        return f"{counts} The gain is {mean}."
    return (
        f"{counts} Averaged first over the {verdict.blocks} optimizers and learning "
        f"rates that every seed has, the gain is {mean}."
    )


def _smoothness(found: Judged | None) -> str:
    if found is None:
        return "Too few epochs to say how smooth training is."
    verdict = found.verdict
    shown = {
        "higher": "Training is rougher with it in these runs.",
        "lower": "Training is smoother with it in these runs.",
        "open": "These runs do not tell whether training is smoother with it.",
    }
    left_out = ""
    if verdict.undecided:
        left_out = f", {verdict.undecided} not compared because a run diverged"
    pairs = "pair" if verdict.pairs == 1 else "pairs"
    return (
        f"The loss in training is smoother with it in {verdict.lower} of "
        f"{verdict.pairs} {pairs}{left_out}; its roughness changes by "
        f"{_mean(found, 1, 4, 'nats per epoch')}. {shown[found.outcome]}"
    )


def _mean(found, scale, digits, unit):
    mean = found.verdict.difference
    if mean.mean is None:
        return "an unknown amount"
    text = f"{scale * mean.mean:+.{digits}f} {unit} (n = {counted(mean.n, 'seed')}"
    if mean.low is None:
        reason = "of one" if mean.n == 1 else "where all are the same"
        return f"{text}; there is no interval {reason})"
    adjusted = ""
    if found.tests > 1:
        adjusted = f"; {_p(found.p)} when adjusted for {found.tests} tests"
    return (
        f"{text}; 95 % interval {scale * mean.low:+.{digits}f} to "
        f"{scale * mean.high:+.{digits}f}; {_p(mean.p)}{adjusted})"
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
