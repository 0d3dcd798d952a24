"""The check of a value that must be one of some names; without Keras."""

import difflib
from collections.abc import Collection


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Check that an argument has one of the values that it may have.

    Args:
        name: The name of the argument.
        value: What was given for it.
        allowed: The names that it may be.

    Raises:
        ValueError: If `value` is none of them. The message lists them, and names the
            nearest one where `value` looks like a misspelling of it.
    """
    if isinstance(value, str) and value in allowed:
        return
    raise ValueError(
        f"{name} must be one of {', '.join(allowed)}. "
        f"Received: {value!r}{did_you_mean(value, allowed)}"
    )


def did_you_mean(value: object, allowed: Collection[str]) -> str:
    """The end of a message about a misspelt name: the nearest one, or nothing."""
    by_lower = {known.lower(): known for known in allowed}
    near = difflib.get_close_matches(str(value).lower(), by_lower, n=1)
    return f". Did you mean {by_lower[near[0]]!r}?" if near else ""
