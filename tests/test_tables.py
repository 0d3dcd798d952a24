"""The tables of a study: of the page, in Markdown, and in a terminal."""

import dataclasses
import io

import pytest
from rich.console import Console
from scipy import stats
from support.results import result_of
from support.studies import ACCURACY, DIGITS, SPEC, runs_of, study

from keras_wgd.cli import tables
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import ARMS
from keras_wgd.report import cells, layout, report, verdict

pytestmark = pytest.mark.any_backend


def text_of(results, width=80):
    """What a terminal shows."""
    console = Console(file=io.StringIO(), width=width)
    for table in tables.rich_tables(Analysis.of(results).summary):
        console.print(table)
    return console.file.getvalue()


def test_blocks():
    found = [
        result_of(dataclasses.replace(SPEC, learning_rate=rate, seed=seed), arm)
        for rate in (0.1, 0.01)
        for arm in ("plain", "filters")
        for seed in range(2)
    ]
    (table,) = layout.metric_tables(Analysis.of(found).summary)
    assert [[cells[1].text for cells in block] for block in table.blocks] == [
        ["0.01", "0.01"],
        ["0.1", "0.1"],
    ]


def test_metric_table():
    (table, *_) = layout.metric_tables(Analysis.of(study()).summary)
    assert table.title == (
        "Table 6: DenseNet121 on CIFAR-100; 10,000 training images, 32 px, 4 epochs, "
        "on jax"
    )
    assert table.heads == (
        *("Optimizer", "Rate", "Seeds", "Accuracy"),
        *("Gain", "95 % interval", "p", "p adjusted"),
        *("Loss", "Mean recall", "Mean precision", "CKS"),
    )
    radam = table.blocks[-1]
    plain, filters, fan_in = radam
    assert [cell.text for cell in plain[:4]] == ["RAdam", "0.01", "3", "61.33 ± 3.79"]
    assert plain[3].paper == "63.23"
    assert filters[0].text == "WGD RAdam (filters)"
    assert [cell.paper for cell in (filters[3], *filters[8:])] == [
        "70.35",
        "2.0094",
        "70.35",
        "70.73",
        "70.05",
    ]
    gains = [0.02, 0.01, 0.01]
    interval = stats.ttest_1samp(gains, 0).confidence_interval()
    assert filters[4].text == "+1.33"
    assert filters[5].text == f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
    assert filters[6].text == f"{stats.ttest_1samp(gains, 0).pvalue:.3f}"
    assert fan_in[0].text == "WGD RAdam (fan_in-update)"
    assert plain[4:8] == (cells.Cell(),) * 4


def test_metric_table_without_the_paper():
    *_, table = layout.metric_tables(Analysis.of(study()).summary)
    assert table.title == "resnet8 on digits; 2 epochs, on jax"
    assert not any(
        cell.paper for block in table.blocks for row in block for cell in row
    )


def test_diverged_runs():
    (table, *_) = layout.metric_tables(Analysis.of(study()).summary)
    plain, filters = table.blocks[1]
    assert [cell.text for cell in plain[:4]] == ["SGDM", "0.1", "1", "1.00"]
    assert plain[8].text == "diverged"
    assert filters[4].text == "+49.00"
    assert any("1 of 13 runs diverged" in note for note in table.notes)
    some = [
        result_of(dataclasses.replace(SPEC, seed=seed), losses=losses)
        for seed, losses in enumerate([[3.0] * 4, [1.0] * 4, [float("nan")] * 4])
    ]
    better = result_of(SPEC, arm="filters", losses=[2.5] * 4)
    (table,) = layout.metric_tables(Analysis.of([*some, better]).summary)
    ((plain, filters),) = table.blocks
    assert plain[8].text == "2.0000 ± 12.7062 (2 of 3)"


def bold(rows, spec=SPEC):
    """Of the cells of each row: the heads of those that are bold."""
    (table,) = layout.metric_tables(Analysis.of(rows).summary)
    (block,) = table.blocks
    return [
        {head for head, cell in zip(table.heads, row, strict=True) if cell.bold}
        for row in block
    ]


def accuracies(**rows):
    return runs_of({("radam", arm): row for arm, row in rows.items()})


def test_bold_is_significantly_better():
    plain = [0.50, 0.51, 0.52]
    better, worse = [0.55, 0.561, 0.571], [0.45, 0.461, 0.472]
    open_ = [0.50, 0.53, 0.50]
    for row in (better, worse):
        assert stats.ttest_rel(row, plain).pvalue < 0.01
    assert stats.ttest_rel(open_, plain).pvalue > 0.05
    gained = {"Accuracy", "Gain"}
    assert bold(accuracies(plain=plain, filters=better)) == [set(), gained]
    # Worse: the plain one is the better of the two.
    assert bold(accuracies(plain=plain, filters=worse)) == [{"Accuracy"}, {"Gain"}]
    assert bold(accuracies(plain=plain, filters=open_)) == [set(), set()]
    # Not better than all.
    found = bold(accuracies(plain=plain, filters=worse, fan_in=open_))
    assert found == [set(), {"Gain"}, set()]
    found = bold(accuracies(plain=plain, filters=better, fan_in=worse))
    assert found == [set(), gained, {"Gain"}]


def test_highest_mean_is_not_bold_by_chance():
    """Nor is one of two that are the same."""
    found = bold(accuracies(plain=[0.1, 0.2, 0.3], filters=[0.3, 0.1, 0.9]))
    assert found == [set(), set()]
    found = bold(accuracies(plain=[0.1, 0.2, 0.3], filters=[0.1, 0.2, 0.3]))
    assert found == [set(), set()]


def test_bold_is_by_the_adjusted_p_value():
    plain = [0.50, 0.51, 0.52]
    rows = {
        "filters": [0.52, 0.54, 0.535],
        "fan_in": [0.48, 0.53, 0.51],
        "kernels": [0.50, 0.53, 0.50],
    }
    p = [stats.ttest_rel(row, plain).pvalue for row in rows.values()]
    assert p[0] < 0.05 < stats.false_discovery_control(p)[0]
    only = {"filters": rows["filters"]}
    assert bold(accuracies(plain=plain, **only)) == [set(), {"Accuracy", "Gain"}]
    assert bold(accuracies(plain=plain, **rows)) == [set()] * 4


def test_lower_loss_is_better():
    losses = {"plain": [1.0, 1.1, 1.2, 1.3], "filters": [0.8, 0.91, 0.99, 1.11]}
    found = [
        result_of(dataclasses.replace(SPEC, seed=seed), arm, losses=[loss] * 4)
        for arm, row in losses.items()
        for seed, loss in enumerate(row)
    ]
    assert bold(found) == [set(), {"Loss"}]
    # Of the runs that did not diverge: it may be low because the others are left out.
    spec, nan = dataclasses.replace(SPEC, seed=3), [float("nan")] * 4
    assert bold([*found[:-1], result_of(spec, "filters", losses=nan)]) == [set(), set()]


def test_no_mean_is_better_if_all_runs_diverge():
    nan = [float("nan")] * 4
    found = [result_of(SPEC, arm=arm, losses=nan) for arm in ("plain", "filters")]
    (table,) = layout.metric_tables(Analysis.of(found).summary)
    assert [row[8].text for row in table.blocks[0]] == ["diverged"] * 2
    assert bold(found) == [set(), set()]
    assert table.blocks[0][1][4].text == "+0.00"


def test_terminal():
    text = text_of(runs_of(ACCURACY, DIGITS))
    assert "…" not in text
    assert " ".join(text.split()).startswith(
        "resnet8 on digits; 2 epochs, on jax: mean±half of the 95 % interval over 3 "
        "seeds optimizer"
    )
    row = next(line for line in text.splitlines() if "WGD filters" in line)
    assert "63.33±18.97" in row
    assert "+3.33±18.97" in row
    assert "2.000" in row
    assert ".529" in row


def test_widest_terminal_table():
    rows = [-0.1, 0.2, 0.1]
    found = runs_of(
        {
            (optimizer, arm): [0.5 + 0.3 * (i + place) % 0.5 for i in rows]
            for optimizer in OPTIMIZERS
            for place, arm in enumerate(ARMS)
        }
    )
    text = text_of(found)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_terminal_without_seeds_and_pairs():
    """One seed has no interval, and an arm without a plain run no gain."""
    others = {"mean_recall": 0.48, "mean_precision": 0.52, "kappa": 0.47}
    text = text_of([result_of(DIGITS, "filters", accuracy=0.55, **others)])
    title = text.splitlines()[0].rstrip()
    assert title == "resnet8 on digits; 2 epochs, on jax: one seed"
    row = next(line for line in text.splitlines() if "WGD filters" in line)
    assert " ".join(row.split()) == "WGD filters 55.00 2.000 48.00 52.00 47.00 - -"


def test_markdown():
    analysis = Analysis.of(study())
    text = report.tables(analysis, verdict.judge(analysis.runs))
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("| WGD RAdam (filters)"))
    assert "| 62.67 ± 2.87 (70.35) |" in row
    assert lines[0] == "### Gain in accuracy, by comparison"
    place = "DenseNet121 on CIFAR-100 at the paper's learning rate"
    start = f"| WGD filters ({place}, 3 seeds) | undecided | +1.33 |"
    assert any(line.startswith(start) for line in lines)
    (table, *_) = layout.metric_tables(Analysis.of(study()).summary)
    assert row.count("|") == len(table.heads) + 1
    assert "### Roughness: DenseNet121 on CIFAR-100" in text
    assert "### Roughness: resnet8" not in text


def test_significantly_smoother_is_bold():
    spec = dataclasses.replace(SPEC, epochs=3)
    roughness = {"plain": [1.0, 1.1, 1.2], "filters": [0.8, 0.91, 0.99]}
    found = [
        dataclasses.replace(
            run := result_of(dataclasses.replace(spec, seed=seed), arm),
            curves=run.curves
            | {"train_loss": [2.0, 2.0 - value / 2, 2.0], "test_loss": [2.0] * 3},
        )
        for arm, row in roughness.items()
        for seed, value in enumerate(row)
    ]
    assert stats.ttest_rel(*roughness.values()).pvalue < 0.01
    (table,) = layout.roughness_tables(Analysis.of(found).summary)
    ((plain, filters),) = table.blocks
    half = stats.t.ppf(0.975, 2) * stats.sem(roughness["filters"])
    assert [cell.text for cell in filters[3:5]] == [f"0.9000 ± {half:.4f}", "-0.2000"]
    assert [i for i, cell in enumerate(plain) if cell.bold] == []
    assert [i for i, cell in enumerate(filters) if cell.bold] == [3, 4]


def test_terminal_names_settings():
    found = [
        result_of(SPEC, environment={"backend": "jax", "settings": record})
        for record in ({}, {"JAX_ENABLE_X64": "1"})
    ]
    text = " ".join(text_of(found, 200).split())
    assert "on jax, with JAX_ENABLE_X64=1: one seed" in text
    assert text.count("on jax") == 2
