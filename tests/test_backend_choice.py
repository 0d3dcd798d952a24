"""The choice of the backend, and invalid settings of Keras."""

import json
import os
import sys

import pytest

from keras_wgd import cli, settings
from keras_wgd.cli import options
from keras_wgd.cli.options import UserError, choose_backend

pytestmark = pytest.mark.any_backend

ALL = ["tensorflow", "jax", "torch"]
# What Keras 3.15 writes when it is imported for the first time.
WRITTEN = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
COMMANDS = [
    ["kernels", "mobilenetv2"],
    ["run", "--dataset", "digits", "--epochs", "1", "--train-size", "64"],
    ["study", "--preset", "quick", "--out", "out"],
    ["study", "--preset", "quick", "--out", "out", "--dry-run"],
    ["bench", "--model", "resnet18", "--optimizer", "sgdm", "--rounds", "1"],
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Keras's folder, as in a process that has not imported Keras."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    return tmp_path / "keras"


def installed(monkeypatch, names):
    monkeypatch.setattr(options, "installed_backends", lambda: names)


@pytest.mark.parametrize(
    ("there", "option", "variable", "file", "chosen"),
    [
        (ALL, "jax", "torch", {"backend": "tensorflow"}, "jax"),
        (ALL, None, "torch", {"backend": "jax"}, "torch"),
        (ALL, None, "", {"backend": "jax"}, "jax"),
        (ALL, None, None, {"backend": "jax"}, "jax"),
        (ALL, None, None, None, "tensorflow"),
        (ALL, None, None, WRITTEN, "tensorflow"),
        (["tensorflow", "torch"], None, None, {"floatx": "float64"}, "tensorflow"),
        (["torch"], "torch", None, WRITTEN, "torch"),
        (["torch"], None, "torch", None, "torch"),
    ],
)
def test_order_of_the_choices(
    home, monkeypatch, capsys, there, option, variable, file, chosen
):
    installed(monkeypatch, there)
    if variable is not None:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    if file is not None:
        (home / "keras.json").write_text(json.dumps(file))
    assert choose_backend(option) == chosen
    assert os.environ["KERAS_BACKEND"] == chosen
    assert "keras" not in sys.modules
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("file", [None, WRITTEN, {"floatx": "float64"}])
@pytest.mark.parametrize("only", ALL)
def test_only_backend_installed(home, monkeypatch, capsys, only, file):
    installed(monkeypatch, [only])
    if file is not None:
        (home / "keras.json").write_text(json.dumps(file))
    assert choose_backend(None) == only
    assert capsys.readouterr() == (
        "",
        f"keras-wgd: using {only}, the only backend installed "
        "(set KERAS_BACKEND to choose)\n",
    )


@pytest.mark.parametrize(
    ("there", "option", "file", "message"),
    [
        (["jax", "torch"], None, WRITTEN, "KERAS_BACKEND: jax or torch is installed"),
        ([], None, None, r"pip install 'keras-wgd\[jax\]', or .*tensorflow.*: none"),
        (["torch"], "jax", None, r"pip install 'keras-wgd\[jax\]'.* Received: 'jax'$"),
        (["torch"], None, {"backend": "jax"}, r"Received: 'jax' in .*keras\.json$"),
        (
            ["torch"],
            None,
            {**WRITTEN, "floatx": "float64"},
            r"pip install .*Received: 'tensorflow' in .*keras\.json$",
        ),
    ],
)
def test_backend_not_installed(home, monkeypatch, there, option, file, message):
    installed(monkeypatch, there)
    if file is not None:
        (home / "keras.json").write_text(json.dumps(file))
    with pytest.raises(UserError, match=message):
        choose_backend(option)


def test_folder_is_no_backend(tmp_path, monkeypatch):
    """To Python, a folder with the name of a backend is an empty package."""
    (tmp_path / "jax").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    assert options.installed_backends() == [
        name for name in ALL if name in sys.modules and name != "jax"
    ]


def test_backend_of_this_process():
    import keras

    here = keras.backend.backend()
    other = next(name for name in ALL if name != here)
    with pytest.raises(UserError, match=f"backend must be {here}.*{other!r}"):
        choose_backend(other)


def assert_one_line(capsys, arguments, *words):
    assert cli.app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keras-wgd: error: ")
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["numpy", "openvino", "mxnet", "", 3])
def test_keras_json_with_another_backend(home, monkeypatch, capsys, command, name):
    monkeypatch.chdir(home.parent)
    (home / "keras.json").write_text(json.dumps({"backend": name}))
    wanted = f"one of tensorflow, jax, torch. Received: {str(name)!r}"
    assert_one_line(capsys, command, wanted, str(home / "keras.json"))
    assert [path.name for path in home.parent.iterdir()] == ["keras"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("\xff", "must be JSON"),
        ("[]", "must hold a JSON object"),
        ('{"floatx": "bfloat16"}', "float16, float32, float64. Received: 'bfloat16'"),
        ('{"floatx": []}', "float16, float32, float64. Received: []"),
        ('{"epsilon": 1}', "a number with a decimal point. Received: 1"),
        ('{"image_data_format": "x"}', "channels_last, channels_first. Received: 'x'"),
        ('{"nnx_enabled": true}', "nnx_enabled"),
    ],
)
def test_invalid_keras_json(home, monkeypatch, capsys, command, text, message):
    monkeypatch.chdir(home.parent)
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # Keras reads the file all the same
    (home / "keras.json").write_text(text, encoding="latin-1")
    assert_one_line(capsys, command, message, str(home / "keras.json"))


def test_unreadable_keras_json(home, capsys):
    (home / "keras.json").mkdir()
    assert_one_line(capsys, COMMANDS[1], "Is a directory", str(home / "keras.json"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERAS_MAX_EPOCHS", "many"),
        ("KERAS_MAX_STEPS_PER_EPOCH", ""),
        ("KERAS_NNX_ENABLED", "True"),
    ],
)
def test_invalid_variable(home, monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    assert_one_line(capsys, COMMANDS[1], name, f"Received: {value!r}")


def test_path_of_keras_json(monkeypatch, tmp_path):
    from keras.src.backend import config

    monkeypatch.setenv("KERAS_HOME", "~/k")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.keras_json() == tmp_path / "k" / "keras.json"
    monkeypatch.delenv("KERAS_HOME")
    assert settings.keras_json() == tmp_path / ".keras" / "keras.json"
    monkeypatch.undo()
    assert str(settings.keras_json().parent) == os.path.expanduser(config.keras_home())
