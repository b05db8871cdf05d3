"""The examples in docstrings give what they show."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import foldwise

SOURCE = Path(foldwise.__file__).parent
WITH_EXAMPLES = sorted(
    "foldwise." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if re.search(r"^\s+>>> ", path.read_text(), re.MULTILINE)
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.trains) if name.startswith("foldwise.training.") else name
        for name in WITH_EXAMPLES
    ],
)
def test_the_examples_of_a_module(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples():
    assert len(WITH_EXAMPLES) >= 5
