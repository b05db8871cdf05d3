"""The two errors that a user is meant to see: one message, no traceback."""

import difflib
from collections.abc import Iterable


class FoldwiseError(Exception):
    """The work failed: bad input, a missing file, a dead worker. Exit status 1."""


class Damaged(FoldwiseError):
    """A file that foldwise wrote is damaged, changed or missing. Where there are others, the work goes on without it.

    path, what, repair: the file, what is wrong with it, and how it is removed or made again; the message has all three.
    """

    def __init__(self, path: object, what: str = "", repair: str = "") -> None:
        super().__init__(f"{path} {what}; {repair}" if what else path)
        self.path, self.what, self.repair = path, what, repair


class ConfigError(FoldwiseError):
    """The command or the configuration is wrong; nothing was read. Exit status 2."""


LONGEST = 200  # characters of a wrong word that are compared
MOST = 4000  # characters of a message that are shown


def printable(text: str) -> str:
    """Return a message of a readable length whose control characters, which files may hold, are written out.

    >>> printable("a.csv: the column '\\x1b[2J' is missing\\nValid choices: id")
    "a.csv: the column '\\\\x1b[2J' is missing\\nValid choices: id"
    """
    shown = text if len(text) <= MOST else f"{text[:MOST]}... ({len(text):,} characters)"
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in shown)


def choices(given: object, valid: Iterable[object]) -> str:
    """List the valid choices, the nearest to what was given first.

    >>> choices("sike", ["task", "side", "size"])
    "did you mean 'size' or 'side'? Valid choices: size, side, task"
    """
    names = [str(name) for name in valid]
    given = str(given)[:LONGEST]
    near = difflib.get_close_matches(str(given), names, n=3, cutoff=0.6)
    same = [name for name in names if name != given and _is_alike(name.lower(), str(given).lower())]
    near = [*same, *(name for name in near if name not in same)]
    ordered = near + [name for name in names if name not in near]
    ratios = [difflib.SequenceMatcher(None, name, str(given)).ratio() for name in near]
    nearest = same or [name for name, ratio in zip(near, ratios, strict=True) if ratio == ratios[0]]  # may be several
    hint = f"did you mean {' or '.join(map(repr, nearest))}? " if near else ""
    return f"{hint}Valid choices: {', '.join(ordered) or '(none)'}"


def _is_alike(name: str, given: str) -> bool:
    """Tell whether two words are one, or have two neighbouring letters in another order."""
    places = [i for i, (a, b) in enumerate(zip(name, given, strict=False)) if a != b]
    swapped = len(places) == 2 and places[1] == places[0] + 1
    return name == given or (swapped and sorted(name) == sorted(given))
