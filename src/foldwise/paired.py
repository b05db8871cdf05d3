"""Compare runs on the same rows: differences, their uncertainty, and who adds what to a blend."""

from __future__ import annotations

import math

import numpy as np

from foldwise import metrics
from foldwise.blends.rows import Problem, Rows
from foldwise.blends.values import to_scale, weighted


def difference(losses: np.ndarray, others: np.ndarray, groups: np.ndarray | None = None) -> dict[str, object]:
    """Return the mean of losses - others (n,), its 95 % paired-bootstrap interval and its standard error.

    With groups (n,), whole groups are resampled.
    """
    gaps = losses - others
    return {
        "difference": float(gaps.mean()),
        "interval": metrics.bootstrap_interval(gaps, groups),
        "standard_error": standard_error(gaps, groups),
    }


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the standard error of the mean of values (n,); with groups, of a mean over rows drawn by groups."""
    codes = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(codes, values - values.mean())
    n = len(sums)
    return math.sqrt(float((sums**2).sum()) * n / max(n - 1, 1)) / len(values)


def correlations(rows: Rows, problem: Problem) -> np.ndarray:
    """Return the correlation matrix (m, m) of the members' logits."""
    scale = np.stack([to_scale(rows.member(j), "logit", problem.task).ravel() for j in range(rows.m)])
    with np.errstate(invalid="ignore"):
        return np.atleast_2d(np.corrcoef(scale))


def drop_one(rows: Rows, problem: Problem) -> np.ndarray:
    """Return by how much the log loss of the mean of all members rises without each of them, (m,)."""
    if rows.m < 2:
        return np.zeros(rows.m)
    return np.array([_mean_loss(rows, problem, np.delete(np.arange(rows.m), j)) for j in range(rows.m)]) - _mean_loss(
        rows, problem, np.arange(rows.m)
    )


def add_one(rows: Rows, problem: Problem, best: int) -> np.ndarray:
    """Return by how much the log loss of the member `best` falls when each other is averaged with it, (m,)."""
    alone = _mean_loss(rows, problem, np.array([best]))
    return np.array([alone - _mean_loss(rows, problem, np.unique([best, j])) for j in range(rows.m)])


def _mean_loss(rows: Rows, problem: Problem, members: np.ndarray) -> float:
    weights = np.zeros(rows.m)
    weights[members] = 1 / len(members)
    return metrics.log_loss(rows.y, weighted(rows, weights, problem.average, problem.task), problem.task)
