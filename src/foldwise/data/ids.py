"""Ids that lost something on their way through other programs: zeros, a suffix, a folder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable

COMPARED = 3000  # ids among which the nearest one is looked for
LONGEST = 100  # characters of an id that are compared


def repaired_ids(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str] | None:
    """Return which of our ids each of theirs means, or None where that is not certain.

    White space around an id, folders before a file's name, its suffix, and zeros before a number may differ. What an id
    loses that way must tell ours apart, and theirs too, and every id of one side must be one of the other.

    >>> repaired_ids(["7", "12"], ["00007", "00012", "00013"])
    {'7': '00007', '12': '00012'}
    >>> repaired_ids(["images/a.png"], ["a"])
    {'images/a.png': 'a'}
    >>> repaired_ids(["7"], ["007", "07"]) is None
    True
    """
    theirs, ours = list(theirs), list(ours)
    for reduce in _REDUCTIONS:
        known = {reduce(one): one for one in ours}
        given = {reduce(one): one for one in theirs}
        is_certain = len(known) == len(ours) and len(given) == len(theirs)
        if is_certain and given and (given.keys() <= known.keys() or known.keys() <= given.keys()):
            return {one: known[short] for short, one in given.items() if short in known}
    return None


def likely_pair(theirs: Collection[str], ours: Collection[str]) -> tuple[str, str]:
    """Return one of their unknown ids and that of ours which is most like it.

    >>> likely_pair(["img_7x"], ["a", "img_7"])
    ('img_7x', 'img_7')
    """
    first = min(theirs)
    some = sorted(ours)[:COMPARED]
    near = difflib.get_close_matches(first[:LONGEST], [one[:LONGEST] for one in some], n=1, cutoff=0.0)
    return first, next((one for one in some if one[:LONGEST] in near), some[0])


def _name(text: str) -> str:
    """Return a file's name without its folders and its suffix."""
    return re.sub(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{1,5}$", "", text.strip().replace("\\", "/").rpartition("/")[2])


def _number(text: str) -> str:
    """Return a whole number without the zeros before it, and without the fraction .0 that a float has."""
    found = re.fullmatch(r"(\d+)(\.0+)?", text.strip())  # one way to match: a long id is not tried in all ways
    return text.strip() if found is None else found[1].lstrip("0") or "0"


_REDUCTIONS: tuple[Callable[[str], str], ...] = (str.strip, _name, _number, lambda text: _number(_name(text)))
