"""Files that are written whole or not at all, and files that may be hostile."""

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

# The prefix of files and folders that are not finished.
DRAFT = ".draft-"

# A result of 1,000 classes takes less than a tenth of this.
_MAX_JSON_BYTES = 64 * 2**20
_MAX_LINE = 1000


def printable(text: object, longest: int = _MAX_LINE) -> str:
    """Escape a text so that it is safe to print as one line.

    Args:
        text: A message or a path. A hostile file name may be part of it.
        longest: The number of characters above which the middle is left out.

    Returns:
        The text, with characters that are not printable escaped as in `repr`.
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

    The name of the draft cannot be guessed, and the draft must not exist: a link that
    someone left at either name is never followed.

    Args:
        path: The file to write.

    Yields:
        The path of the draft. It has the suffix of `path`.
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
    """Check that a path is a regular file, before it is opened.

    A link may lead anywhere, and opening a pipe blocks.

    Args:
        path: The path.

    Returns:
        The status of the file.

    Raises:
        ValueError: If it is not a regular file.
        OSError: If there is nothing at the path, or its status cannot be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    return status


def read_json(path: Path) -> Any:
    """Read a JSON file that may be hostile.

    Args:
        path: The file.

    Returns:
        The value in the file.

    Raises:
        ValueError: If the file is missing, is damaged, is too large, or holds a number
            that is not finite. The message names the file.
        OSError: If the file cannot be read at the moment. It may be intact.
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
    if isinstance(tree, dict):
        return {name: nan_to_none(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [nan_to_none(value) for value in tree]
    return tree if math.isfinite(tree) else None


def none_to_nan(tree: Any) -> Any:
    """Replace each `None` by NaN, and make each number a float."""
    if isinstance(tree, dict):
        return {name: none_to_nan(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [none_to_nan(value) for value in tree]
    return math.nan if tree is None else float(tree)
