"""Processes with the comparison of `compare_script.py`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("compare_script.py")


def started(out, **changes):
    script = Path(
        f"{out}_script.py"
    )  # tests/support has modules with names of Python's own
    shutil.copy(SCRIPT, script)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    arguments = {"seeds": 2, "epochs": 3} | changes
    return subprocess.Popen(
        [sys.executable, str(script), str(out), json.dumps(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finished(out, **changes):
    """The curves of all trials, and what was printed."""
    process = started(out, **changes)
    try:
        said, problems = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, problems
    return json.loads((out / "curves.json").read_text()), said.split()
