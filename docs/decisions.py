"""Writes into decisions.md how often `compare` is right, from simulated studies.

    python docs/decisions.py

It replaces the text between `<!-- NAME -->` and `<!-- end -->`. Values of all trials
are normal and independent, so that the differences of two arms to the baseline
correlate by 0.5. Effects and margins are in standard deviations of the difference of a
pair. The test suite compares the decisions here with those of `sequential.judge`, study
by study.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import special, stats

from keras_wgd.experiments.analysis.sequential import Design
from keras_wgd.experiments.analysis.statistics import LEVEL

PAGE = Path(__file__).parent / "decisions.md"
STUDIES = 100_000
LOOKS = Design((4, 6, 8, 10))
FIXED = Design((10,))
DESIGNS = (LOOKS, FIXED)
ARMS = (1, 2, 4)
EFFECTS = (0.5, 0.8, 1.3, 2.3)
MARGINS = (0.5, 1.0, 2.0, 3.0)

# How the values of trials may be distributed; all arms alike.
SHAPES = {
    "normal": lambda generator, size: generator.normal(size=size),
    "normal, rounded to whole standard deviations": (
        lambda generator, size: generator.normal(size=size).round()
    ),
    "uniform": lambda generator, size: generator.uniform(size=size),
    "log-normal": lambda generator, size: generator.lognormal(size=size),
    "normal, but one in ten diverges": lambda generator, size: np.where(
        generator.random(size) < 0.1, -20.0, generator.normal(size=size)
    ),
}

UNDECIDED, BETTER, WORSE, EQUIVALENT = range(4)
DECISIONS = ("undecided", "better", "worse", "equivalent")


def differences(
    effects: Sequence[float], studies: int, pairs: int = 10, seed: int = 0
) -> np.ndarray:
    """Differences to the baseline, by arm, study and pair."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 0.5**0.5, (len(effects) + 1, studies, pairs))
    return values[1:] - values[0] + np.reshape(effects, (-1, 1, 1))


def decide(
    gains: np.ndarray, design: Design, margin: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Decide studies look by look; an arm that is decided gets no more pairs.

    Args:
        gains: As of `differences`.
        design: The looks.
        margin: The margin of equivalence.

    Returns:
        By arm and study: the decision, as an index of `DECISIONS`, and the number of
        pairs.
    """
    arms = len(gains)
    levels = [design.nominal_level(LEVEL / (arms - rank)) for rank in range(arms)]
    decision = np.zeros(gains.shape[:2], "int64")
    pairs = np.full(gains.shape[:2], design.looks[-1])
    smallest, sign = np.ones(gains.shape[:2]), np.zeros(gains.shape[:2])
    for look in design.looks:
        is_open = decision == UNDECIDED
        mean = gains[..., :look].mean(axis=-1)
        error = gains[..., :look].std(axis=-1, ddof=1) / look**0.5
        p = 2 * special.stdtr(look - 1, -np.abs(mean / error))
        is_new = is_open & (p < smallest)
        smallest, sign = np.where(is_new, p, smallest), np.where(is_new, mean, sign)
        called = np.where(sign > 0, BETTER, WORSE)
        decision = np.where(is_open & _holm(smallest, levels), called, decision)
        if margin is not None:
            half = -special.stdtrit(look - 1, levels[0] / 2) * error
            is_within = (mean - half > -margin) & (mean + half < margin)
            decision = np.where(is_open & is_within, EQUIVALENT, decision)
        pairs = np.where(is_open, look, pairs)
    return decision, pairs


def page(studies: int = STUDIES) -> str:
    """The content of the page."""
    text = PAGE.read_text("utf-8")
    for mark, part in parts(studies).items():
        between = f"<!-- {mark} -->\n\n{part}\n\n<!-- end -->"
        pattern = f"<!-- {mark} -->.*?<!-- end -->"
        text = re.sub(pattern, lambda _, new=between: new, text, flags=re.DOTALL)
    return text


def parts(studies: int) -> dict[str, str]:
    """What is written into the page, by name."""
    by_design = ("looks after 4, 6, 8 and 10 pairs", "one look, after 10 pairs")
    power = [(effect, *_power(effect, studies)) for effect in EFFECTS]
    return {
        "errors": _grid(
            ("arms that equal the baseline", *by_design),
            [(arms, *_errors(arms, studies)) for arms in ARMS],
        ),
        "equivalence": _grid(
            ("margin", "true difference: the margin", "true difference: 0"),
            [(margin, *_equivalent(margin, studies)) for margin in MARGINS],
        ),
        "power": _grid(
            ("true difference", by_design[0], "pairs, on average", by_design[1]), power
        ),
        "shapes": _grid(
            ("values of the trials", "one arm", "four arms"),
            [
                (name, *(_shape_errors(shape, arms, studies) for arms in (1, 4)))
                for name, shape in SHAPES.items()
            ],
        ),
        "misuse": _grid(
            ("what is done", "called better or worse"), list(_misuse(studies).items())
        ),
    }


def _errors(arms, studies):
    """How often any of some arms that equal the baseline is called."""
    gains = differences([0.0] * arms, studies)
    for design in DESIGNS:
        decision, _ = decide(gains, design)
        yield _percent((decision != UNDECIDED).any(axis=0))


def _shape_errors(shape, arms, studies):
    """How often any of some arms that equal the baseline is called."""
    values = shape(np.random.default_rng(0), (arms + 1, studies, 10))
    with np.errstate(all="ignore"):  # differences that are all the same
        decision, _ = decide(values[1:] - values[0], LOOKS)
    return _percent((decision != UNDECIDED).any(axis=0))


def _equivalent(margin, studies):
    """How often an arm that differs by the margin, or by nothing, is equivalent."""
    for effect in (margin, 0.0):
        decision, _ = decide(differences([effect], studies), LOOKS, margin)
        yield _percent(decision == EQUIVALENT)


def _power(effect, studies):
    gains = differences([effect], studies)
    decision, pairs = decide(gains, LOOKS)
    yield from (_percent(decision == BETTER), f"{pairs.mean():.1f}")
    yield _percent(decide(gains, FIXED)[0] == BETTER)


def _misuse(studies):
    """How often an arm that equals the baseline is called in other ways."""
    gains = differences([0.0], studies, pairs=20)[0]

    def called(looks, level):
        p = np.array([stats.ttest_1samp(gains[:, :n], 0, axis=1).pvalue for n in looks])
        return (p < level).any(axis=0)

    level, every = LOOKS.nominal_level(), range(2, 11)
    longer = Design.of(20)
    more = called(longer.looks, longer.nominal_level())
    return {
        "p < 0.05 after each of 2 to 10 pairs": _percent(called(every, LEVEL)),
        f"p < {level:.3f} after each of 2 to 10 pairs": _percent(called(every, level)),
        "`seeds` raised from 10 to 20 where the answer is undecided": _percent(
            called(LOOKS.looks, level) | more
        ),
        "`seeds=20` from the start": _percent(more),
    }


def _holm(smallest: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Which arms are called: from the smallest p value on, until one is too large."""
    order = smallest.argsort(axis=0)
    limits = np.reshape(levels, (-1, 1))
    ranked = np.take_along_axis(smallest, order, axis=0) <= limits
    called = np.zeros(smallest.shape, "bool")
    np.put_along_axis(called, order, np.logical_and.accumulate(ranked), axis=0)
    return called


def _percent(is_so):
    return f"{100 * np.mean(is_so):.1f} %"


def _grid(heads, rows):
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
