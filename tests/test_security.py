"""Hostile files execute nothing, write nowhere else, and print only text."""

import ast
import html
import json
import os
import re
import zipfile
from pathlib import Path

import keras
import pytest
from rich.console import Console
from support.networks import compiled, convnet, images
from support.results import result_of
from support.runs import SPEC

import keras_wgd
from keras_wgd import WGD, cli, conv_kernels
from keras_wgd.cli import display, launch
from keras_wgd.experiments.launch import runner
from keras_wgd.experiments.launch.events import failure
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import claim, results
from keras_wgd.optimizers.kernels import ConvKernel

SOURCES = sorted(Path(keras_wgd.__file__).parent.rglob("*.py"))
NEVER = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
NEVER |= {"builtins", "runpy"}
# Imported as modules only, so that each call shows the name of the module.
WHOLE = {"os", "subprocess", "importlib"}
RUNS = {"eval", "exec", "compile", "__import__", "system", "popen", "Popen", "load"}
STARTS = ("exec", "spawn", "posix_spawn", "startfile")
# What runs or reads code that the user of this process has written: a task file, the
# functions of a task on their way to a worker, and the lambdas of a model.
OWN_CODE = {
    "task_file": {"exec", "compile"},
    "launcher": {"cloudpickle"},
    "worker": {"cloudpickle"},
    "fingerprint": {"marshal"},
}


@pytest.mark.any_backend
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_executes_what_it_reads(path):
    """Methods called `compile` are allowed: of torch, and of models."""
    allowed = OWN_CODE.get(path.stem, set())
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names.append(getattr(node, "module", None) or "")
            assert not {name.partition(".")[0] for name in names} & (NEVER - allowed)
            assert names[-1] not in WHOLE
            assert not {alias.name for alias in node.names if alias.asname} & WHOLE
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                assert function.id not in RUNS - {"load"} - allowed
            if isinstance(function, ast.Attribute):
                owner = ast.unparse(function.value)
                assert (owner, function.attr) not in {("np", "load"), ("torch", "load")}
                assert owner != "os" or function.attr not in RUNS
                assert owner != "os" or not function.attr.startswith(STARTS)
                if owner == "subprocess":
                    assert function.attr == "run"
                if function.attr == "import_module":  # modules of this package only
                    assert ast.unparse(node.args[0]).startswith("f'{__name__}.")
            for keyword in node.keywords:
                assert keyword.arg not in {"shell", "safe_mode"}
                if keyword.arg == "allow_pickle":
                    assert ast.literal_eval(keyword.value) is False


@keras.saving.register_keras_serializable(package="test_security")
class Witness(keras.layers.Layer):
    """A registered class that is no optimizer; records that it was created."""

    made = False

    def __init__(self, **options):
        type(self).made = True
        super().__init__(**options)


def named(module, class_name, config, registered_name=None):
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered_name,
    }


TOUCH = "touch sprung"
NOT_OPTIMIZERS = [
    named("os", "system", TOUCH),
    named("posix", "system", TOUCH, "system"),
    named("subprocess", "Popen", {"args": ["touch", "sprung"]}),
    named("builtins", "exec", "open('sprung', 'w').close()"),
    named("builtins", "eval", {"source": "open('sprung', 'w').close()"}),
    named("builtins", "function", "exec"),
    named("pathlib", "Path.touch", "sprung"),
    named("test_security", "Witness", {}, "test_security>Witness"),
    named("keras.optimizers", "Adam", {}, "test_security>Witness"),
    named("keras.layers", "Dense", {"units": 1}),
    named("keras.layers", "StringLookup", {"vocabulary": "secret"}),
    named("keras.utils", "get_file", {"fname": "sprung", "origin": "file:secret"}),
    named("keras.config", "enable_unsafe_deserialization", {}),
    named("keras.saving", "load_model", {"filepath": "secret"}),
    named("keras.optimizers", ["Adam"], {}),
    named("keras.optimizers", "Adam", TOUCH),
    named("keras.optimizers", "Adam", {"learning_rate": named("os", "system", TOUCH)}),
    {"class_name": "os.system", "config": {"command": TOUCH}},
    {"class_name": "Adam", "config": TOUCH},
    "os.system",
    ["os", "system", TOUCH],
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The members of a .keras file of a model that was trained with WGD."""
    model = convnet()
    compiled(model, WGD("adam", kernels=model)).train_on_batch(*images(model))
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def with_optimizer(path, saved, **fields):
    """Write the file with other fields in the optimizer's config."""
    config = json.loads(saved["config.json"])
    config["compile_config"]["optimizer"]["config"] |= fields
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (saved | {"config.json": json.dumps(config)}).items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("config", NOT_OPTIMIZERS, ids=str)
def test_invalid_inner_optimizer_is_never_created(monkeypatch, tmp_path, saved, config):
    path = with_optimizer(tmp_path / "model.keras", saved, inner_optimizer=config)
    (tmp_path / "secret").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Witness, "made", False)
    for load in (
        lambda: WGD(config),
        lambda: WGD.from_config({"inner_optimizer": config}),
        lambda: keras.saving.load_model(path),
    ):
        with pytest.raises(ValueError, match="must be a Keras optimizer") as refused:
            load()
        assert "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "secret"}
    assert not Witness.made


KERNEL = ConvKernel("first/kernel", (3, 3, 3, 4), "Conv2D", index=0).get_config()


@pytest.mark.parametrize(
    "kernels",
    [
        *("abc", 3, {"path": "a"}, [3], ["first/kernel"], [{}], [[]]),
        [{**KERNEL, "variable": "a"}],
        *([{**KERNEL, "shape": s}] for s in (None, 3, "abc", [-1], [0, 1], [1e300])),
        *([{**KERNEL, "index": i}] for i in (-1, "0", 0.5, True)),
        *([{**KERNEL, "groups": g}] for g in (0, -2, None, "2", 1.0)),
        *([{**KERNEL, "kind": k}] for k in ("strange", None, [])),
        *([{**KERNEL, "path": p}] for p in (None, 3, ["first/kernel"])),
        [{**KERNEL, "layer": 3}],
        [named("os", "system", TOUCH)],
    ],
    ids=str,
)
def test_invalid_kernels(monkeypatch, tmp_path, saved, kernels):
    """They are not ignored: the optimizer would silently be a plain one."""
    path = with_optimizer(tmp_path / "model.keras", saved, kernels=kernels)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"config must be .*Received: "):
        keras.saving.load_model(path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_file_without_kernels(tmp_path, saved):
    path = with_optimizer(tmp_path / "model.keras", saved, kernels=[])
    with pytest.warns(UserWarning, match="found nothing to center among 6 trainable"):
        keras.saving.load_model(path)
    other = [{**KERNEL, "path": "other/kernel", "shape": [5, 5, 1, 7]}]
    path = with_optimizer(tmp_path / "model.keras", saved, kernels=other)
    with pytest.raises(ValueError, match="kernels must belong to the model"):
        keras.saving.load_model(path)


def test_lambda_layer_is_not_run(monkeypatch, tmp_path, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    model = convnet()
    # The layer is called when the model is built, and again when it is loaded.
    trap = keras.layers.Lambda(lambda x: [__import__("os").mkdir("sprung"), x][1])
    model.add(trap)
    compiled(model, WGD("sgd", kernels=model)).save("model.keras")
    os.rmdir("sprung")
    with pytest.raises(ValueError, match="unsafe"):
        keras.saving.load_model("model.keras")
    assert cli.app(["kernels", "model.keras"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("keras-wgd: error: network must be a whole .keras file")
    assert err.count("\n") == 1
    assert os.listdir() == ["model.keras"]
    keras.saving.load_model("model.keras", safe_mode=False)
    assert sorted(os.listdir()) == ["model.keras", "sprung"]  # the trap works


HOSTILE_NAMES = [
    "\x1b[2J",
    "[red]",
    "[/red]",
    "[link=http://a]b",
    "a\nb",
    "\u202e",
    "[[",
    "<b>&lt;",
]
TAGS = {"p", "table", "thead", "tbody", "tr", "th", "td", "br/"}


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_hostile_layer_names(capsys, name):
    model = convnet()
    kernels = [
        ConvKernel(**{**vars(kernel), "layer": name}) for kernel in conv_kernels(model)
    ]
    optimizer = WGD("sgd", kernels=kernels)
    optimizer.build(model.trainable_variables)
    summary = optimizer._summary()
    reason = f"{name}: not a convolution kernel"
    summary._rows = [
        row._replace(path=f"x/{name}/kernel", reason=row.reason and reason)
        for row in summary._rows
    ]
    summary.print()
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    shown = name.encode("unicode_escape").decode()
    assert out.count(shown) == 5  # two paths, two layers, and the reason
    page = summary._repr_html_()
    assert page.isprintable()
    assert page.count(html.escape(shown)) == 5
    assert set(re.findall("</?([^ >]*)", page)) == TAGS


@pytest.mark.parametrize("name", [".lock", ".lock-1-of-2"])
def test_lock_that_is_a_link(tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(elsewhere)
    with (
        pytest.raises(ValueError, match=r"locks itself. Received: .*lock.*, a link"),
        claim.claim(out, [SPEC], "jax", claim.Shard(1, 2)),
    ):
        pass
    assert elsewhere.read_text() == "mine"


def test_hostile_folder_names(tmp_path, capsys):
    results.write(tmp_path, result_of(SPEC))
    names = ["\x1b]0;owned\x07", "a\nkeras-wgd: all is well", "[red]x", "$(touch x)"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "spec.json").write_text("{")
    (found,), problems = results.read_all(tmp_path)
    display.print_problems(Console(), problems)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert out.count("\n") == out.count("not used: ") == len(names)
    assert "[red]x" in out
    assert found.spec == SPEC


def test_hostile_failure_reason(tmp_path, capsys, monkeypatch):
    event = failure(SPEC, ValueError("a\x1b[2J\n[red]\u202eb"))
    monkeypatch.setattr(runner, "run_all", lambda *_: (e for e in [event]))
    console = Console()
    assert launch.make_runs(console, tmp_path, [SPEC], 1, Options()) == 1
    line = next(x for x in capsys.readouterr().out.splitlines() if "failed" in x)
    assert line.endswith(r"ValueError: a\x1b[2J [red]\u202eb")
