"""What a value of a setting may be, in words, from its annotation."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

WORDS = {bool: "true | false", int: "whole number", float: "number", str: "text", dict: "options", type(None): "null"}


def type_words(annotation: Any) -> str:
    """Return what the values of an annotation are; an empty string where that has no short form.

    >>> from foldwise.settings import Count, Fraction
    >>> type_words(bool), type_words(Count | None), type_words(Fraction), type_words(list[str])
    ('true | false', 'whole number, at least 1 | null', 'number, at least 0 and below 1', 'list of text')
    >>> type_words(Literal["auto", "file"] | tuple[int, int])
    'auto | file | list of whole numbers'
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        words, limits = type_words(inner[0]), _limits(inner[1:])
        return f"{words}, {limits}" if words and limits else words
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(filter(None, map(type_words, inner))))
    if origin in (list, tuple):
        elements = list(dict.fromkeys(type_words(one) for one in inner if one is not Ellipsis))
        return f"list of {elements[0].replace('number', 'numbers')}" if len(elements) == 1 and elements[0] else "list"
    return WORDS.get(origin or annotation, "")


def _limits(metadata: tuple[Any, ...]) -> str:
    """Return the bounds of a number as words."""
    found: dict[str, Any] = {}
    for one in metadata:
        for bound in getattr(one, "metadata", [one]):
            found |= {name: getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name)}
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[name]} {found[name]}" for name in words if name in found)
