"""What of a blend can be predicted in a given time: which members, and how long their fits take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from foldwise.errors import ConfigError

MARGIN = 0.1  # share of the time that is kept for what was not measured: the blend, the writing, a slower disk
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as 80m, 1h30m, 45s or 5400.

    Raises ConfigError for any other text, and for 0.

    >>> seconds_of("1h30m"), seconds_of("90")
    (5400.0, 90.0)
    """
    whole = f"{text}s" if re.fullmatch(r"[\d.]+", text) else text
    if not re.fullmatch(r"(\d+(\.\d+)?[hms])+", whole):
        raise ConfigError(f"predict.budget={text}: expected a time such as 80m, 1h30m or 5400 (seconds)")
    seconds = sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([hms])", whole))
    if seconds == 0:
        raise ConfigError(f"predict.budget={text}: no time to predict in; leave it out for no limit")
    return seconds


def members_in_time(
    seconds: Mapping[str, float], worse_without: Callable[[list[str]], Mapping[str, float]], left: float
) -> list[str]:
    """Return the members of which one fit each can be predicted in the time that is left, in their order.

    While they take longer, one is dropped: of those without which the mean of the others is no worse, the slowest;
    where there is none, the one that the mean loses least without for each second that it takes. The last one stays.

    seconds: of one fit of each member, divided by the number of fits that are predicted at once.
    worse_without: for some members, by how much the mean of their out-of-fold predictions is worse without each.

    >>> members_in_time({"a": 50, "b": 30, "c": 40}, lambda names: {"a": 0.1, "b": 0.01, "c": -0.02}, 80)
    ['a', 'b']
    """
    kept = list(seconds)
    while len(kept) > 1 and sum(seconds[name] for name in kept) > left:
        worse = worse_without([*kept])
        harmless = [name for name in kept if worse[name] <= 0]
        if harmless:
            dropped = max(harmless, key=lambda name: seconds[name])
        else:
            dropped = min(kept, key=lambda name: worse[name] / max(seconds[name], 1e-9))
        kept.remove(dropped)
    return kept
