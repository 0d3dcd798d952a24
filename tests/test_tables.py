import dataclasses
import io

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from test_results import SPEC, result_of

from keras_wgd.study import tables

ACCURACY = {
    ("adam", None): [0.50, 0.60, 0.70],
    ("adam", "filters"): [0.55, 0.70, 0.65],
    ("adam", "fan_in"): [0.50, 0.60, 0.70],
    ("sgdm", None): [0.10, 0.20, 0.30],
}


@pytest.fixture
def runs():
    return tables.frame(
        [
            result_of(
                dataclasses.replace(
                    SPEC, optimizer=optimizer, mean_over=mean_over, seed=seed
                ),
                accuracy=accuracy,
            )
            for (optimizer, mean_over), row in ACCURACY.items()
            for seed, accuracy in enumerate(row)
        ]
    )


def test_mean_deviation_and_paired_gain(runs):
    summary = tables.summarize(runs)
    order = list(zip(summary["optimizer"], summary["arm"], strict=True))
    assert order == [
        ("sgdm", "plain"),
        ("adam", "plain"),
        ("adam", "filters"),
        ("adam", "fan_in"),
    ]
    row = summary.row(2, named=True)
    values = np.array(ACCURACY["adam", "filters"])
    gains = values - ACCURACY["adam", None]
    assert row["seeds"] == 3
    assert row["accuracy"] == pytest.approx(values.mean())
    assert row["accuracy_std"] == pytest.approx(values.std(ddof=1))
    assert row["accuracy_gain"] == pytest.approx(gains.mean())
    assert row["accuracy_gain_std"] == pytest.approx(gains.std(ddof=1))


def text_of(runs, width=80):
    console = Console(file=io.StringIO(), width=width)
    for table in tables.rich_tables(runs):
        console.print(table)
    return console.file.getvalue()


def test_the_table_fits_a_terminal_and_says_what_it_should(runs):
    text = text_of(runs)
    assert "…" not in text
    assert "resnet8 on digits, mean±deviation over seeds: 3" in text
    row = next(line for line in text.splitlines() if "WGD filters" in line)
    assert "63.33±7.64" in row
    assert "+3.33±7.64" in row
    assert "1.000±0.000" in row


def test_one_seed_has_no_deviation_and_no_plain_run_no_gain(runs):
    one = runs.filter((pl.col("seed") == 0) & (pl.col("arm") == "filters"))
    row = next(line for line in text_of(one).splitlines() if "WGD filters" in line)
    assert " ".join(row.split()) == "WGD filters 55.00 1.000 50.00 50.00 40.00 -"


def test_the_files_hold_the_numbers(runs, tmp_path):
    by_run, by_arm = tables.write(tmp_path, runs)
    assert pl.read_csv(by_run).equals(runs)
    assert pl.read_csv(by_arm)["accuracy"].to_list() == pytest.approx(
        tables.summarize(runs)["accuracy"].to_list()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "runs.csv",
        "summary.csv",
    ]
