"""Folded rows of a table, which these tests unfold."""

import random
import re

import pytest

from keras_wgd.summary.folding import fold

pytestmark = pytest.mark.any_backend


def unfolded(name):
    """The names that a folded name stands for."""
    parts = re.split(r"\[(.*?)\]", name)
    spans = [values(part) for part in parts[1::2]]
    for choice in zip(*spans, strict=True) if spans else [()]:
        texts = iter(choice)
        yield "".join(
            part if i % 2 == 0 else next(texts) for i, part in enumerate(parts)
        )


def values(span):
    if "-" not in span:
        return span.split(",")
    first, last = span.split("-")
    if first.isalpha():
        return [chr(code) for code in range(ord(first), ord(last) + 1)]
    return [f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)]


CASES = {
    "one row": (["a"], ["a"]),
    "no number": (["a", "b"], ["a", "b"]),
    "two": (["conv_1", "conv_2"], ["conv_[1,2]"]),
    "a range": (["conv_9", "conv_10", "conv_11"], ["conv_[9-11]"]),
    "padded": (["conv_08", "conv_09", "conv_10"], ["conv_[08-10]"]),
    "not counted": (["conv_4", "conv_6", "conv_8"], ["conv_[4,6,8]"]),
    "downwards": (["conv_3", "conv_2"], ["conv_3", "conv_2"]),
    "letters": (["block2b_x", "block2c_x", "block2d_x"], ["block2[b-d]_x"]),
    "words that end alike": (
        ["stage2conv", "stage2pool"],
        ["stage2conv", "stage2pool"],
    ),
    "two numbers": (["a1/conv_4", "a2/conv_7"], ["a[1,2]/conv_[4,7]"]),
    "two numbers that grow in turn": (
        ["a1_c1", "a1_c2", "a2_c1", "a2_c2"],
        ["a[1,2]_c1", "a[1,2]_c2"],
    ),
    "one number after the other": (
        ["a1_c1", "a1_c2", "a2_c2"],
        ["a1_c[1,2]", "a2_c2"],
    ),
    "one name": (["conv_1", "conv_1"], ["conv_1", "conv_1"]),
    "without a number at first": (
        ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3"],
        ["conv2d", "conv2d_[1-3]"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_names_of_equal_rows(case):
    names, folded = CASES[case]
    assert [name for name, _ in fold([(name, "3x3") for name in names])] == folded


def rows(text):
    return [tuple(line.split()) for line in text.strip().splitlines()]


def test_block_begins_with_its_number():
    # Rows also repeat from s1_3 on; blocks follow the names.
    table = rows(
        """
        s1_1 64
        s1_2 9
        s1_3 256
        s2_1 128
        s2_2 9
        s2_3 256
        s3_1 128
        s3_2 9
        s3_3 256
        """
    )
    assert fold(table)[3:] == rows("s[2,3]_1 128\ns[2,3]_2 9\ns[2,3]_3 256")


def test_blocks_of_automatic_names():
    table = rows("c_1 1\nc_2 3\nc_3 1\nc_4 3\nc_5 1\nc_6 3\nc_7 9")
    assert fold(table) == rows("c_[1,3,5] 1\nc_[2,4,6] 3\nc_7 9")


def test_rows_that_differ():
    table = rows("c_1 3x3 Conv2D 8\nc_2 3x3 Conv2D 9\nc_3 3x3 Dense 9\nc_4 1x1 Dense 9")
    assert fold(table) == table


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost(seed):
    chance = random.Random(seed)
    table = []
    for block in range(chance.randrange(1, 12)):
        size = chance.randrange(1, 4)
        for layer in range(size):
            table.append((f"b{block}_l{layer}", str(chance.randrange(2))))
    back = [(name, cell) for folded, cell in fold(table) for name in unfolded(folded)]
    assert sorted(back) == sorted(table)
