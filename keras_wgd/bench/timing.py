"""Times of several things, taken in turns."""

import random
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

T = TypeVar("T", bound=Hashable)


def interleaved(
    steps: Mapping[T, Callable[[], Any]],
    rounds: int,
    on_step: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> dict[T, list[float]]:
    """Time each step once a round, in an order that changes with the round.

    What slows the machine for a while then slows all of them alike, and none
    always follows the same other.

    Args:
        steps: What to time, by name; it returns when all is done.
        rounds: How often.
        on_step: Called after each.
        seed: Of the orders.

    Returns:
        Seconds of each, a number for each round.
    """
    order = list(steps)
    shuffle = random.Random(seed).shuffle
    seconds: dict[T, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - start)
            on_step()
    return seconds
