"""Folding of table rows that differ only in the numbers in their names."""

import heapq
import re
from collections.abc import Iterator, Sequence

# A number, or the letter of "block2b_expand".
_COUNTER = re.compile(r"(\d+|(?<=\d)[a-z](?![a-z]))")

Row = tuple[str, ...]


def fold(rows: Sequence[Row]) -> list[Row]:
    """Fold the repeated blocks of a network, such as those of one stage.

    The first cell of a row is its name. A block has one row or more. Blocks are folded
    if they follow one another, have equal cells, and have names that differ only in
    counters (numbers, or letters that count) that grow from each block to the next.
    Nothing is lost: `block_[4-6]_expand` stands for three names, and `conv2d_[4,6]` for
    two.
    """
    # First blocks with one counter, which begin where users see them begin; among
    # them, first those that save most rows.
    heap = [
        (not one_counter, -size * (repeats - 1), start, size, repeats)
        for start, size, repeats, one_counter in _blocks(rows)
    ]
    heapq.heapify(heap)
    folds: dict[int, tuple[int, int]] = {}  # block size and end, by the first row
    free = [True] * len(rows)
    while heap:
        rank, _, start, size, repeats = heapq.heappop(heap)
        end = start
        while end < start + size * repeats and free[end]:
            end += 1
        fitting = (end - start) // size
        if 2 <= fitting < repeats:
            heapq.heappush(heap, (rank, -size * (fitting - 1), start, size, fitting))
        elif fitting == repeats:
            folds[start] = size, end
            free[start:end] = [False] * (end - start)
    folded: list[Row] = []
    start = 0
    while start < len(rows):
        size, end = folds.get(start, (1, start + 1))
        folded += [_merged(rows[row:end:size]) for row in range(start, start + size)]
        start = end
    return folded


def _blocks(rows: Sequence[Row]) -> Iterator[tuple[int, int, int, bool]]:
    """Yield first row, size and number of the blocks that repeat.

    And whether the counter that grows has the same value in all rows of a block.
    """
    keys = [(_pattern(name), *cells) for name, *cells in rows]
    counts = [_counts(name) for name, *_ in rows]
    for size in range(1, len(rows) // 2 + 1):
        growing = [
            _growing(counts[row], counts[row + size])
            if keys[row] == keys[row + size]
            else []
            for row in range(len(rows) - size)
        ]
        # How many times each row repeats, in steps of `size`.
        again = [1 if places else 0 for places in growing] + [0] * size
        for row in reversed(range(len(growing) - size)):
            if growing[row] and growing[row] == growing[row + size]:
                again[row] += again[row + size]
        for start in range(len(rows) - 2 * size + 1):
            if again[start] and (repeats := min(again[start : start + size])):
                block = range(start, start + size)
                numbers = {counts[row][growing[row][0]] for row in block}
                yield start, size, repeats + 1, len(numbers) == 1


def _growing(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """The places of the counters that grow; none if one of them shrinks."""
    steps = [later - first for first, later in zip(before, after, strict=True)]
    if any(step < 0 for step in steps):
        return []
    return [place for place, step in enumerate(steps) if step]


def _counts(name: str) -> list[int]:
    parts = _COUNTER.findall(name)
    return [int(part) if part.isdigit() else ord(part) for part in parts]


def _pattern(name: str) -> str:
    """The name without the values of its counters."""
    return _COUNTER.sub(lambda found: "\0" if found[0].isdigit() else "\1", name)


def _merged(rows: Sequence[Row]) -> Row:
    parts = zip(*(_COUNTER.split(row[0]) for row in rows), strict=True)
    return ("".join(map(_span, parts)), *rows[0][1:])


def _span(parts: Sequence[str]) -> str:
    """One part of several names: itself, or such as `[4-6]` or `[4,6]`."""
    first, last = parts[0], parts[-1]
    if first == last:
        return first
    if first.isdigit():
        counted = [str(int(first) + i).zfill(len(first)) for i in range(len(parts))]
    else:
        counted = [chr(ord(first) + i) for i in range(len(parts))]
    if len(parts) > 2 and list(parts) == counted:
        return f"[{first}-{last}]"
    return f"[{','.join(parts)}]"
