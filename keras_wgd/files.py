"""Files that are whole or not there, and may be a stranger's."""

import contextlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What the names of drafts begin with.
DRAFT = ".draft-"

# A result of 1,000 classes has less than a tenth of this, in bytes.
_MOST_BYTES = 64 * 2**20
_MOST_LETTERS = 1000


def printable(text: object) -> str:
    """Text that is safe to print as one line, whoever has named the files in it.

    Args:
        text: A message or a path.

    Returns:
        The same, with escapes as `repr` has them for what is not printable; of a
        very long one, both ends.
    """
    line = str(text)
    if len(line) > _MOST_LETTERS:
        line = f"{line[: _MOST_LETTERS // 2]} ... {line[-_MOST_LETTERS // 2 :]}"
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape").decode("ascii")
        for letter in line
    )


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file beside its place; it is moved there if nothing goes wrong.

    In a stranger's folder either name may be that of a link, which leads anywhere:
    the draft is new, under a name that nobody can guess, and takes the link's place.

    Args:
        path: The place.

    Yields:
        The path to write to. It ends as the place does.
    """
    draft = path.with_name(f"{DRAFT}{secrets.token_hex(8)}-{path.name}")
    draft.touch(exist_ok=False)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes have left in a folder."""
    for path in folder.glob(f"{DRAFT}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place and move it there in one step."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, fields: dict[str, Any]) -> None:
    """Write a dictionary as JSON, as `write_text` does."""
    # A line for each field: a confusion matrix of 100 classes has 10,000 numbers.
    lines = (
        f'"{name}": {json.dumps(value, allow_nan=False)}'
        for name, value in fields.items()
    )
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def check_plain(path: Path) -> os.stat_result:
    """See that a file is one, before it is opened.

    A link leads anywhere, and a pipe is waited for: in a stranger's folder either
    may be a trap.

    Args:
        path: The file.

    Returns:
        What the system says of it.

    Raises:
        ValueError: If it is something else.
        OSError: If there is nothing, say.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a plain file")
    return found


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: The file.

    Returns:
        What is in it.

    Raises:
        ValueError: If it is missing or damaged, or holds a number that is not finite.
            The message names it.
        OSError: If it cannot be read at this moment; it may be whole.
    """
    try:
        if check_plain(path).st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES >> 20} MB")
        return json.loads(
            path.read_text(encoding="utf-8"),
            parse_float=_finite,
            parse_constant=_finite,
        )
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, or too deep
        raise ValueError(f"{path} is damaged: {error}") from error


def _finite(word: str) -> float:
    """A number that can be written as JSON again; Python reads NaN and 1e999, too."""
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word} is no number of JSON")
    return number


def to_json(tree: Any) -> Any:
    """The same lists and dictionaries, with `None` for what is not finite."""
    if isinstance(tree, dict):
        return {name: to_json(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [to_json(value) for value in tree]
    return tree if math.isfinite(tree) else None


def from_json(tree: Any) -> Any:
    """The reverse of `to_json`."""
    if isinstance(tree, dict):
        return {name: from_json(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [from_json(value) for value in tree]
    return math.nan if tree is None else float(tree)
