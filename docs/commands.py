"""Writes what the reference pages say of commands and of the fields of a run.

    python docs/commands.py

The test suite checks that the pages are up to date.
"""

import re
from pathlib import Path

import typer.main

from keras_wgd.cli import cli
from keras_wgd.cli.help import EXAMPLES, kind
from keras_wgd.experiments.analysis.frames import KEYS
from keras_wgd.experiments.fields import described, info_of
from keras_wgd.experiments.spec import RunSpec

REFERENCE = Path(__file__).parent / "reference"
COMMANDS, RESULTS = REFERENCE / "command-line.md", REFERENCE / "results.md"

HEAD = """\
# Command line

`keras-wgd`, or `python -m keras_wgd`, needs `pip install '.[study]'` in a clone and a
backend. `keras-wgd COMMAND --help` prints the same text as this page.

The exit code is 0 for success, 1 if a run failed, 2 for an error in the command or its
input, 130 after Ctrl-C and 143 after SIGTERM. An error is one line.
"""
# The rows of the table of a run's fields in results.md.
_FIELDS = re.compile(r"(?<=<!-- fields -->\n\n).*?(?=\n\n<!-- end of fields -->)", re.S)
# Columns that are not fields of a run, or say more.
_COLUMNS = {
    "backend": "Keras backend: `tensorflow`, `jax` or `torch`.",
    "settings": "Settings of Keras and of the backend that change the numbers; empty "
    "if all are the defaults.",
    "arm": "`plain`, or the mean that WGD removes: `filters`, `fan_in` or `kernels`; "
    "with `-update` it is removed from the optimizer's step.",
    "seed": "Seed of the initial weights and of the order of the images. Runs of one "
    "seed are a pair.",
}


def page() -> str:
    """The page on the command line: examples, arguments and options of each command."""
    group = typer.main.get_command(cli)
    parts = [HEAD]
    for name, command in group.commands.items():
        text = " ".join(command.help.split("\f")[0].split())
        parts += [f"## keras-wgd {name}\n\n{text}\n\n```sh{EXAMPLES[name]}```\n"]
        panels: dict[str, list] = {}
        for parameter in command.params:
            panels.setdefault(_panel(parameter), []).append(parameter)
        for panel, parameters in panels.items():
            rows = "\n".join(_row(parameter) for parameter in parameters)
            parts.append(f"| {panel} | | default |\n| --- | --- | --- |\n{rows}\n")
    return "\n".join(parts)


def _panel(parameter):
    if parameter.param_type_name == "argument":
        return "argument"
    return getattr(parameter, "rich_help_panel", None) or "option"


def _row(parameter):
    name = parameter.opts[0]
    if parameter.param_type_name == "argument":
        name = parameter.name.upper() + ("..." if parameter.nargs != 1 else "")
    elif not parameter.is_flag:
        name += f" {kind(parameter)}"
    notes = []
    if parameter.required:
        notes.append("required")
    elif isinstance(parameter.show_default, str):
        notes.append(parameter.show_default)
    elif parameter.show_default and not (
        parameter.default is None or parameter.default is False
    ):
        notes.append(f"`{parameter.default}`")
    text = parameter.help.replace("|", "\\|")
    if parameter.envvar:
        text += f" Or set `{parameter.envvar}`."
    return f"| `{name}` | {text} | {', '.join(notes)} |"


def results() -> str:
    """The page on result files, with the fields of a run as they are declared."""
    rows = ["| column | meaning |", "| --- | --- |"]
    for name in KEYS:
        text = _COLUMNS.get(name)
        if text is None:
            info = info_of(described(RunSpec)[name])
            text = f"{info.help} Empty: {info.none}." if info.none else info.help
        rows.append(f"| `{name}` | {text} |")
    return _FIELDS.sub("\n".join(rows), RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    COMMANDS.write_text(page(), encoding="utf-8")
    RESULTS.write_text(results(), encoding="utf-8")
