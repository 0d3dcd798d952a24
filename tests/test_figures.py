import dataclasses
import json
import math
import xml.etree.ElementTree as ET

import pytest
from PIL import Image
from studies import SPEC, result_of, runs_of, study

from keras_wgd.files import atomic
from keras_wgd.study import figures
from keras_wgd.study.spec import ARMS, RunSpec

pytestmark = pytest.mark.any_backend

NAMES = [
    "figure-7-accuracy-densenet121-cifar100",
    "figure-8-loss-densenet121-cifar100",
    "smoothness-densenet121-cifar100",
    "norm-ratio-densenet121-cifar100",
    "accuracy-resnet8-digits",
    "loss-resnet8-digits",
    "norm-ratio-resnet8-digits",
    "figure-9-accuracy-all-cifar100",
    "accuracy-all-digits",
]


def data_of(chart, panel=None):
    """The rows behind a chart, of one panel or of all."""
    rows = chart.to_dict()["data"]["values"]
    return [row for row in rows if panel in (None, row["panel"])]


@pytest.fixture(scope="module")
def drawn():
    return figures.figures(study())


def test_each_setting_and_data_set_has_its_figures(drawn):
    assert list(drawn) == NAMES


@pytest.mark.parametrize(
    ("dataset", "model", "names"),
    [
        (
            "animals10",
            "densenet121",
            [
                "figure-4-accuracy-densenet121-animals10",
                "figure-5-loss-densenet121-animals10",
                "smoothness-densenet121-animals10",
                "figure-6-accuracy-all-animals10",
            ],
        ),
        (
            "animals10",
            "resnet18",
            [
                "accuracy-resnet18-animals10",
                "loss-resnet18-animals10",
                "smoothness-resnet18-animals10",
                "figure-6-accuracy-all-animals10",
            ],
        ),
    ],
)
def test_numbers_are_those_of_the_paper(dataset, model, names):
    spec = dataclasses.replace(SPEC, dataset=dataset, model=model)
    assert list(figures.figures([result_of(spec)])) == names


def test_settings_of_one_network_are_told_apart_by_name():
    other = dataclasses.replace(SPEC, image_size=None)
    names = list(figures.figures([result_of(), result_of(other)]))
    assert "figure-7-accuracy-densenet121-cifar100-image-size-32" in names
    assert "figure-7-accuracy-densenet121-cifar100-image-size-own" in names


def test_a_line_is_the_mean_over_the_seeds_with_its_interval(drawn):
    rows = data_of(drawn["figure-7-accuracy-densenet121-cifar100"], "RAdam 0.01, test")
    assert {row["arm"] for row in rows} == {"plain", "WGD filters", "WGD fan_in-update"}
    last = next(row for row in rows if row["arm"] == "plain" and row["x"] == 4)
    assert last["mean"] == pytest.approx(61.333, abs=1e-3)
    assert last["high"] - last["mean"] == pytest.approx(3.795, abs=1e-3)
    assert last["seeds"] == 3


def test_intervals_are_drawn_only_where_values_can_be():
    found = runs_of({("radam", "plain"): [0.01, 0.99]})
    (row,) = data_of(figures.figures(found)["figure-9-accuracy-all-cifar100"])
    assert row["low"] < 0
    assert row["high"] > 100
    assert (row["bottom"], row["top"]) == (0, 100)


def test_one_seed_has_a_line_and_no_band():
    chart = figures.figures([result_of()])["figure-8-loss-densenet121-cifar100"]
    rows = data_of(chart, "RAdam 0.01, training")
    assert [row["mean"] for row in rows] == [3.0, 2.0, 1.5, 1.25]
    assert {row["low"] for row in rows} == {None}


def test_seeds_that_are_all_the_same_have_a_line_and_no_band(tmp_path):
    drawn = figures.figures(runs_of({("radam", "plain"): [0.5, 0.5, 0.5]}))
    (dot,) = data_of(drawn["figure-9-accuracy-all-cifar100"])
    for row in (dot, *data_of(drawn["figure-8-loss-densenet121-cifar100"])):
        assert row["mean"] is not None
        assert row["seeds"] == 3
        assert {row[name] for name in ("low", "high", "bottom", "top")} == {None}
    assert len(figures.write(tmp_path, drawn)) == 2 * len(drawn)


def test_a_line_ends_where_all_have_diverged(drawn):
    rows = data_of(drawn["figure-8-loss-densenet121-cifar100"], "SGDM 0.1, training")
    assert [row["x"] for row in rows if row["arm"] == "plain"] == [1]


def test_losses_have_an_axis_for_each_panel_and_accuracies_one_for_all(drawn):
    scales = {
        name: chart.to_dict().get("resolve", {}).get("scale", {}).get("y")
        for name, chart in drawn.items()
    }
    assert {name for name, y in scales.items() if y == "independent"} == {
        "figure-8-loss-densenet121-cifar100",
        "loss-resnet8-digits",
        # Their upright axis names the runs.
        "figure-9-accuracy-all-cifar100",
        "accuracy-all-digits",
    }


def test_arms_are_told_apart_by_more_than_colour():
    found = [result_of(arm=arm) for arm in ARMS]
    drawn = figures.figures(found)
    spec = drawn["figure-7-accuracy-densenet121-cifar100"].to_dict()
    layers = [layer["encoding"] for layer in spec["spec"]["layer"]]
    dash = next(layer["strokeDash"] for layer in layers if "strokeDash" in layer)
    colour = layers[0]["color"]
    dots = drawn["figure-9-accuracy-all-cifar100"].to_dict()["spec"]["layer"]
    shape = next(x["encoding"]["shape"] for x in dots if "shape" in x["encoding"])
    for channel in (dash, colour, shape):
        assert len(set(map(str, channel["scale"]["range"]))) == len(ARMS)


def test_the_papers_accuracy_is_beside_ours(drawn):
    rows = data_of(drawn["figure-9-accuracy-all-cifar100"])
    found = {row["label"]: row["paper"] for row in rows}
    assert found["RAdam 0.01, plain"] == 63.23
    assert found["RAdam 0.01, WGD filters"] == 70.35
    assert {row["paper"] for row in data_of(drawn["accuracy-all-digits"])} == {None}


def test_norm_ratios_are_those_of_wgd_alone(drawn):
    rows = data_of(drawn["norm-ratio-densenet121-cifar100"])
    assert [row["mean"] for row in rows] == [pytest.approx(0.99)] * len(rows)
    assert "plain" not in {row["arm"] for row in rows}


def test_a_sweep_is_drawn_by_learning_rate():
    found = [
        result_of(dataclasses.replace(SPEC, learning_rate=rate), accuracy=rate * 10)
        for rate in (0.03, 0.003, 0.01)
    ]
    rows = data_of(figures.figures(found)["learning-rates-densenet121-cifar100"])
    assert [(row["x"], row["mean"]) for row in rows] == [
        (0.003, pytest.approx(3)),
        (0.01, pytest.approx(10)),
        (0.03, pytest.approx(30)),
    ]
    assert "learning-rates-densenet121-cifar100" not in figures.figures(found[:2])


def test_a_study_that_has_diverged_altogether_is_drawn(tmp_path):
    found = result_of(RunSpec(dataset="digits", model="m", optimizer="adam", epochs=3))
    nan = dataclasses.replace(
        found,
        metrics=dict.fromkeys(found.metrics, math.nan),
        curves={name: [math.nan] * 3 for name in found.curves},
    )
    drawn = figures.figures([nan])
    assert list(drawn) == ["accuracy-all-digits"]
    json.dumps(drawn["accuracy-all-digits"].to_dict(), allow_nan=False)
    assert len(figures.write(tmp_path, drawn)) == 2


def test_a_chart_tells_of_runs_that_diverged(drawn):
    title = drawn["figure-8-loss-densenet121-cifar100"].to_dict()["title"]
    assert "1 of 13 runs diverged: losses are those of the others" in title["subtitle"]


def test_files_are_images(drawn, tmp_path):
    some = {name: drawn[name] for name in (NAMES[0], NAMES[7])}
    written = figures.write(tmp_path / "figures", some)
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


def test_the_longest_of_names_do_for_files(tmp_path):
    found = [
        result_of(dataclasses.replace(SPEC, dataset="x" * 215 + end)) for end in "ab"
    ]
    assert max(len(result.spec.id) for result in found) > 250
    drawn = figures.figures(found)
    assert len(drawn) == 2 * 4  # none took the place of another
    for name in drawn:
        with atomic(tmp_path / f"{name}.png"):
            pass


def test_a_figure_drawn_again_has_the_same_bytes(drawn, tmp_path):
    some = {NAMES[0]: drawn[NAMES[0]]}
    first, second = (figures.write(tmp_path / name, some) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
