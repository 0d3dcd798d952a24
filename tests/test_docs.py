import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_backend

ROOT = Path(__file__).parents[1]


def test_the_tests_that_are_named_exist():
    named = re.findall(
        r"`(test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs/trust.md").read_text()
    )
    assert len(named) > 30
    for file, test in named:
        text = (ROOT / "tests" / file).read_text()
        assert not test or f"def {test}(" in text, (file, test)
