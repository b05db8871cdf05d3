"""Greedy selection of members with replacement (Caruana et al. 2004) by any objective, every candidate computed.

Each round adds the member with which the blend is best; what is returned is the best blend on the way.
`fast_selection` makes the same choice by log loss and by squared error, which are convex, in far less time.
"""

from __future__ import annotations

import numpy as np

from foldwise.scoring.metrics import usual_losses
from foldwise.scoring.objective import cost_in_sample
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import from_scale, to_scale


def select(problem: Problem, rows: Rows, rounds: int, start: int = 0, members: np.ndarray | None = None) -> np.ndarray:
    """Return how often each member is taken, (m,), as `fast_selection.select` does by log loss.

    Of candidates that are equal by the objective, as many are where it counts decisions, the one of lower log loss,
    or squared error, is taken. Each of the rounds computes the objective of m blends of (n, k).
    """
    y, task = rows.y, problem.task
    scale = np.stack([to_scale(rows.member(j), problem.average, task) for j in range(rows.m)])  # (m, n, k)

    def costs(total: np.ndarray, size: int) -> tuple[float, float]:
        p = from_scale(total / size, problem.average, task)
        p = p if task == "regression" else np.clip(p, 0, 1)
        return cost_in_sample(problem, y, p), float(usual_losses(y, p, task).mean())

    allowed = np.arange(rows.m) if members is None else members
    alone = {int(j): costs(scale[j], 1) for j in allowed}
    order = sorted(alone, key=lambda j: _rank(alone[j]))
    first = order[: min(start, rounds, len(order)) or 1]
    counts = np.bincount(first, minlength=rows.m).astype(np.float64)
    total = scale[first].sum(axis=0)
    best, best_counts = costs(total, len(first)), counts.copy()
    for size in range(len(first) + 1, rounds + 1):
        tried = {j: costs(total + scale[j], size) for j in order}
        winner = min(order, key=lambda j: _rank(tried[j]))
        counts[winner] += 1
        total = total + scale[winner]
        if _rank(tried[winner]) < _rank(best):
            best, best_counts = tried[winner], counts.copy()
    return best_counts


def _rank(costs: tuple[float, float]) -> tuple[float, float]:
    """Objective first, log loss among those that differ by rounding alone."""
    return round(costs[0], 12), round(costs[1], 12)
