"""The two errors that a user is meant to see: one message, no traceback."""

import difflib
from collections.abc import Iterable


class FoldwiseError(Exception):
    """The work failed: bad input, a missing file, a dead worker. Exit status 1."""


class ConfigError(FoldwiseError):
    """The command or the configuration is wrong; nothing was read. Exit status 2."""


def choices(given: object, valid: Iterable[object]) -> str:
    """List the valid choices, the nearest to what was given first."""
    names = [str(name) for name in valid]
    near = difflib.get_close_matches(str(given), names, n=3, cutoff=0.6)
    ordered = near + [name for name in names if name not in near]
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Valid choices: {', '.join(ordered) or '(none)'}"
