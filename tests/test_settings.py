import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from support.hostile import HOSTILE
from support.runs import ARMS
from support.small_study import SCRIPT, build, options

from keras_wgd import environment as environments
from keras_wgd import settings
from keras_wgd.environment import environment, keras_defaults
from keras_wgd.experiments.options import Options
from keras_wgd.experiments.store import results
from keras_wgd.experiments.training import inputs, train
from keras_wgd.experiments.training.study import StudyTask
from keras_wgd.files import printable
from keras_wgd.tasks import models

BACKEND = keras.backend.backend()
SPEC = dataclasses.replace(ARMS["filters"], batch_size=16, train_size=32, test_size=20)
RESULTS = Path(__file__).parents[1] / "examples" / "results"


def set_custom_object(value):
    keras.saving.get_custom_objects()["glorot_uniform"] = value


# Each of them alone would change the results of a run.
OTHERS = {
    "image_data_format": "channels_first",
    "floatx": "float64",
    "epsilon": 1e-2,
    "dtype_policy": "mixed_bfloat16",
    "max_epochs": 1,
    "max_steps_per_epoch": 1,
}


def of_keras():
    """The settings of Keras, from its own functions."""
    config = keras.config
    return {
        "image_data_format": config.image_data_format(),
        "floatx": config.floatx(),
        "epsilon": config.epsilon(),
        "dtype_policy": config.dtype_policy().name,
        "max_epochs": getattr(config, "max_epochs", lambda: None)(),
        "max_steps_per_epoch": getattr(config, "max_steps_per_epoch", lambda: None)(),
    }


@pytest.fixture(autouse=True)
def clean():
    """Restore the settings of Keras after each test."""
    before = of_keras()
    yield
    keras.saving.get_custom_objects().pop("glorot_uniform", None)
    keras.distribution.set_distribution(None)
    for name in before:
        getattr(keras.config, f"set_{name}", lambda value: None)(before[name])


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(models, "build", build)
    return inputs.load(SPEC, Options())


def test_defaults_are_those_of_keras():
    code = "import json, keras, test_settings as t; print(json.dumps(t.of_keras()))"
    hidden = {"KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={k: v for k, v in os.environ.items() if k not in hidden}
        | {"KERAS_HOME": os.devnull},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == settings.KERAS


@pytest.mark.parametrize("name", OTHERS)
def test_keras_settings_do_not_change_a_run(small, name):
    if not hasattr(keras.config, f"set_{name}"):
        pytest.skip("this Keras has no such setting")
    wanted = train.train(SPEC, StudyTask(small))
    getattr(keras.config, f"set_{name}")(OTHERS[name])
    others = of_keras()
    assert others[name] == OTHERS[name]
    found = train.train(SPEC, StudyTask(small))
    assert of_keras() == others
    assert found.curves == wanted.curves
    assert found.metrics == wanted.metrics
    assert found.environment["keras"] == settings.KERAS
    assert found.settings == wanted.settings


def test_custom_objects_do_not_change_a_run(small):
    wanted = train.train(SPEC, StudyTask(small))
    set_custom_object(keras.initializers.Zeros)
    layer = keras.layers.Conv2D(2, 3)
    layer.build((None, 8, 8, 1))
    assert not keras.ops.convert_to_numpy(layer.kernel).any()
    assert train.train(SPEC, StudyTask(small)).curves == wanted.curves
    objects = keras.saving.get_custom_objects()
    assert objects["glorot_uniform"] is keras.initializers.Zeros
    assert "keras_wgd>WGDWrapper" in objects


def test_settings_are_restored_after_an_error():
    distribution = object()  # Keras keeps any
    keras.distribution.set_distribution(distribution)
    for name, value in OTHERS.items():
        getattr(keras.config, f"set_{name}", lambda value: None)(value)
    before = of_keras()

    @keras_defaults()
    def fail():
        assert of_keras() == settings.KERAS
        assert keras.distribution.distribution() is None
        keras.utils.clear_session()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert of_keras() == before
    assert keras.distribution.distribution() is distribution


def test_keras_json_does_not_change_a_run(tmp_path):
    script = tmp_path / "command.py"
    script.write_text(SCRIPT.format(tests=os.path.dirname(__file__)))
    (tmp_path / "keras.json").write_text(
        json.dumps(
            {
                "backend": BACKEND,
                "floatx": "float64",
                "epsilon": 1e-2,
                "image_data_format": "channels_first",
            }
        )
    )
    others = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}
    others["KERAS_HOME"] = str(tmp_path)
    found = []
    for changed in ({"KERAS_HOME": os.devnull}, others):
        done = subprocess.run(
            [sys.executable, script, "run", *options(SPEC.to_dict()), "--json"],
            env=os.environ | changed,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    plain, changed = found
    assert changed["curves"] == plain["curves"]
    assert changed["environment"]["keras"] == settings.KERAS


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("backend", "variables", "found"),
    [
        ("jax", {}, {}),
        ("jax", {"JAX_ENABLE_X64": "true"}, {"JAX_ENABLE_X64": "1"}),
        ("jax", {"JAX_ENABLE_X64": "off"}, {}),
        ("jax", {"JAX_ENABLE_X64": ""}, {}),
        ("torch", {"JAX_ENABLE_X64": "1"}, {}),
        ("jax", {"JAX_DEFAULT_PRNG_IMPL": "threefry2x32"}, {}),
        (
            "jax",
            {"JAX_DEFAULT_MATMUL_PRECISION": "BFloat16"},
            {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"},
        ),
        ("torch", {"NVIDIA_TF32_OVERRIDE": "0"}, {"NVIDIA_TF32_OVERRIDE": "0"}),
        (
            "torch",
            {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"},
            {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"},
        ),
        ("jax", {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}, {}),
        (
            "tensorflow",
            {"XLA_FLAGS": "--b=1 --xla_dump_to=/tmp  --a=Two"},
            {"XLA_FLAGS": "--a=Two --b=1"},
        ),
        ("jax", {"OMP_NUM_THREADS": "3"}, {}),
    ],
)
def test_deciding_variables(monkeypatch, backend, variables, found):
    for name in settings.names(backend):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert settings.deciding(backend) == found
    assert settings.of_process(backend) == found


def test_record_of_settings(monkeypatch):
    for name in settings.names(BACKEND):
        monkeypatch.delenv(name, raising=False)
    assert environment()["settings"] == {}
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with keras_defaults():
        record = json.loads(json.dumps(environment()))
    assert record["keras"] == settings.KERAS
    assert record["settings"] == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert record["variables"] == {"OMP_NUM_THREADS": "3"}
    assert settings.of_record(record) == {"NVIDIA_TF32_OVERRIDE": "0"}


@pytest.mark.any_backend
def test_results_without_settings():
    folders = [path.parent for path in RESULTS.glob("*/study.json")]
    found = [result for path in folders for result in results.read_all(path)[0]]
    assert found
    old = [result for result in found if "settings" not in result.environment]
    assert all(result.settings == {} for result in old)


@pytest.mark.any_backend
def test_record_of_other_keras_settings():
    record = {"keras": {**settings.KERAS, "floatx": "float64"}, "settings": {}}
    assert settings.of_record(record) == {"floatx": "float64"}
    assert settings.as_text({"a": "1", "b": "2"}) == "a=1, b=2"
    assert settings.difference({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == (
        "a 1, now not set, b 2, now 3, c not set, now 4"
    )


@pytest.mark.any_backend
def test_hostile_record():
    texts = []
    for text in HOSTILE:
        for record in ({"settings": {text: text}}, {"settings": text, "keras": [text]}):
            words = settings.as_text(settings.of_record(record))
            assert words == printable(words)
            assert not set("<>[]\"'|{}&") & set(words)
            assert 0 < len(words) < 1000
            texts.append(words)
    assert len(set(texts)) == len(texts)


@pytest.mark.any_backend
def test_commit_of_the_checkout(tmp_path, monkeypatch):
    def git(*arguments):
        name = ["-c", "user.name=n", "-c", "user.email=e@x"]
        done = subprocess.run(
            ["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    file = tmp_path / "environment.py"
    file.write_text("")
    monkeypatch.setattr(environments, "__file__", str(file))
    assert environments._commit() is None
    git("init")
    git("commit", "--allow-empty", "--message", "another project's")
    assert environments._commit() is None
    git("add", file.name)
    git("commit", "--message", "ours")
    assert environments._commit() == git("rev-parse", "--short", "HEAD")
    file.write_text("changed")
    assert environments._commit().endswith("-dirty")
