"""Recipes as flat lists of settings, and what two of them do differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LEFT_OUT = ("data_key", "split_key")  # the same for all runs of a page


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as texts by dotted names.

    >>> flat({"fit": {"epochs": 3, "loss": "auto"}, "options": {}})
    {'fit.epochs': '3', 'fit.loss': 'auto', 'options': '{}'}
    """
    found: dict[str, str] = {}
    for name, value in values.items():
        if not prefix and name in LEFT_OUT:
            continue
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return found


def difference(one: Mapping[str, str], other: Mapping[str, str]) -> list[list[str]]:
    """Return the settings that differ, as [name, value of one, value of the other]; a dash where one has none.

    >>> difference({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
    [['a', '1', '-'], ['b', '2', '3'], ['c', '-', '4']]
    """
    names = dict.fromkeys([*one, *other])
    return [[name, one.get(name, "-"), other.get(name, "-")] for name in names if one.get(name) != other.get(name)]
