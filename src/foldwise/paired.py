"""Compare runs on the same rows: differences, their uncertainty, and who adds what to a blend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from foldwise import metrics
from foldwise.blends.rows import Problem, Rows
from foldwise.blends.values import to_scale, weighted


def difference(losses: np.ndarray, others: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any]:
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
    """Return by how much the log loss of the mean of all members rises without each of them, (m,).

    That is what the mean of the others gains when the member joins it.
    """
    if rows.m < 2:
        return np.zeros(rows.m)
    return np.array([_mean_loss(rows, problem, 1 - one) for one in np.eye(rows.m)]) - _mean_loss(
        rows, problem, np.ones(rows.m)
    )


def add_one(rows: Rows, problem: Problem) -> np.ndarray:
    """Return by how much the log loss of the mean of all members falls when each of them counts twice, (m,).

    Above zero for a member that deserves more than an equal weight: the next step of a greedy selection.
    """
    every = np.ones(rows.m)
    return _mean_loss(rows, problem, every) - np.array(
        [_mean_loss(rows, problem, every + one) for one in np.eye(rows.m)]
    )


def table(names: list[str], rows: Rows, problem: Problem, groups: np.ndarray | None) -> str:
    """Return the comparison of runs, best first, as text.

    Below the diagonal of the matrix: the difference of log loss of the run of the line and that of the column, with
    a star where its 95 % paired-bootstrap interval leaves 0 out. Above it: the correlation of their logits.
    """
    losses = [metrics.row_losses(rows.y, rows.member(j), problem.task) for j in range(rows.m)]
    related, dropped, added = correlations(rows, problem), drop_one(rows, problem), add_one(rows, problem)
    lines = [
        "",
        "below the diagonal: difference of log loss, line minus column (* its 95 % interval leaves out 0);",
        "above: correlation of logits; drop: what the mean of all loses without the run; add: what it gains if that",
        "counts twice",
        "   " + "".join(f"{i + 1:>9}" for i in range(rows.m)) + f"{'drop':>10}{'add':>9}",
    ]
    for i, name in enumerate(names):
        cells = []
        for j in range(rows.m):
            if j < i:
                gap = difference(losses[i], losses[j], groups)
                low, high = gap["interval"]
                cells.append(f"{gap['difference']:+.4f}{'*' if low > 0 or high < 0 else ' '}")
            else:
                cells.append("-  " if i == j else f"{related[i, j]:.3f} ")
        lines.append(
            f"{i + 1:>2} " + "".join(f"{cell:>9}" for cell in cells) + f"{dropped[i]:>+10.4f}{added[i]:>+9.4f}  {name}"
        )
    best = int(np.argmax(dropped))
    lines.append(f"adds most to the mean of these: {names[best]}")
    return "\n".join([*lines, ""])


def _mean_loss(rows: Rows, problem: Problem, votes: np.ndarray) -> float:
    p = weighted(rows, votes / votes.sum(), problem.average, problem.task)
    return metrics.log_loss(rows.y, p, problem.task)
