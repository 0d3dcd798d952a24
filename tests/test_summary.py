"""One plan, told to a terminal, a notebook and a program."""

import builtins
import json
import sys
import types
from xml.etree import ElementTree

import pytest
from networks import every_layer_type

from keras_wgd import WGD, conv_kernels
from keras_wgd.optimizers.summary import Summary


def built(mean_over="filters"):
    model = every_layer_type()
    optimizer = WGD("adam", mean_over, kernels=model)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_there_is_a_summary_once_the_optimizer_is_built():
    optimizer = WGD("adam")
    with pytest.raises(ValueError, match=r"built before its summary.*not built"):
        optimizer.summary()
    assert optimizer._repr_html_() is None  # a notebook then shows its repr


def test_the_text_names_every_kernel_and_every_reason(capsys):
    model, optimizer = built()
    lines = []
    optimizer.summary(print_fn=lines.append)
    (text,) = lines
    for kernel in conv_kernels(model):
        assert kernel.path in text
    assert f"11 of {len(model.trainable_variables)} trainable variables centred" in text
    assert "4 left alone: a mean of one" in text
    assert "3 filters, 2 groups" in text
    assert "left alone" in text
    optimizer.summary()
    assert "trainable variables centred" in capsys.readouterr().out


def test_the_page_of_a_notebook_says_the_same():
    model, optimizer = built()
    page = ElementTree.fromstring(f"<div>{optimizer._repr_html_()}</div>")
    rows = [[cell.text for cell in row] for row in page.findall("table/*/tr")]
    assert rows[0] == ["kernel", "shape", "layer", "mean of", "removed"]
    kernels = conv_kernels(model)
    assert [row[0] for row in rows[1:]] == [kernel.path for kernel in kernels]
    assert [row[1] for row in rows[1:]] == [
        "x".join(map(str, k.shape)) for k in kernels
    ]
    assert [row[2] for row in rows[1:]] == [kernel.layer for kernel in kernels]
    assert sum(row[4] == "left alone" for row in rows) == 4
    assert 'Adam, mean_over="filters", placement="gradient"' in page[0].text
    assert "11 of" in page[2].text


def test_in_a_notebook_the_summary_is_shown_below_the_cell(monkeypatch, capsys):
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
def test_a_program_is_told_of_every_variable(mean_over):
    model, optimizer = built(mean_over)
    told = json.loads(json.dumps(Summary(optimizer._plan, "").to_dict()))
    assert told["mean_over"] == mean_over
    variables = model.trainable_variables
    assert [row["path"] for row in told["variables"]] == [v.path for v in variables]
    assert [row["shape"] for row in told["variables"]] == [
        list(v.shape) for v in variables
    ]
    centred = [
        v for v, row in zip(variables, told["variables"], strict=True) if row["centred"]
    ]
    assert list(map(id, centred)) == list(map(id, optimizer.whitened_variables))
    located = {kernel.path: kernel for kernel in conv_kernels(model)}
    for row in told["variables"]:
        kernel = located.get(row["path"])
        assert (row["layer"] is None) == (kernel is None)
        assert row["centred"] == (row["reason"] == "")
        if row["centred"]:
            assert row["axes"] == list(kernel.axes(mean_over))
            assert row["groups"] == kernel.mean_groups(mean_over)
            assert row["mean_size"] == kernel.mean_size(mean_over)
