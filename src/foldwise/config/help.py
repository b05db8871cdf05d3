"""What `foldwise STAGE --help` prints: the groups and options that the stage reads, from the settings' docstrings."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

from foldwise.config.type_words import type_words
from foldwise.config.yaml_options import YamlOption
from foldwise.settings import Settings, option_help

COLUMN = 32  # where the meaning of an option begins
FILES_ALONE = {"experiment": "A whole recipe.", "tuned": "What was tuned for a model on a competition."}


def overview(reads: Iterable[str], choices: Mapping[str, list[str]], examples: Sequence[str], width: int) -> str:
    """Return examples, and the groups that a stage reads with a line about each."""
    lines = ["examples:", *(f"  foldwise {example}" for example in examples)] if examples else []
    groups = [name for name in reads if name in choices or is_dataclass(get_type_hints(Settings).get(name))]
    if groups:
        lines += ["", "groups of settings:"]
    for name in groups:
        lines += _wrapped(f"  {name}", _about(name), width, 16)
    return "\n".join(lines)


def stage_help(
    reads: Iterable[str], choices: dict[str, list[str]], options: Mapping[str, list[YamlOption]], width: int
) -> str:
    """Return the groups that a stage reads, their choices, and each option with its default, meaning and type.

    choices: of each group, the names of its YAMLs; options: of the YAML that is chosen of each group, those of the
    function that it names; width: of the terminal, in characters.
    """
    hints, meanings = get_type_hints(Settings, include_extras=True), option_help(Settings)
    lines: list[str] = []
    for name in reads:
        if name in choices:
            lines += ["", *_wrapped(f"{name}=", " | ".join(choices[name]), width, len(name) + 1)]
        group = hints.get(name)
        if is_dataclass(group) and isinstance(group, type):
            lines += [] if name in choices else ["", f"{name}:"]
            inside, types = option_help(group), get_type_hints(group, include_extras=True)
            for one in fields(group):
                if one.name == "options" and options.get(name):
                    continue
                lines += _wrapped(
                    f"  {name}.{one.name}{_default(one)}", _meaning(inside[one.name], types[one.name]), width
                )
            for option in options.get(name, []):
                key = f"  {name}.options.{option.name}={option.value}"
                lines += _wrapped(key, _meaning(option.comment, option.annotation), width)
        elif name in meanings:
            (one,) = (one for one in fields(Settings) if one.name == name)
            lines += ["", *_wrapped(f"{name}{_default(one)}", _meaning(meanings[name], hints[name]), width)]
    return "\n".join(lines[1:])


def _about(name: str) -> str:
    """Return the line about a group."""
    group = get_type_hints(Settings).get(name)
    return FILES_ALONE.get(name, "") if group is None else (group.__doc__ or "").partition("\n")[0]


def _meaning(text: str, annotation: Any) -> str:
    """Return what an option means, and what its values may be, in brackets."""
    words = type_words(annotation)
    if "|" in words and all(re.search(rf"\b{re.escape(choice)}\b", text) for choice in words.split(" | ")):
        return text  # it names them
    return f"{text} [{words}]" if text and words else text or words


def _default(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return f"={one.default if isinstance(one.default, str) and one.default else json.dumps(one.default)}"
    return "" if one.default_factory is MISSING else f"={str(one.default_factory()).replace(' ', '')}"


def _wrapped(key: str, text: str, width: int, column: int = COLUMN) -> list[str]:
    """Return the key and, from a column on, the text in lines of the width."""
    room = max(width - column - 1, 30)
    first, *others = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    head = [f"{key:<{column}}{first}"] if len(key) < column or key.endswith("=") else [key, f"{'':<{column}}{first}"]
    return [line.rstrip() for line in [*head, *(f"{'':<{column}}{line}" for line in others)]]
