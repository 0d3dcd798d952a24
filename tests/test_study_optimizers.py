"""Any optimizer of Keras in `run` and `study`, with settings."""

import dataclasses
import json

import keras
import pytest
from support import small_study
from support.runs import SPEC

from keras_wgd import WGD, cli
from keras_wgd.experiments.analysis.analysis import Analysis
from keras_wgd.experiments.store import results
from keras_wgd.experiments.training.build import build_model, build_optimizer
from keras_wgd.report import layout
from keras_wgd.tasks import datasets

pytestmark = pytest.mark.any_backend

SMALL = ["--epochs", "1", "--train-size", "64", "--test-size", "40"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("keras_wgd.tasks.models.build", small_study.build)


def built(**fields):
    data = datasets.load("digits", None, SPEC.train_size, SPEC.test_size)
    spec = dataclasses.replace(SPEC, **fields)
    return build_optimizer(spec, build_model(spec, data))


def test_optimizer_of_keras():
    made = built(optimizer="lion", learning_rate=0.02)
    expected = keras.optimizers.Lion(learning_rate=0.02, name=made.name)
    assert type(made) is type(expected)
    assert made.get_config() == expected.get_config()
    wrapped = built(optimizer="lion", learning_rate=0.02, mean_over="fan_in")
    assert type(wrapped) is WGD
    assert type(wrapped.inner_optimizer) is type(expected)


def test_settings_are_added_to_those_of_the_run():
    made = built(optimizer="sgdm", optimizer_settings="clipnorm=1,nesterov=true")
    assert (made.clipnorm, made.nesterov, made.momentum) == (1, True, 0.9)
    made = built(optimizer="adam", optimizer_settings="epsilon=0.5,amsgrad=true")
    assert (made.epsilon, made.amsgrad) == (0.5, True)


def test_run(capsys):
    run = ["run", "--dataset", "digits", *SMALL, "--optimizer", "adamw", "--json"]
    assert cli.app([*run, "--set", "weight_decay=0.1", "--set", "amsgrad=true"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["spec"]["optimizer_settings"] == "amsgrad=true,weight_decay=0.1"
    assert cli.app([*run[:-1]]) == 0
    assert "adamw" in capsys.readouterr().out


def test_study(tmp_path, capsys):
    study = ["study", "--preset", "quick", *SMALL, "--seed", "0", "--list"]
    study += ["--arm", "plain", "--arm", "filters", "--optimizer", "adam"]
    study += ["--optimizer", "lion", "--learning-rate", "0.001", "--json"]
    assert cli.app(study) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(run["optimizer"], run["learning_rate"]) for run in listed] == [
        *[("adam", 0.001)] * 2,
        *[("lion", 0.001)] * 2,
    ]


def test_report_of_other_optimizers(tmp_path):
    out = tmp_path / "out"
    for optimizer in ("lion", "adam", "adafactor"):
        run = ["run", "--dataset", "digits", *SMALL, "--optimizer", optimizer]
        assert cli.app([*run, "--out", str(out / optimizer)]) == 0
    found = [
        result
        for optimizer in ("lion", "adam", "adafactor")
        for result in results.read_all(out / optimizer)[0]
    ]
    analysis = Analysis.of(found)
    # Those of the paper come first.
    assert analysis.summary["optimizer"].to_list() == ["adam", "adafactor", "lion"]
    (table,) = layout.metric_tables(analysis.summary)
    labels = [row[0].text for block in table.blocks for row in block]
    assert labels == ["Adam", "adafactor", "lion"]
