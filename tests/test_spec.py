import dataclasses

import pytest

from keras_wgd.experiments.fields import field, number
from keras_wgd.experiments.spec import ARMS, Grid, RunSpec, StudySpec, arm_fields
from keras_wgd.optimizers.means import MEANS
from keras_wgd.presets import PRESETS, preset

pytestmark = pytest.mark.any_backend

SPEC = RunSpec(dataset="digits", model="resnet8", optimizer="radam")


def test_defaults_are_table_1():
    assert (SPEC.batch_size, SPEC.epochs, SPEC.momentum) == (32, 50, 0.9)
    assert (SPEC.learning_rate, SPEC.weight_decay, SPEC.epsilon) == (0.01, 1e-3, 1e-10)
    assert SPEC.sampler == "weighted"


def test_spec_round_trip_and_frozen():
    assert RunSpec.from_dict(SPEC.to_dict()) == SPEC
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.seed = 1


def test_id_depends_on_every_field():
    others = {
        "dataset": "cifar100",
        "model": "resnet20",
        "optimizer": "adam",
        "optimizer_settings": "amsgrad=true",
        "mean_over": "filters",
        "seed": 1,
        "epochs": 2,
        "batch_size": 3,
        "learning_rate": 0.5,
        "momentum": 0.5,
        "weight_decay": 0.5,
        "epsilon": 0.5,
        "sampler": "shuffled",
        "image_size": 64,
        "stem": "small",
        "train_size": 5,
        "test_size": 5,
    }
    assert {*others, "placement"} == set(SPEC.to_dict())
    names = {dataclasses.replace(SPEC, **{k: v}).id for k, v in others.items()}
    assert len(names | {SPEC.id}) == len(others) + 1
    wrapped = dataclasses.replace(SPEC, mean_over="filters")
    assert dataclasses.replace(wrapped, placement="update").id not in names
    with pytest.raises(ValueError, match=r"needs a mean_over of .* 'update' without"):
        dataclasses.replace(SPEC, placement="update")
    assert SPEC.id.startswith("digits-resnet8-radam-plain-s0-")
    assert dataclasses.replace(SPEC, mean_over="fan_in", placement="update").arm == (
        "fan_in-update"
    )


def test_settings_in_any_order_have_one_id():
    one, other = (
        dataclasses.replace(SPEC, optimizer_settings=text)
        for text in ("clipnorm=1,amsgrad=true", "amsgrad=true,clipnorm=1,clipnorm=1")
    )
    assert (one, one.id) == (other, other.id)
    assert RunSpec.from_dict(one.to_dict()) == one
    older = {k: v for k, v in SPEC.to_dict().items() if k != "optimizer_settings"}
    assert RunSpec.from_dict(older) == SPEC


def test_integers_and_floats_have_one_id():
    whole = dataclasses.replace(SPEC, learning_rate=1, weight_decay=0)
    assert whole.id == dataclasses.replace(SPEC, learning_rate=1.0, weight_decay=0.0).id


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("optimizer", "Adam W", "letters, digits and _. Received: 'Adam W'"),
        ("optimizer", 3, "letters, digits and _. Received: 3"),
        ("optimizer_settings", "amsgrad", "NAME=VALUE,NAME=VALUE. Received: 'amsgrad'"),
        ("optimizer_settings", "a=1,", "NAME=VALUE,NAME=VALUE. Received: 'a=1,'"),
        ("optimizer_settings", "a=1\n", "NAME=VALUE,NAME=VALUE. Received"),
        ("optimizer_settings", ["a=1"], "NAME=VALUE,NAME=VALUE. Received"),
        ("mean_over", "none", f"{', '.join(MEANS)}. Received: 'none'"),
        ("placement", "weights", "gradient, update. Received: 'weights'"),
        ("epochs", 0, "whole number of at least 1 .* Received: 0"),
        ("batch_size", 1.5, "whole number of at least 1 .* Received: 1.5"),
        ("sampler", "random", "shuffled, weighted. Received: 'random'"),
        ("stem", "large", "small. Received: 'large'"),
        ("image_size", 0, "whole number of at least 1 .* Received: 0"),
        ("train_size", -1, "whole number of at least 1 .* Received: -1"),
        ("seed", -1, "whole number of at least 0 .* Received: -1"),
        ("seed", 2**32, "at most 4294967295. Received: 4294967296"),
        ("seed", True, "Received: True"),
        ("learning_rate", 0.0, "above 0 .* Received: 0.0"),
        ("learning_rate", float("nan"), "above 0 .* Received: nan"),
        ("epsilon", -1.0, "above 0 .* Received: -1.0"),
        ("weight_decay", -1.0, "at least 0 .* Received: -1.0"),
        ("weight_decay", float("inf"), "Received: inf"),
        ("momentum", 1.0, "at least 0 and below 1. Received: 1.0"),
        ("batch_size", 10**30, "at most 2147483647. Received: 10{30}$"),
        ("image_size", 10**30, "at most 4096. Received: 10{30}$"),
        ("image_size", 4097, "whole number of at least 1 and at most 4096. .*: 4097"),
        ("train_size", 2**63, "at most 2147483647. Received: 9223372036854775808"),
        ("epochs", 2**31, "at most 2147483647. Received: 2147483648"),
        ("learning_rate", "fast", "a number above 0 .* Received: 'fast'"),
        ("learning_rate", True, "a number above 0 .* Received: True"),
        ("learning_rate", None, "a number above 0 .* Received: None"),
        ("learning_rate", 1e30, r"above 0 and below 1e\+30. Received: 1e\+30"),
        pytest.param(
            "epsilon", 10**400, r"below 1e\+30. Received: 10{400}$", id="huge"
        ),
        pytest.param("weight_decay", -(10**400), "at least 0 .*: -10{400}$", id="low"),
        ("momentum", False, "a number at least 0 and below 1. Received: False"),
    ],
)
def test_values_out_of_range(field, value, message):
    with pytest.raises(ValueError, match=f"^{field} must be .*{message}"):
        dataclasses.replace(SPEC, **{field: value})


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        {**SPEC.to_dict(), "color": 1},
        {**SPEC.to_dict(), "epochs": "many"},
        {**SPEC.to_dict(), "learning_rate": "fast"},
        {**SPEC.to_dict(), "dataset": 3},
        {**SPEC.to_dict(), "model": "../../etc"},
    ],
)
def test_from_dict_of_other_data(fields):
    with pytest.raises(ValueError, match=r"run's spec|must be"):
        RunSpec.from_dict(fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaterSpec(RunSpec):
    """A run with a field that older files lack."""

    noise: float = field(0.0, check=number(below=1), added=True, help="Noise.")


def test_added_field():
    later = LaterSpec.from_dict(SPEC.to_dict())
    assert (later.noise, later.id) == (0.0, SPEC.id)
    other = dataclasses.replace(later, noise=0.5)
    assert other.id != SPEC.id
    assert LaterSpec.from_dict(other.to_dict()) == other
    with pytest.raises(ValueError, match=r"noise must be .* below 1. Received: 2"):
        dataclasses.replace(later, noise=2)
    with pytest.raises(ValueError, match="must have the fields of RunSpec"):
        RunSpec.from_dict(other.to_dict())


def small_study():
    grid = Grid(
        base=SPEC,
        learning_rates={"adam": (0.1, 0.3), "radam": (0.2,)},
        arms=("plain", "kernels"),
        seeds=(4, 5),
    )
    other = Grid(
        base=SPEC, learning_rates={"adam": (0.1,)}, arms=("plain",), seeds=(4,)
    )
    return StudySpec(name="small", grids=(grid, other))


def test_runs_of_a_study():
    runs = small_study().runs()
    assert len(runs) == len({run.id for run in runs}) == 12
    assert {(r.optimizer, r.learning_rate) for r in runs} == {
        ("adam", 0.1),
        ("adam", 0.3),
        ("radam", 0.2),
    }
    assert [run.seed for run in runs] == [4] * 6 + [5] * 6


def test_study_replace_and_select():
    study = small_study().replace(seeds=(7,), learning_rate=0.5, epochs=3)
    runs = study.runs()
    assert {(run.seed, run.learning_rate, run.epochs) for run in runs} == {(7, 0.5, 3)}
    assert len(runs) == 4
    (run,) = study.select(arm=["kernels"], optimizer=["radam"], model=[])
    assert (run.arm, run.optimizer) == ("kernels", "radam")
    with pytest.raises(ValueError, match=r"one of plain, kernels.*'fan_in'"):
        study.select(arm=["fan_in"])


@pytest.mark.parametrize("arm", ARMS)
def test_fields_of_an_arm(arm):
    assert dataclasses.replace(SPEC, **arm_fields(arm)).arm == arm


def test_paper_preset_has_48_runs():
    runs = preset("paper").runs()
    assert len({run.id for run in runs}) == 48
    columns = {
        name: {getattr(run, name) for run in runs}
        for name in ("dataset", "model", "optimizer", "arm", "seed", "image_size")
    }
    assert columns == {
        "dataset": {"animals10", "cifar100"},
        "model": {"densenet121", "resnet18", "resnet50"},
        "optimizer": {"sgdm", "adam", "nadam", "radam"},
        "arm": {"plain", "filters"},
        "seed": {0},
        "image_size": {224},
    }
    table_1 = RunSpec(dataset="any", model="any", optimizer="sgdm")
    for name in ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay"):
        assert {getattr(run, name) for run in runs} == {getattr(table_1, name)}


def test_released_preset_has_its_arms():
    arms = {(run.optimizer, run.arm) for run in preset("released").runs()}
    plain = {(optimizer, "plain") for optimizer in ("sgdm", "adam", "nadam", "radam")}
    assert arms - plain == {
        ("sgdm", "fan_in"),
        ("adam", "fan_in"),
        ("radam", "fan_in-update"),
    }
    assert plain < arms


@pytest.mark.parametrize("name", ["quick", "cpu"])
def test_small_presets_have_every_optimizer_and_arm(name):
    runs = preset(name).runs()
    optimizers = ("sgdm", "adam", "nadam", "radam")
    for dataset in {run.dataset for run in runs}:
        part = [run for run in runs if run.dataset == dataset]
        assert {(run.optimizer, run.arm) for run in part} == {
            (o, a) for o in optimizers for a in ("plain", "filters", "fan_in")
        }
        assert len({run.seed for run in part}) >= 3


def test_unknown_preset():
    assert all(study.name == name for name, study in PRESETS.items())
    with pytest.raises(ValueError, match=r"preset must be one of .*quick.*'slow'"):
        preset("slow")
