"""`WGD.summary()` in a terminal, in a notebook and as JSON."""

import builtins
import json
import re
import sys
import types
from xml.etree import ElementTree

import keras
import pytest
from keras import layers
from support.networks import every_layer_type

from keras_wgd import WGD, conv_kernels


def built(mean_over="filters"):
    model = every_layer_type()
    optimizer = WGD("adam", mean_over, kernels=model)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_summary_before_build():
    optimizer = WGD("adam")
    with pytest.raises(ValueError, match=r"built before its summary.*not built"):
        optimizer.summary()
    assert optimizer._repr_html_() is None  # a notebook shows its repr instead


def test_text(capsys):
    model, optimizer = built()
    lines = []
    optimizer.summary(print_fn=lines.append)
    (text,) = lines
    for kernel in conv_kernels(model):
        assert kernel.path.removesuffix("/kernel") in text
    assert (
        f"11 of {len(model.trainable_variables)} trainable variables centered" in text
    )
    assert "4 left alone: a mean of one element" in text
    assert "3 filters, 2 groups" in text
    assert text.count(" none") == 4
    optimizer.summary()
    assert "trainable variables centered" in capsys.readouterr().out


def test_notebook_page():
    model, optimizer = built()
    page = ElementTree.fromstring(f"<div>{optimizer._repr_html_()}</div>")
    rows = [[cell.text for cell in row] for row in page.findall("table/*/tr")]
    assert rows[0] == ["kernel", "shape", "layer", "mean of", "removed"]
    kernels = conv_kernels(model)
    assert [row[0] for row in rows[1:]] == [
        kernel.path.removesuffix("/kernel") for kernel in kernels
    ]
    assert [row[1] for row in rows[1:]] == [
        "x".join(map(str, k.shape)) for k in kernels
    ]
    assert [row[2] for row in rows[1:]] == [kernel.layer for kernel in kernels]
    assert sum(row[4] == "none" for row in rows) == 4
    assert 'Adam, mean_over="filters", placement="gradient"' in page[0].text
    assert "11 of" in page[2].text


def stages():
    """Two stages of blocks, with common names."""
    x = keras.Input((4, 4, 3))
    y = layers.Conv2D(8, 3, padding="same", name="stem_convolution")(x)
    for stage, blocks in ((1, 4), (2, 2)):
        for block in range(1, blocks + 1):
            prefix = f"stage_{stage}_bottleneck_{block}_"
            y = layers.Conv2D(4, 1, name=f"{prefix}pointwise_reduction")(y)
            y = layers.DepthwiseConv2D(3, padding="same", name=f"{prefix}depthwise")(y)
            y = layers.Conv2D(8, 1, name=f"{prefix}pointwise_expansion")(y)
    return keras.Model(x, y)


FOLDED = [
    ("stem_convolution", "3x3x3x8", "8 filters"),
    ("stage_1_bottleneck_[1-4]_pointwise_reduction", "1x1x8x4", "4 filters"),
    ("stage_1_bottleneck_[1-4]_depthwise", "3x3x4x1", "1 filter"),
    ("stage_1_bottleneck_[1-4]_pointwise_expansion", "1x1x4x8", "8 filters"),
    ("stage_2_bottleneck_[1,2]_pointwise_reduction", "1x1x8x4", "4 filters"),
    ("stage_2_bottleneck_[1,2]_depthwise", "3x3x4x1", "1 filter"),
    ("stage_2_bottleneck_[1,2]_pointwise_expansion", "1x1x4x8", "8 filters"),
]


def test_folded_blocks():
    model = stages()
    optimizer = WGD("adam", kernels=model)
    optimizer.build(model.trainable_variables)
    page = ElementTree.fromstring(f"<div>{optimizer._repr_html_()}</div>")
    rows = [[cell.text for cell in row] for row in page.findall("table/tbody/tr")]
    assert [(row[0], row[1], row[3]) for row in rows] == FOLDED
    notes = [page[2].text, *(line.tail for line in page[2])]
    # 19 kernels, 6 of them depthwise, and 19 biases.
    assert notes[0] == "13 of 38 trainable variables centered"
    assert notes[-1] == "[1-3] in a name: a row for kernels 1 to 3, equal in all else"
    assert len(optimizer._summary().to_dict()["variables"]) == 38
    _, other = built()
    assert "[1-3]" not in other._repr_html_()


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_narrow_terminals(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    model = stages()
    optimizer = WGD("adam", kernels=model)
    optimizer.build(model.trainable_variables)
    optimizer.summary()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = [line for line in lines if line][3:]  # below the rule
    joined = []
    for line in table:
        if len(line) > 1 and "x" in line[1]:  # a shape
            joined.append([*line])
        elif line[0].isdigit():  # a note
            break
        else:  # the rest of a name
            joined[-1][0] += line[0]
    assert [(row[0], row[1], f"{row[3]} {row[4]}") for row in joined] == FOLDED
    shares = {"4": "25.00%", "8": "12.50%", "1": "none"}
    assert [row[5] for row in joined] == [shares[row[3]] for row in joined]
    words = {word for name, *_ in FOLDED for word in re.findall("[^_]+_?", name)}
    for line in table[: len(table) if width == 120 else len(joined)]:
        if line[0].isdigit():
            break
        assert set(re.findall("[^_]+_?", line[0])) <= words


def test_notebook_display(monkeypatch, capsys):
    shown = []
    shell = type("ZMQInteractiveShell", (), {})()
    module = types.ModuleType("IPython.display")
    module.display = shown.append
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    _, optimizer = built()
    optimizer.summary()
    (summary,) = shown
    assert summary._repr_html_() == optimizer._repr_html_()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("mean_over", ["filters", "fan_in", "kernels"])
def test_json(mean_over):
    model, optimizer = built(mean_over)
    told = json.loads(json.dumps(optimizer._summary().to_dict()))
    assert told["mean_over"] == mean_over
    variables = model.trainable_variables
    assert [row["path"] for row in told["variables"]] == [v.path for v in variables]
    assert [row["shape"] for row in told["variables"]] == [
        list(v.shape) for v in variables
    ]
    centered = [
        v
        for v, row in zip(variables, told["variables"], strict=True)
        if row["centered"]
    ]
    assert list(map(id, centered)) == list(map(id, optimizer.whitened_variables))
    located = {kernel.path: kernel for kernel in conv_kernels(model)}
    for row in told["variables"]:
        kernel = located.get(row["path"])
        assert (row["layer"] is None) == (kernel is None)
        assert row["centered"] == (row["reason"] == "")
        if row["centered"]:
            assert row["axes"] == list(kernel.axes(mean_over))
            assert row["groups"] == kernel.mean_groups(mean_over)
            assert row["mean_size"] == kernel.mean_size(mean_over)
