import dataclasses
import io

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy import stats
from support.studies import SPEC, result_of, runs_of, study

from keras_wgd.cli import tables
from keras_wgd.experiments.analysis import curves, frames, statistics
from keras_wgd.experiments.optimizers import OPTIMIZERS
from keras_wgd.experiments.spec import ARMS, RunSpec
from keras_wgd.paper import cells, labels, layout
from keras_wgd.report import markdown, verdict

pytestmark = pytest.mark.any_backend

ACCURACY = {
    ("adam", "plain"): [0.50, 0.60, 0.70],
    ("adam", "filters"): [0.55, 0.70, 0.65],
    ("adam", "fan_in"): [0.50, 0.60, 0.70],
    ("sgdm", "plain"): [0.10, 0.20, 0.30],
}
DIGITS = RunSpec(dataset="digits", model="resnet8", optimizer="adam", epochs=2)


@pytest.fixture
def runs():
    return frames.frame(runs_of(ACCURACY, DIGITS))


def text_of(runs, width=80):
    console = Console(file=io.StringIO(), width=width)
    for table in tables.rich_tables(runs):
        console.print(table)
    return console.file.getvalue()


def test_a_run_is_a_row_with_its_setting():
    row = frames.frame([result_of(arm="filters", accuracy=0.75)]).row(0, named=True)
    assert {**row, "train_roughness": None, "test_roughness": None} == {
        "dataset": "cifar100",
        "model": "densenet121",
        "image_size": 32,
        "stem": None,
        "epochs": 4,
        "batch_size": 32,
        "sampler": "weighted",
        "train_size": 10_000,
        "test_size": None,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "epsilon": 1e-10,
        "backend": "jax",
        "settings": "",
        "optimizer": "radam",
        "learning_rate": 0.01,
        "arm": "filters",
        "seed": 0,
        "accuracy": 0.75,
        "loss": 1.25,
        "mean_recall": 0.48,
        "mean_precision": 0.52,
        "kappa": 0.47,
        "train_roughness": None,
        "test_roughness": None,
        "diverged": False,
        "train_loss": 1.25,
        "train_accuracy": 0.75,
        "test_loss": 1.25,
        "test_accuracy": 0.75,
        "norm_ratio": 0.99,
        "seconds": 4.0,
    }
    assert row["train_roughness"] == pytest.approx(np.sqrt((0.5**2 + 0.25**2) / 2))


@pytest.mark.parametrize("backend", [None, 3, ["jax"], "<b>jax</b>", "x" * 9000])
def test_a_backend_that_is_none_is_unknown(backend):
    found = result_of(environment={"backend": backend})
    assert frames.frame([found])["backend"].to_list() == ["unknown"]


def test_runs_with_other_settings_are_no_seeds_of_one_arm():
    """Seed 0 with the usual settings and seed 1 with others, in both arms."""
    found = [
        result_of(
            dataclasses.replace(DIGITS, seed=seed),
            arm,
            environment={"backend": "jax", "settings": record},
            accuracy=accuracy,
        )
        for seed, record in enumerate(({}, {"JAX_ENABLE_X64": "1"}))
        for arm, accuracy in (("plain", 0.5), ("filters", 0.5 + 0.1 * seed))
    ]
    runs = frames.frame(found)
    assert runs["settings"].to_list() == ["", "", *["JAX_ENABLE_X64=1"] * 2]
    summary = frames.summarize(runs)
    assert summary["seeds"].to_list() == [1] * 4
    assert summary["pairs"].to_list() == [0, 1, 0, 1]
    gains = summary.filter(arm="filters")["accuracy_gain"].to_list()
    assert gains == pytest.approx([0, 0.1])
    text = " ".join(text_of(runs, 200).split())
    assert "on jax, with JAX_ENABLE_X64=1: one seed" in text
    _, usual, other = verdict.words(runs)
    assert "digits (with JAX_ENABLE_X64=1) at" in other
    assert "JAX_ENABLE_X64" not in usual
    alone = frames.frame(found[1:3])  # of seed 0 the arm, of seed 1 the plain run
    assert "nothing to compare" in verdict.words(alone)[0]


def test_mean_interval_and_paired_gain(runs):
    summary = frames.summarize(runs)
    order = list(zip(summary["optimizer"], summary["arm"], strict=True))
    assert order == [
        ("sgdm", "plain"),
        ("adam", "plain"),
        ("adam", "filters"),
        ("adam", "fan_in"),
    ]
    row = summary.row(2, named=True)
    values, plain = ACCURACY["adam", "filters"], ACCURACY["adam", "plain"]
    gains = np.subtract(values, plain)
    half = stats.t.ppf(0.975, 2) * stats.sem(gains)
    assert (row["seeds"], row["pairs"], row["diverged"]) == (3, 3, 0)
    assert row["accuracy"] == pytest.approx(np.mean(values))
    assert row["accuracy_high"] - row["accuracy_low"] == pytest.approx(
        2 * stats.t.ppf(0.975, 2) * stats.sem(values)
    )
    assert (row["accuracy_gain"], row["accuracy_gain_low"]) == pytest.approx(
        (gains.mean(), gains.mean() - half)
    )
    p = stats.ttest_rel(values, plain).pvalue
    assert row["accuracy_gain_p"] == pytest.approx(p)
    # The other gain is 0 for every seed, and so has no p value.
    assert row["accuracy_gain_p_adjusted"] == pytest.approx(p)
    last = summary.row(3, named=True)
    assert (last["accuracy_gain"], last["accuracy_gain_p"]) == (0.0, None)


def test_p_values_are_adjusted_within_a_setting():
    """For all of its optimizers and learning rates, and for no other setting's."""
    rows = {
        ("adam", "plain"): [0.5, 0.6, 0.7],
        ("adam", "filters"): [0.51, 0.615, 0.71],
        ("adam", "fan_in"): [0.5, 0.63, 0.69],
        ("sgdm", "plain"): [0.5, 0.6, 0.7],
        ("sgdm", "filters"): [0.52, 0.615, 0.73],
    }
    other = dataclasses.replace(DIGITS, epochs=3)
    more = rows | {("adam", "filters"): [0.6, 0.5, 0.7]}
    rate = dataclasses.replace(DIGITS, learning_rate=0.1)
    found = [*runs_of(rows, DIGITS), *runs_of(rows, rate), *runs_of(more, other)]
    summary = frames.summarize(frames.frame(found))
    families = summary.filter(pl.col("arm") != "plain").group_by("epochs")
    adjusted = {epochs: part for (epochs,), part in families}
    assert {epochs: len(part) for epochs, part in adjusted.items()} == {2: 6, 3: 3}
    for part in adjusted.values():
        assert part["accuracy_gain_p_adjusted"].to_list() == pytest.approx(
            stats.false_discovery_control(part["accuracy_gain_p"]).tolist()
        )


def test_learning_rates_are_blocks_of_their_own():
    found = [
        result_of(dataclasses.replace(SPEC, learning_rate=rate, seed=seed), arm)
        for rate in (0.1, 0.01)
        for arm in ("plain", "filters")
        for seed in range(2)
    ]
    (table,) = layout.metric_tables(frames.summarize(frames.frame(found)))
    assert [[cells[1].text for cells in block] for block in table.blocks] == [
        ["0.01", "0.01"],
        ["0.1", "0.1"],
    ]


def test_the_paper_stands_beside_ours():
    (table, *_) = layout.metric_tables(frames.summarize(frames.frame(study())))
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


def test_what_has_no_paper_has_no_number():
    *_, table = layout.metric_tables(frames.summarize(frames.frame(study())))
    assert table.title == "resnet8 on digits; 2 epochs, on jax"
    assert not any(
        cell.paper for block in table.blocks for row in block for cell in row
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image_size": 224, "epochs": 50, "train_size": None}, "on jax"),
        (
            {"image_size": None, "stem": "small", "sampler": "shuffled"},
            "10,000 training images, small stem, 4 epochs, shuffled sampler, 32 px by "
            "default, on jax",
        ),
        (
            {"batch_size": 64, "momentum": 0.5, "weight_decay": 0.0, "epsilon": 1e-7},
            "10,000 training images, 32 px, 4 epochs, batches of 64, momentum 0.5, "
            "weight decay 0, epsilon 1e-07, on jax",
        ),
        (
            {"epochs": 1, "train_size": 1, "test_size": 1},
            "1 training image, 1 test image, 32 px, 1 epoch, on jax",
        ),
    ],
)
def test_a_title_names_what_differs_from_table_1(fields, words):
    runs = frames.frame([result_of(dataclasses.replace(SPEC, **fields))])
    (table,) = layout.metric_tables(frames.summarize(runs))
    assert table.title == f"Table 6: DenseNet121 on CIFAR-100; {words}"


@pytest.mark.parametrize(
    ("size", "words"), [(None, "224 px by default, "), (224, ""), (48, "48 px, ")]
)
def test_the_photos_of_animals10_have_the_papers_size_by_default(size, words):
    spec = RunSpec(
        dataset="animals10", model="resnet18", optimizer="adam", image_size=size
    )
    setting = frames.frame([result_of(spec)]).row(0, named=True)
    assert labels.title(setting) == f"Table 4: ResNet18 on Animals-10; {words}on jax"


def test_names_tell_settings_apart_where_they_must():
    specs = [
        SPEC,
        dataclasses.replace(SPEC, epochs=1),
        DIGITS,
        dataclasses.replace(DIGITS, image_size=224),
    ]
    runs = frames.frame([result_of(spec) for spec in specs])
    assert labels.distinct_names(runs.to_dicts()) == [
        "DenseNet121 on CIFAR-100 (4 epochs)",
        "DenseNet121 on CIFAR-100 (1 epoch)",
        "resnet8 on digits",
        "resnet8 on digits (224 px)",
    ]
    assert labels.distinct_names(runs[2:3].to_dicts()) == ["resnet8 on digits"]


def test_whole_numbers_are_numbers_too():
    spec = dataclasses.replace(SPEC, learning_rate=10**29, weight_decay=0)
    row = frames.frame([result_of(spec)]).row(0, named=True)
    assert (row["learning_rate"], row["weight_decay"]) == (1e29, 0.0)


def test_what_diverged_is_told():
    (table, *_) = layout.metric_tables(frames.summarize(frames.frame(study())))
    plain, filters = table.blocks[1]
    assert [cell.text for cell in plain[:4]] == ["SGDM", "0.1", "1", "1.00"]
    assert plain[8].text == "diverged"
    assert filters[4].text == "+49.00"
    assert any("1 of 13 runs diverged" in note for note in table.notes)
    some = [
        result_of(dataclasses.replace(SPEC, seed=seed), losses=losses)
        for seed, losses in enumerate([[3.0] * 4, [1.0] * 4, [float("nan")] * 4])
    ]
    better = result_of(arm="filters", losses=[2.5] * 4)
    (table,) = layout.metric_tables(frames.summarize(frames.frame([*some, better])))
    ((plain, filters),) = table.blocks
    assert plain[8].text == "2.0000 ± 12.7062 (2 of 3)"


def bold(rows, spec=SPEC):
    """Of the cells of each row: the heads of those that are bold."""
    (table,) = layout.metric_tables(frames.summarize(frames.frame(rows)))
    (block,) = table.blocks
    return [
        {head for head, cell in zip(table.heads, row, strict=True) if cell.bold}
        for row in block
    ]


def accuracies(**rows):
    return runs_of({("radam", arm): row for arm, row in rows.items()})


def test_bold_is_a_significant_difference_and_the_better_of_two():
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


def test_the_highest_mean_is_not_bold_where_nothing_is_significant():
    """Nor is one of two that are the same."""
    found = bold(accuracies(plain=[0.1, 0.2, 0.3], filters=[0.3, 0.1, 0.9]))
    assert found == [set(), set()]
    found = bold(accuracies(plain=[0.1, 0.2, 0.3], filters=[0.1, 0.2, 0.3]))
    assert found == [set(), set()]


def test_bold_takes_the_adjusted_p_value():
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


def test_a_loss_is_better_where_it_is_lower():
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


def test_where_all_diverged_none_is_better():
    nan = [float("nan")] * 4
    found = [result_of(arm=arm, losses=nan) for arm in ("plain", "filters")]
    (table,) = layout.metric_tables(frames.summarize(frames.frame(found)))
    assert [row[8].text for row in table.blocks[0]] == ["diverged"] * 2
    assert bold(found) == [set(), set()]
    assert table.blocks[0][1][4].text == "+0.00"


def test_the_terminals_table_fits_and_says_what_it_should(runs):
    text = text_of(runs)
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


def test_the_widest_table_is_not_cut():
    rows = [-0.1, 0.2, 0.1]
    found = runs_of(
        {
            (optimizer, arm): [0.5 + 0.3 * (i + place) % 0.5 for i in rows]
            for optimizer in OPTIMIZERS
            for place, arm in enumerate(ARMS)
        }
    )
    text = text_of(frames.frame(found))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_one_seed_has_no_interval_and_no_plain_run_no_gain(runs):
    one = runs.filter((pl.col("seed") == 0) & (pl.col("arm") == "filters"))
    text = text_of(one)
    title = text.splitlines()[0].rstrip()
    assert title == "resnet8 on digits; 2 epochs, on jax: one seed"
    row = next(line for line in text.splitlines() if "WGD filters" in line)
    assert " ".join(row.split()) == "WGD filters 55.00 2.000 48.00 52.00 47.00 - -"


def test_the_files_hold_the_numbers(tmp_path):
    runs, epochs = frames.frame(study()), curves.frame(study())
    found = {"runs.csv": runs, "epochs.csv": epochs}
    found["summary.csv"] = frames.summarize(runs)
    written = frames.write(tmp_path, *found.values())
    assert written == [tmp_path / name for name in found]
    for path, frame in zip(written, found.values(), strict=True):
        assert pl.read_csv(path, schema=frame.schema).equals(frame)
    assert {path.name for path in tmp_path.iterdir()} == set(found)


def test_markdown_has_every_cell_and_the_papers():
    runs = frames.frame(study())
    text = markdown.tables(runs, frames.summarize(runs))
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("| WGD RAdam (filters)"))
    assert "| 62.67 ± 2.87 (70.35) |" in row
    assert lines[0] == "### Gain in accuracy, by comparison"
    place = "DenseNet121 on CIFAR-100 at the paper's learning rate"
    assert any(line.startswith(f"| WGD filters ({place}) | +1.33 |") for line in lines)
    (table, *_) = layout.metric_tables(frames.summarize(frames.frame(study())))
    assert row.count("|") == len(table.heads) + 1
    assert "### Roughness: DenseNet121 on CIFAR-100" in text
    assert "### Roughness: resnet8" not in text


def test_roughness_is_compared_pair_by_pair():
    found = [
        result_of(dataclasses.replace(SPEC, seed=seed), arm, losses=losses)
        for seed in range(2)
        for arm, losses in {
            "plain": [1.0, 0.0, 1.0, 0.0],
            "filters": [1.0, 0.5, 1.0 - seed / 8, 0.5],
        }.items()
    ]
    summary = frames.summarize(frames.frame(found))
    row = summary.filter(arm="filters").row(0, named=True)
    rough = [statistics.roughness(r.curves["train_loss"]) for r in found]
    expected = stats.ttest_rel([rough[1], rough[3]], [rough[0], rough[2]])
    assert row["train_roughness_gain_p"] == pytest.approx(expected.pvalue)
    (table,) = layout.roughness_tables(summary)
    assert table.blocks[0][0][3].text == "2.0000"
    assert table.blocks[0][1][4].text.startswith("-")


def test_what_is_significantly_smoother_is_bold():
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
    (table,) = layout.roughness_tables(frames.summarize(frames.frame(found)))
    ((plain, filters),) = table.blocks
    half = stats.t.ppf(0.975, 2) * stats.sem(roughness["filters"])
    assert [cell.text for cell in filters[3:5]] == [f"0.9000 ± {half:.4f}", "-0.2000"]
    assert [i for i, cell in enumerate(plain) if cell.bold] == []
    assert [i for i, cell in enumerate(filters) if cell.bold] == [3, 4]


def test_no_run_is_an_empty_frame():
    assert frames.frame([]).is_empty()
    assert frames.summarize(frames.frame([])).is_empty()
