"""Messages about unknown names, which suggest the nearest known name."""

import dataclasses

import pytest
from support.runs import SPEC

from keras_wgd import cli, presets
from keras_wgd.bench import networks
from keras_wgd.experiments.spec import StudySpec, arm_fields
from keras_wgd.tasks import datasets, models

pytestmark = pytest.mark.any_backend

RUN = ["run", "--dataset", "digits"]
STUDY = ["study", "--preset", "quick", "--out", "out"]


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["stduy"], "study"),
        (["run", "--dataset", "digts"], "digits"),
        ([*RUN, "--model", "resnet-8"], "resnet8"),
        ([*RUN, "--optimizer", "ADAM"], "adam"),
        ([*RUN, "--mean-over", "fanin"], "fan_in"),
        ([*RUN, "--mean-over", "filters", "--placement", "updates"], "update"),
        ([*RUN, "--sampler", "shuffle"], "shuffled"),
        ([*RUN, "--stem", "smal"], "small"),
        ([*RUN, "--backend", "pytorch"], "torch"),
        (["study", "--preset", "quik", "--list"], "quick"),
        ([*STUDY, "--optimizer", "sdgm"], "sgdm"),
        ([*STUDY, "--arm", "fan-in"], "fan_in"),
        ([*STUDY, "--dataset", "digit"], "digits"),
        (["bench", "--model", "resnet5"], "resnet50"),
        (["bench", "--mean-over", "filter"], "filters"),
        (["kernels", "mobilnetv2"], "mobilenetv2"),
        (["kernels", "resnet50", "--mean-over", "kernel"], "kernels"),
    ],
)
def test_near_miss_on_the_command_line(
    arguments, nearest, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.endswith(
        f"'{arguments[-1 - ('--list' in arguments)]}'. Did you mean '{nearest}'?\n"
    )
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--presett", "--optimiser", "--sed"])
def test_near_miss_of_an_option(option, capsys):
    assert cli.app(["study", option, "x"]) == 2
    nearest = {"--presett": "--preset", "--optimiser": "--optimizer", "--sed": "--seed"}
    err = capsys.readouterr().err
    assert f"No such option: {option}" in err
    assert nearest[option] in err


@pytest.mark.parametrize(
    ("check", "name", "nearest"),
    [
        (lambda name: datasets.load(name), "cifar_100", "cifar100"),
        (lambda name: models.build(name, (32, 32, 3), 10), "resnet_50", "resnet50"),
        (lambda name: networks.build(name), "manysmall", "many-small"),
        (lambda name: presets.preset(name), "cpu_sweep", "cpu-sweep"),
        (lambda name: arm_fields(name), "fan_in_update", "fan_in-update"),
        (lambda name: dataclasses.replace(SPEC, sampler=name), "weigthed", "weighted"),
        (lambda name: study().select(arm=[name]), "filter", "filters"),
    ],
)
def test_near_miss_in_python(check, name, nearest):
    with pytest.raises(ValueError, match=r"must be one of .*Received: ") as refused:
        check(name)
    assert str(refused.value).endswith(f"Received: {name!r}. Did you mean {nearest!r}?")


def study() -> StudySpec:
    return presets.preset("quick")


@pytest.mark.parametrize("value", [None, 3, [1], {}, "zzz", "", "\n", b"x"])
def test_no_suggestion(value):
    with pytest.raises(ValueError, match="sampler must be one of shuffled") as refused:
        dataclasses.replace(SPEC, sampler=value)
    assert str(refused.value).endswith(f"Received: {value!r}")
    assert "\n" not in str(refused.value)
