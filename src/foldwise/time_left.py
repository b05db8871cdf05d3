"""How long a queue of folds still takes, from the speeds that were seen so far."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A fold that is not done.

    run: its name; folds of one run train at one speed.
    images: that it has still to train on, over all epochs.
    elapsed: seconds since a worker took it. None: it waits for a worker.
    is_training: whether its first step is done, so that no start is to come.
    """

    run: str
    images: int
    elapsed: float | None = None
    is_training: bool = False


def time_left(
    folds: Sequence[Waiting], rates: Mapping[str, float], starts: Mapping[str, float], workers: int
) -> tuple[float | None, int]:
    """Return (seconds until the last fold is done, the number of runs whose speed is not known yet).

    Folds go to the workers in their order, each to the one that is free first. A run that was not seen yet counts as
    the slowest of those that were, so that the seconds are then a lower bound. None: no speed is known.

    rates: images/s of one fold of each run that was seen.
    starts: seconds that a fold takes besides: reading, compiling, predicting, writing.

    >>> time_left([Waiting("mlp", 1000), Waiting("mlp", 1000), Waiting("mlp", 1000)], {"mlp": 500}, {"mlp": 1}, 2)
    (6.0, 0)
    """
    known = {run: rate for run, rate in rates.items() if rate > 0}
    unknown = {fold.run for fold in folds} - known.keys()
    if not folds:
        return 0.0, 0
    if not known:
        return None, len(unknown)
    slowest, usual_start = min(known.values()), max(starts.values(), default=0.0)
    free: list[float] = [0.0] * workers  # when each worker is free
    for fold in sorted(folds, key=lambda fold: fold.elapsed is None):  # stable: those with a worker come first
        start = starts.get(fold.run, usual_start)
        start = 0.0 if fold.is_training else max(0.0, start - (fold.elapsed or 0.0))
        seconds = start + fold.images / known.get(fold.run, slowest)
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free), len(unknown)


def as_clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, after the hours where there are any.

    >>> as_clock(75), as_clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
