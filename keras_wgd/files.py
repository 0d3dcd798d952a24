"""Files that are written whole or not at all, and files that may be hostile."""

import contextlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# The prefix of files and folders that are not finished.
DRAFT = ".draft-"

# A result of 1,000 classes takes less than a tenth of this.
_MAX_JSON_BYTES = 64 * 2**20
_MAX_LINE = 1000


def printable(text: object, longest: int = _MAX_LINE) -> str:
    """Escape a text, perhaps with a hostile file name, so that it prints as one line.

    Characters that are not printable are escaped as in `repr`. The middle of a text of
    more than `longest` characters is left out.
    """
    line = str(text)
    if len(line) > longest:
        line = f"{line[: longest // 2]} ... {line[-longest // 2 :]}"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in line
    )


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write to a draft in the same folder, which replaces `path` on success.

    The draft has the suffix of `path`. Its name cannot be guessed, and it must not
    exist: a link that someone left at either name is never followed.
    """
    draft = path.with_name(f"{DRAFT}{secrets.token_hex(8)}-{path.name}")
    draft.touch(exist_ok=False)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder."""
    for path in folder.glob(f"{DRAFT}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as `atomic` does."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, fields: dict[str, Any]) -> None:
    """Write a dictionary as JSON, one line for each field, as `atomic` does."""
    lines = (
        f'"{name}": {json.dumps(value, allow_nan=False)}'
        for name, value in fields.items()
    )
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def check_regular_file(path: Path) -> os.stat_result:
    """Check that a path is a regular file: links may lead anywhere, pipes block."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    return status


def read_json(path: Path) -> Any:
    """Read a JSON file that may be hostile.

    A ValueError, which names the file, says that it is missing, damaged or too large.
    An OSError says that it cannot be read at the moment: it may be intact.
    """
    try:
        if check_regular_file(path).st_size > _MAX_JSON_BYTES:
            raise ValueError(f"larger than {_MAX_JSON_BYTES >> 20} MB")
        return json.loads(
            path.read_text(encoding="utf-8"),
            parse_float=_finite,
            parse_constant=_finite,
        )
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, or nested too deep
        raise ValueError(f"{path} is damaged: {error}") from error


def _finite(literal: str) -> float:
    # Python's parser accepts NaN, and reads 1e999 as infinity.
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal} is not a JSON number")
    return number


def nan_to_none(tree: Any) -> Any:
    """Replace each number that is not finite by `None`, in lists and dictionaries."""
    return _map_leaves(lambda leaf: leaf if math.isfinite(leaf) else None, tree)


def none_to_nan(tree: Any) -> Any:
    """Replace each `None` by NaN, and make each number a float."""
    return _map_leaves(lambda leaf: math.nan if leaf is None else float(leaf), tree)


def _map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _map_leaves(function, value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_map_leaves(function, value) for value in tree]
    return function(tree)
