"""Checks that a value is one of some names; imports no Keras."""

import difflib
from collections.abc import Collection


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Check that an argument has one of the allowed values.

    Args:
        name: The name of the argument.
        value: Its value.
        allowed: The values that it may have.

    Raises:
        ValueError: If `value` is none of them. The message lists them, and suggests the
            nearest one if `value` looks like a misspelling of it.
    """
    if isinstance(value, str) and value in allowed:
        return
    raise ValueError(
        f"{name} must be one of {', '.join(allowed)}. "
        f"Received: {value!r}{did_you_mean(value, allowed)}"
    )


def did_you_mean(value: object, allowed: Collection[str]) -> str:
    """The end of a message about a misspelled name: the nearest one, or nothing."""
    by_lower = {known.lower(): known for known in allowed}
    near = difflib.get_close_matches(str(value).lower(), by_lower, n=1)
    return f". Did you mean {by_lower[near[0]]!r}?" if near else ""
