"""Progress of runs: a bar in a terminal, lines in a pipe."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console
from support import small_study

from keras_wgd import cli
from keras_wgd.progress import Bar, is_live
from keras_wgd.tasks import models

pytestmark = pytest.mark.any_backend

SIZES = ["--train-size", "64", "--test-size", "40", "--epochs", "4"]
RUN = ["run", "--dataset", "digits", *SIZES]
STUDY = ["study", "--preset", "quick", "--optimizer", "adam", "--seed", "0", *SIZES]
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("restored", [0, 4])
def test_time_left_of_resumed_runs(restored):
    """The epochs are longer than the 30 seconds of Rich's own estimate."""
    now = 0.0
    console = Console(
        file=Terminal(), force_terminal=True, width=80, get_time=lambda: now
    )
    bar = Bar(console, "training", 10)
    for _ in range(restored):
        bar.move(skipped=True)

    def shown():
        with console.capture() as captured:
            console.print(bar.get_renderable())
        return CODES.sub("", captured.get()).split(" epochs ")

    assert shown()[1].split() == ["0:00:00", "-:--:--", "left"]
    for epoch in (1, 2, 3):
        now += 60
        bar.move()
        done, times = shown()
        assert done.endswith(f"{restored + epoch}/10")
        assert times.split()[1] == f"0:{10 - restored - epoch:02}:00"
        now += 15  # it counts down in between
        assert shown()[1].split()[1] == f"0:{9 - restored - epoch:02}:45"
        now -= 15


def test_time_left_without_the_start_of_workers():
    now = 0.0
    bar = Bar(Console(file=Terminal(), get_time=lambda: now), "2 runs", 4)
    now = 28
    bar.begin()
    now = 30
    bar.begin()
    now = 40
    bar.move()
    now = 41
    bar.begin()  # of the second run, which is too late to count
    (task,) = bar.tasks
    assert bar.columns[-1].render(task).plain == "0:00:29 left"
    now = 100
    assert bar.columns[-1].render(task).plain == "0:00:00 left"


@pytest.mark.parametrize(
    ("file", "environment", "live"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_is_live(file, environment, live, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    console = Console(file=file, _environ=environment)
    assert is_live(console) is live


def lines_before_the_table(text):
    """The lines that are printed while runs are made."""
    assert "\r" not in text
    lines = CODES.sub("", text).splitlines()
    (table,) = (i for i, line in enumerate(lines) if line.startswith("resnet8 on"))
    return [line for line in lines[:table] if not line.startswith("written: ")]


@pytest.mark.parametrize("color", ["", "1"])
def test_lines_of_a_run_in_a_pipe(color, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(models, "build", small_study.build)
    assert cli.app(RUN) == 0
    printed, problems = capsys.readouterr()
    assert problems == ""
    lines = lines_before_the_table(printed)
    assert len(lines) == 4
    assert all(re.match(r"epoch \d/4  train", line) for line in lines)


def test_lines_of_a_study_in_a_pipe(tmp_path, monkeypatch):
    """In other processes, whose libraries may also print."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    arguments = [*STUDY, "--out", str(tmp_path / "out"), "--jobs", "1"]
    with small_study.command(tmp_path, *arguments) as process:
        printed, problems = process.communicate(timeout=120)
    assert (process.returncode, problems) == (0, "")
    lines = lines_before_the_table(printed)
    assert len(lines) == 3
    assert all(re.match(r"done \d/3  adam", line) for line in lines)


def test_bar_in_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    script = tmp_path / "command.py"
    script.write_text(small_study.SCRIPT.format(tests=os.path.dirname(__file__)))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(script), *RUN], stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # Linux says so when the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(timeout=60) == 0
    text = CODES.sub("", said.decode())
    shown = re.findall(r"training .*? (\d)/4 epochs \d:\d\d:\d\d (\S+) left", text)
    assert {"0", "4"} <= {done for done, _ in shown}  # the bar may skip some
    assert all((left == "-:--:--") is (done == "0") for done, left in shown)
    assert len(re.findall(r"epoch \d/4  train", text)) == 4
