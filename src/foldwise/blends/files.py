"""`ensemble=files`: ways to blend test predictions that have no out-of-fold ones, so that nothing can be learned."""

from __future__ import annotations

from typing import Literal

import numpy as np

from foldwise.blends.averages import minmax, pushout
from foldwise.blends.blended import Blended
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import normalise, weighted
from foldwise.settings import ONE_CLASS

How = Literal["mean", "geometric", "rank", "median", "minmax", "pushout"]


def files(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    folder: str | None = None,  # of CSV or parquet files: id and the targets
    how: How = "median",
    runs: bool = False,  # finished runs that `ensemble.members` names join the files
    ids: Literal["exact", "repaired"] = "exact",  # as `imports.ids`
) -> Blended:
    """Blend the members of `other` without learning from any label.

    rank: the mean of ranks, mapped to the mean of the sorted predictions, so that it stays a probability.
    """
    equal = np.full(other.m, 1 / other.m)
    if how in ("mean", "geometric"):
        p = weighted(other, equal, "logit" if how == "geometric" else "arithmetic", problem.task)
    elif how == "median":
        p = np.median(other.predictions(), axis=0)
    elif how == "rank":
        p = ranked(other.predictions())
    else:
        p = {"minmax": minmax, "pushout": pushout}[how](problem, train, other).probabilities
    return Blended(normalise(p) if problem.task in ONE_CLASS else p)


def ranked(stack: np.ndarray) -> np.ndarray:
    """Average the ranks of the members (m, n, k), and give the sorted mean predictions in that order: (n, k)."""
    from scipy.stats import rankdata

    mean_rank = np.mean([rankdata(one, axis=0) for one in stack], axis=0)
    levels = np.sort(stack, axis=1).mean(axis=0)  # (n, k), rising
    place = (rankdata(mean_rank, axis=0) - 1).clip(0, len(levels) - 1)
    at = np.arange(len(levels))
    return np.stack([np.interp(place[:, c], at, levels[:, c]) for c in range(stack.shape[2])], axis=1)
