"""Recipes as texts, and what two of them do differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foldwise.runs import listing

LEFT_OUT = ("data_key", "split_key")  # the same for all runs of a page


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as texts by dotted names.

    >>> flat({"fit": {"epochs": 3, "loss": "auto"}, "options": {}})
    {'fit.epochs': '3', 'fit.loss': 'auto', 'options': '{}'}
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in listing.flat(values).items()
        if name not in LEFT_OUT
    }


def difference(one: Mapping[str, str], other: Mapping[str, str]) -> list[list[str]]:
    """Return the settings that differ, as [name, value of one, value of the other]; a dash where one has none.

    >>> difference({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
    [['a', '1', '-'], ['b', '2', '3'], ['c', '-', '4']]
    """
    return [["-" if text is None else text for text in row] for row in listing.differences(one, other)]
