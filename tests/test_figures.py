import dataclasses
import json
import math
import re
import xml.etree.ElementTree as ET

import altair as alt
import numpy as np
import pytest
from PIL import Image
from scipy import stats
from support.charts import charts_of
from support.results import result_of
from support.studies import SPEC, runs_of, study

from keras_wgd import pictures
from keras_wgd.experiments.spec import ARMS, RunSpec
from keras_wgd.files import atomic

pytestmark = pytest.mark.any_backend

NAMES = [
    "gains",
    "accuracy-densenet121-cifar100",
    "loss-densenet121-cifar100",
    "smoothness-densenet121-cifar100",
    "norm-ratio-densenet121-cifar100",
    "accuracy-resnet8-digits",
    "loss-resnet8-digits",
    "norm-ratio-resnet8-digits",
    "accuracy-all-cifar100",
    "accuracy-all-digits",
]


def parts_of(chart):
    """The sections or panels of a chart, by their titles."""
    parts = chart.get("vconcat") or chart["concat"]
    return {part["title"]["text"]: part for part in parts}


def data_of(chart, part=None, panel=None):
    """The rows behind a chart, of one part of it or of one panel, or all."""
    parts = parts_of(chart).items()
    names = [found["data"]["name"] for title, found in parts if part in (None, title)]
    rows = [row for name in names for row in chart["datasets"][name]]
    return [row for row in rows if panel in (None, row["panel"])]


@pytest.fixture(scope="module")
def drawn():
    return charts_of(study())


def test_names_of_figures(drawn):
    assert list(drawn) == NAMES


@pytest.mark.parametrize(
    ("dataset", "model", "optimizer", "numbers"),
    [
        ("animals10", "densenet121", "adam", {"accuracy": 4, "loss": 5, "all": 6}),
        ("cifar100", "densenet121", "adam", {"accuracy": 7, "loss": 8, "all": 9}),
        ("animals10", "resnet18", "adam", {"all": 6}),
        ("cifar100", "resnet8", "adam", {}),
        ("digits", "densenet121", "adam", {}),
    ],
)
def test_numbers_of_the_papers_figures(dataset, model, optimizer, numbers):
    spec = dataclasses.replace(SPEC, dataset=dataset, model=model, optimizer=optimizer)
    drawn = charts_of([result_of(spec)])
    end = f"{model}-{dataset}"
    names = {"accuracy": f"accuracy-{end}", "loss": f"loss-{end}"}
    names |= {"smoothness": f"smoothness-{end}", "all": f"accuracy-all-{dataset}"}
    assert list(drawn) == list(names.values())
    for key, name in names.items():
        found = re.search(
            r"\(Figure (\d) of the paper\)$", drawn[name]["title"]["text"]
        )
        assert (found and int(found[1])) == numbers.get(key), name


def test_order_by_number_of_pairs():
    few = dataclasses.replace(SPEC, dataset="animals10")
    pairs = {("radam", "plain"): [0.5, 0.6], ("radam", "filters"): [0.5, 0.7]}
    more = {key: [*row, 0.6] for key, row in pairs.items()}
    drawn = charts_of([*runs_of(pairs, few), *runs_of(more)])
    assert [name for name in drawn if name.startswith("accuracy-all")] == [
        "accuracy-all-cifar100",
        "accuracy-all-animals10",
    ]
    (first, *_) = data_of(drawn["gains"])
    assert "CIFAR-100" in first["panel"]


def test_charts_are_valid_vega_lite(drawn):
    for chart in drawn.values():
        kind = alt.VConcatChart if "vconcat" in chart else alt.ConcatChart
        kind.from_dict(chart)  # validates


def test_names_of_several_settings():
    other = dataclasses.replace(SPEC, image_size=None)
    names = list(charts_of([result_of(SPEC), result_of(other)]))
    assert "accuracy-densenet121-cifar100-image-size-32" in names
    assert "accuracy-densenet121-cifar100-image-size-own" in names


def test_names_with_hostile_settings():
    found = [
        result_of(
            SPEC, environment={"backend": "jax", "settings": {"XLA_FLAGS": flags}}
        )
        for flags in ("", "../../a", "/tmp/a", "..")
    ]
    names = list(charts_of(found))
    assert len([name for name in names if name.startswith("accuracy-dense")]) == 4
    for name in names:
        assert re.fullmatch(r"[a-z0-9-]+", name), name


def test_line_is_mean_and_interval(drawn):
    chart = drawn["accuracy-densenet121-cifar100"]
    rows = data_of(chart, "Test accuracy (%)", "RAdam 0.01")
    assert {row["arm"] for row in rows} == {"plain", "WGD filters", "WGD fan_in-update"}
    last = next(row for row in rows if row["arm"] == "plain" and row["x"] == 4)
    assert last["mean"] == pytest.approx(61.333, abs=1e-3)
    assert last["high"] - last["mean"] == pytest.approx(3.795, abs=1e-3)
    assert last["seeds"] == 3


def test_intervals_end_at_possible_values():
    found = runs_of({("radam", "plain"): [0.01, 0.99]})
    (row,) = data_of(charts_of(found)["accuracy-all-cifar100"])
    assert row["low"] < 0
    assert row["high"] > 100
    assert (row["bottom"], row["top"]) == (0, 100)


def test_one_seed_has_no_band():
    chart = charts_of([result_of(SPEC)])["loss-densenet121-cifar100"]
    rows = data_of(chart, "Training loss (nats)", "RAdam 0.01")
    assert [row["mean"] for row in rows] == [3.0, 2.0, 1.5, 1.25]
    assert {row["low"] for row in rows} == {None}


def test_equal_seeds_have_no_band(tmp_path):
    drawn = charts_of(runs_of({("radam", "plain"): [0.5, 0.5, 0.5]}))
    (dot,) = data_of(drawn["accuracy-all-cifar100"])
    for row in (dot, *data_of(drawn["loss-densenet121-cifar100"])):
        assert row["mean"] is not None
        assert row["seeds"] == 3
        assert {row[name] for name in ("low", "high", "bottom", "top")} == {None}
    assert len(pictures.write(tmp_path, drawn, pictures.vega_lite())) == 2 * len(drawn)


def test_line_ends_where_all_runs_diverge(drawn):
    chart = drawn["loss-densenet121-cifar100"]
    rows = data_of(chart, "Training loss (nats)", "SGDM 0.1")
    assert [row["x"] for row in rows if row["arm"] == "plain"] == [1]


GAIN = "WGD minus plain, pair by pair"


@pytest.mark.parametrize("quantity", ["accuracy", "loss"])
def test_panels_of_a_row_share_an_axis(drawn, quantity):
    chart = drawn[f"{quantity}-densenet121-cifar100"]
    assert [title.partition(" (")[0] for title in parts_of(chart)] == [
        f"Training {quantity}",
        f"Training {quantity}: {GAIN}",
        f"Test {quantity}",
        f"Test {quantity}: {GAIN}",
    ]
    # Vega-Lite's rule: facets share scales, and a concatenation does not.
    assert "resolve" not in chart
    for part in parts_of(chart).values():
        assert part["facet"]["field"] == "panel"
        assert "resolve" not in part


def test_roughness_panels_have_own_scales(drawn):
    chart = drawn["smoothness-densenet121-cifar100"]
    assert list(parts_of(chart)) == ["Training loss", "Test loss"]
    assert "resolve" not in chart


def test_gains_by_epoch(drawn):
    """By epoch, as NumPy and SciPy find it in the curves of the runs."""
    runs = [result for result in study() if result.spec.optimizer == "radam"]
    for quantity, scale, unit in (
        ("accuracy", 100, "percentage points"),
        ("loss", 1, "nats"),
    ):
        title = f"Test {quantity}: {GAIN} ({unit})"
        chart = drawn[f"{quantity}-densenet121-cifar100"]
        rows = data_of(chart, title, "RAdam 0.01")
        assert {row["arm"] for row in rows} == {"WGD filters", "WGD fan_in-update"}
        curves = {
            arm: np.array(
                [r.curves[f"test_{quantity}"] for r in runs if r.spec.arm == arm]
            )
            for arm in ("plain", "filters")
        }
        found = [row for row in rows if row["arm"] == "WGD filters"]
        gains = scale * (curves["filters"] - curves["plain"])
        assert [row["mean"] for row in found] == pytest.approx(gains.mean(axis=0))
        if quantity == "accuracy":
            half = stats.t.ppf(0.975, 2) * stats.sem(gains)
            assert [row["low"] for row in found] == pytest.approx(
                gains.mean(axis=0) - half
            )
            assert [row["bottom"] for row in found] == [row["low"] for row in found]


def test_arms_differ_in_color_dash_and_shape():
    found = [result_of(SPEC, arm=arm) for arm in ARMS]
    drawn = charts_of(found)
    (section, *_) = drawn["accuracy-densenet121-cifar100"]["vconcat"]
    layers = [layer["encoding"] for layer in section["spec"]["layer"]]
    dash = next(layer["strokeDash"] for layer in layers if "strokeDash" in layer)
    color = layers[0]["color"]
    dots = drawn["accuracy-all-cifar100"]["concat"][0]["layer"]
    shape = next(x["encoding"]["shape"] for x in dots if "shape" in x["encoding"])
    for channel in (dash, color, shape):
        assert len(set(map(str, channel["scale"]["range"]))) == len(ARMS)


def test_paper_accuracies(drawn):
    rows = data_of(drawn["accuracy-all-cifar100"])
    found = {(row["block"], row["arm"]): row["paper"] for row in rows}
    assert found["RAdam 0.01", "plain"] == 63.23
    assert found["RAdam 0.01", "WGD filters"] == 70.35
    assert {row["paper"] for row in data_of(drawn["accuracy-all-digits"])} == {None}


def test_norm_ratios(drawn):
    rows = data_of(drawn["norm-ratio-densenet121-cifar100"])
    assert [row["mean"] for row in rows] == [pytest.approx(0.99)] * len(rows)
    assert "plain" not in {row["arm"] for row in rows}


def test_learning_rate_sweep():
    found = [
        result_of(dataclasses.replace(SPEC, learning_rate=rate), accuracy=rate * 10)
        for rate in (0.03, 0.003, 0.01)
    ]
    rows = data_of(charts_of(found)["learning-rates-densenet121-cifar100"])
    assert [(row["x"], row["mean"]) for row in rows] == [
        (0.003, pytest.approx(3)),
        (0.01, pytest.approx(10)),
        (0.03, pytest.approx(30)),
    ]
    assert "learning-rates-densenet121-cifar100" not in charts_of(found[:2])


def test_study_without_finite_numbers(tmp_path):
    found = result_of(RunSpec(dataset="digits", model="m", optimizer="adam", epochs=3))
    nan = dataclasses.replace(
        found,
        metrics=dict.fromkeys(found.metrics, math.nan),
        curves={name: [math.nan] * 3 for name in found.curves},
    )
    drawn = charts_of([nan])
    assert list(drawn) == ["accuracy-all-digits"]
    json.dumps(drawn["accuracy-all-digits"], allow_nan=False)
    assert len(pictures.write(tmp_path, drawn, pictures.vega_lite())) == 2


def test_diverged_runs_are_in_the_subtitle(drawn):
    title = drawn["loss-densenet121-cifar100"]["title"]
    assert (
        "1 of 13 runs diverged: losses are means over the others" in title["subtitle"]
    )


def test_files_are_images(drawn, tmp_path):
    some = {name: drawn[name] for name in (NAMES[1], NAMES[8])}
    written = pictures.write(tmp_path / "figures", some, pictures.vega_lite())
    assert [path.name for path in written] == [
        f"{name}.{kind}" for name in some for kind in ("png", "svg")
    ]
    assert sorted((tmp_path / "figures").iterdir()) == sorted(written)
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
            assert image.width > 800
        else:
            root = ET.fromstring(path.read_text())
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert "CIFAR-100" in "".join(root.itertext())


def test_long_names(tmp_path):
    found = [
        result_of(dataclasses.replace(SPEC, dataset="x" * 215 + end)) for end in "ab"
    ]
    assert max(len(result.spec.id) for result in found) > 250
    drawn = charts_of(found)
    assert len(drawn) == 2 * 4  # none took the place of another
    for name in drawn:
        with atomic(tmp_path / f"{name}.png"):
            pass


def test_files_are_reproducible(drawn, tmp_path):
    some = {NAMES[1]: drawn[NAMES[1]]}
    version = pictures.vega_lite()
    first, second = (pictures.write(tmp_path / n, some, version) for n in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
