"""Docstrings in Keras's form, for the reference: examples, references."""

import re
import textwrap

import griffe

_TITLE = re.compile(r"^(Example|References):\n", re.MULTILINE)
_SESSION = re.compile(r"(?:^>>> .*\n?)(?:^(?:>>>|\.\.\.).*\n?)*", re.MULTILINE)


class KerasDocstrings(griffe.Extension):
    """Rewrites what Keras's docstrings have and Google's have not."""

    def on_instance(self, *, obj, **kwargs):
        """Called with every object that has been read."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring whose examples and references are Markdown."""
    head, *titled = _TITLE.split(text)
    parts = [head]
    for title, body in zip(titled[::2], titled[1::2], strict=True):
        parts.append(f"**{title}**\n\n{textwrap.dedent(body).strip()}\n\n")
    return _SESSION.sub(_block, "".join(parts).rstrip())


def _block(session):
    lines = session[0].strip().splitlines()
    return "\n".join(["```python", *(line[4:] for line in lines), "```", ""])
