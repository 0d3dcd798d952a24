"""The verdict of a study: its sentences, its tables, and what they are based on."""

import dataclasses

import pytest
from scipy import stats
from support.results import result_of
from support.studies import SPEC, runs_of, study

from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.report import verdict

pytestmark = pytest.mark.any_backend

STEADY = {
    ("radam", "plain"): [0.50, 0.51, 0.52],
    ("radam", "filters"): [0.52, 0.535, 0.545],
    ("radam", "fan_in"): [0.48, 0.485, 0.505],
    ("radam", "kernels"): [0.50, 0.53, 0.50],
}
PLACE = "DenseNet121 on CIFAR-100 at the paper's learning rate"


def judge(results):
    return verdict.judge(Analysis.of(results).runs)


def rows_of(results, number=0):
    """The rows of a table of the verdict, as texts; bold ones in asterisks."""
    _, table = verdict.sections(judge(results))[number]
    return [
        [f"**{cell.text}**" if cell.bold else cell.text for cell in row]
        for block in table.blocks
        for row in block
    ]


def notes_of(results):
    """The small print of each row: its group of runs and number of seeds."""
    _, table = verdict.sections(judge(results))[0]
    return [row[0].note for block in table.blocks for row in block]


def test_better_worse_and_undecided():
    found = runs_of(STEADY)
    assert verdict.headline(judge(found)) == (
        "Of 3 comparisons, WGD gains accuracy in 1 (WGD filters) and loses accuracy in "
        "1 (WGD fan_in); 1 is undecided."
    )
    assert notes_of(found) == [f"{PLACE}, 3 seeds"] * 3
    assert rows_of(found) == [
        [
            *("WGD filters", "**better**", "**+2.33**", "+1.62 to +3.05"),
            *("0.005", "0.015", "3 / 0 / 0"),
        ],
        [
            *("WGD fan_in", "**worse**", "**-2.00**", "-3.24 to -0.76"),
            *("0.020", "0.030", "0 / 0 / 3"),
        ],
        [
            *("WGD kernels", "undecided", "+0.00", "-4.97 to +4.97"),
            *("1.000", "1.000", "1 / 1 / 1"),
        ],
    ]


def test_groups_of_runs():
    tuned = dataclasses.replace(SPEC, learning_rate=3e-3)
    short = dataclasses.replace(SPEC, epochs=2)
    gain = {key: STEADY[key] for key in [("radam", "plain"), ("radam", "filters")]}
    more = gain | {
        ("adam", arm): [accuracy + 0.1 for accuracy in row]
        for (_, arm), row in gain.items()
    }
    lost = {("radam", "plain"): [0.5, 0.5, 0.5], ("radam", "filters"): [0.4, 0.41, 0.4]}
    same = {("radam", "plain"): [0.5, 0.5], ("radam", "filters"): [0.49, 0.51]}
    found = [*runs_of(more), *runs_of(lost, tuned), *runs_of(same, short)]
    found.append(result_of(SPEC, arm="kernels"))  # one pair, and so no test
    judged = judge(found)
    assert verdict.headline(judged) == (
        "Of 4 comparisons, WGD gains accuracy in 1 and loses accuracy in 1; 2 are "
        "undecided."
    )
    place = "DenseNet121 on CIFAR-100 ({}) at {}"
    paper, other = "the paper's learning rate", "other learning rates"
    groups = [  # with the most pairs first: 10 in 4 epochs, 2 in 2
        (place.format("4 epochs", paper), "filters", 6, 2),
        (place.format("4 epochs", paper), "kernels", 1, 1),
        (place.format("4 epochs", other), "filters", 3, 1),
        (place.format("2 epochs", paper), "filters", 2, 1),
    ]
    accuracy = judged.filter(measure="accuracy")
    names = verdict.group_names(accuracy)
    rows = accuracy.select("arm", "pairs", "tasks").rows()
    assert [(name, *row) for name, row in zip(names, rows, strict=True)] == groups
    seeds = ["3 seeds", "1 seed", "3 seeds", "2 seeds"]
    assert [note.rpartition(", ")[2] for note in notes_of(found)] == seeds
    # Two epochs are too few for a roughness.
    assert judged.filter(measure="train_roughness")["epochs"].to_list() == [4, 4, 4]
    _, table = verdict.sections(judged)[0]
    assert "P adjusted: for 3 tests (" in table.notes[0]


# Nearly a gain: shown by one test alone, and not by one of three.
NEARLY = {
    ("radam", "plain"): [0.50, 0.51, 0.52],
    ("radam", "filters"): [0.52, 0.54, 0.535],
    ("radam", "fan_in"): [0.48, 0.53, 0.51],
    ("radam", "kernels"): [0.50, 0.53, 0.50],
}


def test_adjusted_p_value_decides():
    plain, *arms = NEARLY.values()
    p = [stats.ttest_rel(row, plain).pvalue for row in arms]
    adjusted = stats.false_discovery_control(p)
    assert p[0] < 0.05 < adjusted[0] < 0.5
    found = runs_of(NEARLY)
    assert verdict.headline(judge(found)) == (
        "These runs do not tell whether WGD changes the accuracy: in none of 3 "
        "comparisons is the difference significant (p adjusted below 0.05)."
    )
    row = rows_of(found)[0]
    assert row[1] == "undecided"
    assert row[4:6] == [f"{p[0]:.3f}", f"{adjusted[0]:.3f}"]


# By arm, the roughness of each seed. That of filters is lower for certain, that of
# kernels nearly always higher, and that of fan_in higher by a single test alone.
ROUGH = {
    "plain": [0.20, 0.21, 0.22, 0.23],
    "filters": [0.10, 0.112, 0.121, 0.13],
    "fan_in": [0.21, 0.23, 0.225, 0.251],
    "kernels": [0.21, 0.20, 0.25, 0.24],
}


def rough_runs(roughness):
    """Runs whose training has this roughness, `{arm: [of seed 0, of seed 1, ...]}`."""
    found = [
        result_of(
            dataclasses.replace(SPEC, epochs=3, seed=seed),
            arm,
            losses=[2.0, 2.0 - value / 2, 2.0],
        )
        for arm, row in roughness.items()
        for seed, value in enumerate(row)
    ]
    straight = {"test_loss": [3.0, 2.0, 1.0]}
    return [dataclasses.replace(r, curves=r.curves | straight) for r in found]


def test_smoothness():
    plain, *arms = ROUGH.values()
    p = [stats.ttest_rel(row, plain).pvalue for row in arms]
    adjusted = stats.false_discovery_control(p)
    assert adjusted[0] < 0.001
    assert p[1] < 0.05 < adjusted[1]
    found = rough_runs(ROUGH)
    assert verdict.headline(judge(found), "train_roughness") == (
        "Of 3 comparisons, WGD makes training smoother in 1 (WGD filters); 2 are "
        "undecided."
    )
    filters, fan_in, kernels = rows_of(found, 1)
    assert filters[:3] == ["WGD filters", "**better**", "**-0.0993**"]
    assert filters[4:] == ["<0.001", "<0.001", "0 / 0 / 4"]
    assert fan_in[1:3] == ["undecided", "+0.0140"]
    assert fan_in[4:] == [f"{p[1]:.3f}", f"{adjusted[1]:.3f}", "4 / 0 / 0"]
    assert kernels[-1] == "3 / 0 / 1"


def test_rougher_training():
    found = rough_runs({"plain": ROUGH["filters"], "filters": ROUGH["plain"]})
    assert verdict.headline(judge(found), "train_roughness") == (
        "Of 1 comparison, WGD makes training rougher in 1 (WGD filters)."
    )
    ((_, answer, gain, *_, counts),) = rows_of(found, 1)
    assert (answer, gain, counts) == ("**worse**", "**+0.0993**", "4 / 0 / 0")


def test_one_seed():
    found = runs_of({key: row[:1] for key, row in STEADY.items()})
    assert "in none of 3 comparisons" in verdict.headline(judge(found))
    for row in rows_of(found):
        assert row[1] == "undecided"
        assert row[3:6] == ["-"] * 3
    assert notes_of(found) == [f"{PLACE}, 1 seed"] * 3


def test_seeds_without_a_common_task():
    found = [
        result_of(dataclasses.replace(SPEC, seed=seed, optimizer=optimizer), arm)
        for seed, optimizer in enumerate(("adam", "radam"))
        for arm in ("plain", "filters")
    ]
    ((_, *numbers, counts),) = rows_of(found)
    assert numbers == ["undecided", "-", "-", "-", "-"]
    assert counts == "0 / 2 / 0"


def test_no_pairs():
    judged = judge([result_of(SPEC)])
    words = verdict.headline(judged)
    assert words.startswith("There is nothing to compare: no run with WGD has a plain")
    assert verdict.sections(judged) == []
    runs = Analysis.of([result_of(SPEC)]).runs
    assert verdict.markdown(runs, judged) == f"{words}\n"


def test_settings_that_are_not_usual_are_named():
    found = [
        result_of(SPEC, arm=arm, environment={"backend": "jax", "settings": record})
        for record in ({}, {"JAX_ENABLE_X64": "1"})
        for arm in ("plain", "filters")
    ]
    usual, other = notes_of(found)
    assert "CIFAR-100 (with JAX_ENABLE_X64=1) at" in other
    assert "JAX_ENABLE_X64" not in usual


def test_diverged_runs():
    found = study()
    assert verdict.diverged(Analysis.of(found).runs) == (
        "1 of 15 runs diverged: a loss is not finite (1 plain)."
    )
    assert verdict.diverged(Analysis.of([result_of(SPEC)]).runs) == ""
    counts = [row[-1] for row in rows_of(found, 1)]
    assert counts == ["0 / 3 / 0", "0 / 3 / 0", "0 / 0 / 0 (1 diverged)"]


def test_markdown():
    runs = Analysis.of(study()).runs
    judged = verdict.judge(runs)
    text = verdict.markdown(runs, judged)
    lines = text.splitlines()
    assert lines[0] == verdict.headline(judged)
    assert lines[2] == "### Gain in accuracy, by comparison"
    assert lines[4].startswith("| Comparison | Verdict | Gain | 95 % interval |")
    assert lines[6].startswith(
        f"| WGD filters ({PLACE}, 3 seeds) | undecided | +1.33 |"
    )
    assert verdict.headline(judged, "train_roughness") in lines
    assert lines[-1] == verdict.diverged(runs)
