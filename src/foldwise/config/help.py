"""What `foldwise STAGE --help` prints: the groups and options that the stage reads, from the settings' docstrings."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

from foldwise.settings import Settings, option_help

COLUMN = 32  # where the meaning of an option begins


def stage_help(reads: Iterable[str], choices: dict[str, list[str]], width: int) -> str:
    """Return the groups that a stage reads, their choices, and each option with its default and meaning.

    choices: of each group, the names of its YAMLs; width: of the terminal, in characters.
    """
    hints, meanings = get_type_hints(Settings), option_help(Settings)
    lines: list[str] = []
    for name in reads:
        if name in choices:
            lines += ["", *_wrapped(f"{name}=", " | ".join(choices[name]), width, len(name) + 1)]
        group = hints.get(name)
        if is_dataclass(group) and isinstance(group, type):
            lines += [] if name in choices else ["", f"{name}:"]
            inside = option_help(group)
            for one in fields(group):
                lines += _wrapped(f"  {name}.{one.name}{_default(one)}", inside[one.name], width)
        elif name in meanings:
            (one,) = (one for one in fields(Settings) if one.name == name)
            lines += ["", *_wrapped(f"{name}{_default(one)}", meanings[name], width)]
    return "\n".join(lines[1:])


def _default(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return f"={one.default if isinstance(one.default, str) and one.default else json.dumps(one.default)}"
    return "" if one.default_factory is MISSING else f"={str(one.default_factory()).replace(' ', '')}"


def _wrapped(key: str, text: str, width: int, column: int = COLUMN) -> list[str]:
    """Return the key and, from a column on, the text in lines of the width."""
    room = max(width - column - 1, 30)
    first, *others = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    head = [f"{key:<{column}}{first}"] if len(key) <= column else [key, f"{'':<{column}}{first}"]
    return [*head, *(f"{'':<{column}}{line}" for line in others)]
