"""The analysis of docs/evidence-plan.md, from the run folders, with NumPy and SciPy.

It shares no code with the package.

    python docs/evidence.py
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parents[1] / "examples" / "results" / "evidence"
LEVEL, MARGIN = 0.05, 0.005
OPTIMIZERS = ("sgdm", "adam", "nadam", "radam")

# The family: number in the plan, comparison, arm, the sign that is expected.
FAMILY = [
    *((1, f"b-{name}", "fan_in", 1) for name in ("sgdm", "adam")),
    *((2, f"a-{name}", "fan_in", 1) for name in OPTIMIZERS),
    *((3, f"a-{name}", "filters", -1) for name in OPTIMIZERS),
    *((4, f"b-{name}", "filters", 0) for name in ("sgdm", "adam")),
    *((5, f"d-{name}", "fan_in", 1) for name in ("sgdm", "adam")),
    *((5, f"d-{name}", "filters", 0) for name in ("sgdm", "adam")),
]


def trials(folder):
    """`{(arm, seed): result}` of the trials of a comparison, without the tuning."""
    found = {}
    for path in sorted(folder.glob("trial-*/result.json")):
        spec = json.loads((path.parent / "spec.json").read_text())
        if not spec["tuning"]:
            found[spec["arm"], spec["seed"]] = json.loads(path.read_text())
    return found


def tail_mean(result, curve, epochs):
    """The mean of a curve over its last epochs; NaN if one is not finite."""
    values = [math.nan if v is None else v for v in result["curves"][curve]]
    return float(np.mean(values[-epochs:]))


def roughness(result):
    """The root mean square of the second difference of the training loss."""
    losses = [math.nan if v is None else v for v in result["curves"]["cross_entropy"]]
    return float(np.sqrt(np.mean(np.diff(losses, 2) ** 2)))


def differences(name, arm, measure):
    """The differences of an arm to the plain runs, by seed."""
    found = trials(RESULTS / name)
    values = {key: measure(result) for key, result in found.items()}
    return _pairs(values, arm)


def accuracy(name):
    """The metric of a comparison."""
    epochs = 1 if name.startswith("d") else 3
    return lambda result: tail_mean(result, "val_accuracy", epochs)


def _pairs(values, arm):
    finite = [value for value in values.values() if math.isfinite(value)]
    counted = {
        key: value if math.isfinite(value) else min(finite)
        for key, value in values.items()
    }
    seeds = sorted(seed for name, seed in counted if name == arm)
    return np.array(
        [
            counted[arm, seed] - counted["plain", seed]
            for seed in seeds
            if ("plain", seed) in counted
        ]
    )


def holm(p_values):
    """P values adjusted by Holm's method."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def tested(gains):
    """Mean, interval and p value of a paired t test."""
    test = stats.ttest_1samp(gains, 0.0)
    low, high = test.confidence_interval(0.95)
    return float(gains.mean()), float(low), float(high), float(test.pvalue)


def verdict(sign, gain, low, high, adjusted):
    """Confirmed, refuted or not confirmed, as the plan says."""
    if adjusted < LEVEL:
        return "confirmed" if not sign or sign * gain > 0 else "refuted"
    if sign and low > -MARGIN and high < MARGIN:
        return "refuted"
    return "not confirmed"


def main():
    """Print the table of the family, as far as its runs are there."""
    rows = [
        (number, name, arm, sign, tested(differences(name, arm, accuracy(name))))
        for number, name, arm, sign in FAMILY
        if len(differences(name, arm, accuracy(name))) > 1
    ]
    by_decay = [differences(f"c-{d}", "fan_in", accuracy("c")) for d in ("0", "5e-3")]
    if min(map(len, by_decay)) > 1:
        rows.append((6, "c", "fan_in", 0, tested(by_decay[1] - by_decay[0])))
    adjusted = holm([row[4][3] for row in rows]) if rows else []
    print("| | comparison | arm | gain (points) | 95 % interval | p | p adjusted | |")
    print("| --- | --- | --- | ---: | --- | ---: | ---: | --- |")
    for (number, name, arm, sign, found), p in zip(rows, adjusted, strict=True):
        gain, low, high, raw = found
        what = verdict(sign, gain, low, high, p)
        print(
            f"| {number} | {name} | `{arm}` | {100 * gain:+.2f} "
            f"| {100 * low:+.2f} to {100 * high:+.2f} | {raw:.2g} | {p:.2g} | {what} |"
        )


if __name__ == "__main__":
    main()
