"""Writes reference/command-line.md from the command line itself.

    python docs/commands.py

The test suite checks that the page is up to date.
"""

from pathlib import Path

import typer.main

from keras_wgd.cli import cli
from keras_wgd.cli.examples import EXAMPLES, folded
from keras_wgd.cli.help import kind

PAGE = Path(__file__).parent / "reference/command-line.md"

HEAD = """\
# Command line

`keras-wgd`, or `python -m keras_wgd`, needs `pip install '.[study]'` in a clone and a
backend. `keras-wgd COMMAND --help` prints the same text as this page.

The exit code is 0 for success, 1 if a run failed, 2 for an error in the command or its
input, 130 after Ctrl-C and 143 after SIGTERM. An error is one line.
"""


def page() -> str:
    """The page: each command with its examples, arguments and options."""
    group = typer.main.get_command(cli)
    parts = [HEAD]
    for name, command in group.commands.items():
        text = " ".join(command.help.split("\f")[0].split())
        examples = "\n".join(
            line
            for comment, example in EXAMPLES[name]
            for line in (f"# {comment}", *folded(example))
        )
        parts += [f"## keras-wgd {name}\n\n{text}\n\n```sh\n{examples}\n```\n"]
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
        text += f" Else what `{parameter.envvar}` says."
    return f"| `{name}` | {text} | {', '.join(notes)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
