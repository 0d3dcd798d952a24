"""What is shown while runs are made: a bar in a terminal, lines everywhere else."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console
from support import small_study

from keras_wgd.cli.progress import Bar, is_live

pytestmark = pytest.mark.any_backend

SIZES = ["--train-size", "64", "--test-size", "40", "--epochs", "4"]
RUN = ["run", "--dataset", "digits", *SIZES]
STUDY = ["study", "--preset", "quick", "--optimizer", "adam", "--seed", "0", *SIZES]
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("restored", [0, 4])
def test_time_left_is_that_of_the_epochs_trained_here(restored):
    """Of epochs longer than the 30 seconds that Rich looks back, in particular."""
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


def test_time_left_has_no_part_of_the_start_of_the_workers():
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
def test_only_a_terminal_is_written_over(file, environment, live, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    console = Console(file=file, _environ=environment)
    assert is_live(console) is live


@pytest.mark.parametrize("colour", ["", "1"])
@pytest.mark.parametrize("command", ["run", "study"])
def test_a_pipe_gets_a_line_an_epoch_at_most(command, colour, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.setenv("TERM", "xterm")
    out = ["--out", str(tmp_path / "out")]
    arguments, most, kind = {
        "run": (RUN, 4, r"epoch \d/4  train"),
        "study": ([*STUDY, *out, "--jobs", "1"], 3, r"done \d/3  adam"),
    }[command]
    with small_study.command(tmp_path, *arguments) as process:
        said, problems = process.communicate(timeout=120)
    assert (process.returncode, problems) == (0, "")
    assert "\r" not in said
    lines = CODES.sub("", said).splitlines()
    (table,) = (
        i
        for i, line in enumerate(lines)
        if line.startswith("small") or line.startswith("resnet8 on")
    )
    lines = [line for line in lines[:table] if not line.startswith("written: ")]
    assert len(lines) == most
    assert all(re.match(kind, line) for line in lines)


def test_a_terminal_shows_epochs_and_the_time_left(tmp_path, monkeypatch):
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
