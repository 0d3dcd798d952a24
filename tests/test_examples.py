"""Each example runs once, with the backend that it is about."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.any_backend]

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))

BACKEND_OF = {
    "backends": "torch",
    "compare": "torch",
    "data_parallel": "jax",
    "evidence": "jax",
    "fine_tuning": "torch",
    "keras_cv_resnet18": "torch",
    "loop_jax": "jax",
    "loop_tensorflow": "tensorflow",
    "loop_torch": "torch",
    "migrate": "torch",
    "mixed_precision": "tensorflow",
    "quickstart": "jax",
    "what_wgd_removes": "tensorflow",
}


def test_every_example_is_run_and_listed():
    assert sorted(f"{name}.py" for name in BACKEND_OF) == [p.name for p in EXAMPLES]
    page = (FOLDER / "README.md").read_text("utf-8")
    for path in EXAMPLES:
        assert f"]({path.name})" in page


def output(folder, name, *arguments):
    """What an example prints, run in `folder`."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *arguments],
        env={**os.environ, "KERAS_BACKEND": BACKEND_OF[name]},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def numbers(pattern, text):
    return [float(found) for found in re.findall(pattern, text)]


def test_quickstart(tmp_path):
    printed = output(tmp_path, "quickstart")
    assert printed.count("test loss") == 2
    assert "2 of 6 trainable variables centered" in printed
    assert "loaded at step 225, resumed to step 270" in printed


def test_backends(tmp_path):
    printed = output(tmp_path, "backends")
    (difference,) = numbers(r"among 3 backends: (\S+)", printed)
    assert difference < 1e-5
    losses = numbers(r"(?m)^ +\d+ .* (\S+)$", printed)
    assert len(losses) == 10
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("name", ["loop_tensorflow", "loop_jax", "loop_torch"])
def test_custom_training_loops(tmp_path, name):
    printed = output(tmp_path, name)
    (difference,) = numbers(r"weights of fit: (\S+)", printed)
    assert difference < 1e-5
    losses = numbers(r"loss (\d\.\d+)", printed)
    assert losses[-1] < losses[0]
    if name == "loop_torch":
        assert max(numbers(r"then (\S+)", printed)) < 1e-7


def test_compare(tmp_path):
    printed = output(tmp_path, "compare")
    assert re.search(r"(?m)^wgd (is|and|against) .*\badam\b", printed)
    assert "margin, 0.5 points" in (tmp_path / "compare.html").read_text("utf-8")
    results = list((tmp_path / "runs/digits").rglob("result.json"))
    assert len(results) >= 8


def test_data_parallel(tmp_path):
    printed = output(tmp_path, "data_parallel")
    (difference,) = numbers(r"from one device (\S+)", printed)
    assert difference < 1e-5


def test_evidence(tmp_path):
    """A comparison takes hours, so only the options are read."""
    plan = (FOLDER.parent / "docs/evidence-plan.md").read_text("utf-8")
    planned = re.findall(r"(?m)^\| ([A-Z]) \|", plan)
    printed = output(tmp_path, "evidence", "--help")
    listed = re.search(r"{(.*?)}", printed, re.DOTALL)[1]
    assert {name.strip()[0].upper() for name in listed.split(",")} == set(planned)


def test_fine_tuning(tmp_path):
    printed = output(tmp_path, "fine_tuning", "--epochs", "1")
    assert "260 frozen weights, largest change 0.0" in printed
    assert "256 frozen weights, largest change 0.0" in printed
    assert "0 of 2 trainable variables centered" in printed
    assert "3 of 6 trainable variables centered" in printed


def test_keras_cv_resnet18(tmp_path):
    printed = output(tmp_path, "keras_cv_resnet18")
    assert "20 of 62 trainable variables centered" in printed
    losses = numbers(r"loss (\S+),", printed)
    assert len(losses) == 2
    assert losses[1] < losses[0] / 4


def test_mixed_precision(tmp_path):
    rows = output(tmp_path, "mixed_precision").splitlines()[3:]
    columns = zip(*(map(float, row.split()) for row in rows), strict=True)
    _, _, scales, moves, taken = columns
    assert scales == (32768,) * 3 + (16384,) * 5
    assert [move > 0 for move in moves] == [True] * 3 + [False] + [True] * 4
    assert taken == (1, 2, 3, 3, 4, 5, 6, 7)


def test_migrate(tmp_path):
    printed = output(tmp_path, "migrate")
    assert "rho_threshold=5.0" in printed
    differences = numbers(r"in 100 steps (\S+)", printed)
    assert len(differences) == 4
    assert max(differences) < 1e-5


def test_what_wgd_removes(tmp_path):
    printed = output(tmp_path, "what_wgd_removes")
    shares = numbers(r"= (\S+)", printed)
    assert len(shares) == 3
    assert all(0.5 < share < 1 for share in shares)
    picture = (tmp_path / "what_wgd_removes.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert "what is left, h" in picture
