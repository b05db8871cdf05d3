"""The blending methods with what a caller must know of each besides its function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldwise.blends.averages import mean, minmax, power, pushout, rank, single
from foldwise.blends.blended import Blended
from foldwise.blends.convex import by_output, convex
from foldwise.blends.fast_selection import greedy
from foldwise.blends.files import files
from foldwise.blends.neighbours import has_column, neighbours, variants_without_leak
from foldwise.blends.stacking import boosted, logistic

if TYPE_CHECKING:
    from foldwise.scoring.rows import Problem, Rows
    from foldwise.settings import EnsembleSettings


Variants = dict[str, tuple["Rows", "EnsembleSettings"]]  # what to score nested, by what it shows


@dataclass(frozen=True)
class Method:
    """A method and its traits.

    function: (problem, train, other, **options) -> Blended.
    is_risky: it overstates certainty: what it gains by luck on the public leaderboard it loses on the private, so
        `compare` never chooses it.
    is_scored: it has a nested score; not so for test predictions that have no out-of-fold ones.
    has_in_sample_score: `compare` reports the score on the rows that it was fitted to.
    applies: whether it makes sense for a problem and its rows, by what `compare` leaves it out.
    variants: (problem, rows, settings) -> rows and settings whose nested scores are reported with its own.
    """

    function: Callable[..., Blended]
    is_risky: bool = False
    is_scored: bool = True
    has_in_sample_score: bool = True
    applies: Callable[[Problem, Rows], bool] = lambda problem, rows: True
    variants: Callable[[Problem, Rows, EnsembleSettings], Variants] = lambda problem, rows, settings: {}


METHODS: dict[str, Method] = {
    "single": Method(single),
    "mean": Method(mean),
    "power": Method(power),
    "rank": Method(rank),
    "greedy": Method(greedy),
    "convex": Method(convex),
    "by_output": Method(by_output, applies=lambda problem, rows: rows.k > 1),
    "logistic": Method(logistic),
    "boosted": Method(boosted),
    "neighbours": Method(neighbours, has_in_sample_score=False, applies=has_column, variants=variants_without_leak),
    "minmax": Method(minmax, is_risky=True),
    "pushout": Method(pushout, is_risky=True),
    "files": Method(files, is_scored=False),
}
