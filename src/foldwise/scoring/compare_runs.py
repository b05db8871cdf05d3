"""Compare runs on the same rows: differences, their uncertainty, and who adds what to a blend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from foldwise.scoring import metrics
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import Score, cost, cost_in_sample, score_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import to_scale, weighted

BLOCK_ROWS = 10_000  # of a block of a product of members


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


def score_difference(one: Score, other: Score) -> dict[str, Any]:
    """Return the difference of two scores on the same rows, one minus other, as `difference` does.

    Where the metric is no mean over rows, both are computed on the same resampled rows or groups.
    """
    if one.rows is not None and other.rows is not None:
        return difference(one.rows, other.rows, one.groups)
    assert one.resampled is not None and other.resampled is not None
    gaps = one.resampled - other.resampled
    return {
        "difference": one.value - other.value,
        "interval": [float(bound) for bound in np.nanpercentile(gaps, [2.5, 97.5])],
        "standard_error": float(np.nanstd(gaps, ddof=1)),
    }


def gain(before: Score, after: Score) -> dict[str, Any]:
    """Return `score_difference` with the sign that makes it positive where `after` is better."""
    if METRICS[before.metric].lower_is_better:
        return score_difference(before, after)
    return score_difference(after, before)


def cost_difference(one: Score, best: Score) -> tuple[float, float]:
    """Return by how much the cost of `one` is above that of `best`, and the standard error of that."""
    if one.rows is not None and best.rows is not None:
        gaps = one.rows - best.rows
        return cost(one.metric, float(gaps.mean())), standard_error(gaps, one.groups)
    found = score_difference(one, best)
    return cost(one.metric, found["difference"]), found["standard_error"]


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the standard error of the mean of values (n,); with groups, of a mean over rows sampled by groups."""
    codes = metrics.group_codes(len(values), groups)
    sums = np.bincount(codes, values - values.mean())
    n = len(sums)
    return math.sqrt(float((sums**2).sum()) * n / max(n - 1, 1)) / len(values)


def correlations(rows: Rows, problem: Problem) -> np.ndarray:
    """Return the correlation matrix (m, m) of the members' logits, NaN for one that predicts the same for all rows.

    In a regression it is that of their values.
    """
    count, sums, products, middle = 0, np.zeros(rows.m), np.zeros((rows.m, rows.m)), None
    for start in range(0, len(rows), BLOCK_ROWS):
        part = rows.only(np.arange(start, min(start + BLOCK_ROWS, len(rows))))
        logits = np.stack([to_scale(part.member(j), "logit", problem.task).ravel() for j in range(rows.m)])
        middle = logits[:, :1] if middle is None else middle  # what is near 0 loses nothing in a sum of squares
        logits = logits - middle
        count, sums, products = count + logits.shape[1], sums + logits.sum(axis=1), products + logits @ logits.T
    covariance = products - np.outer(sums, sums) / count
    sd = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.clip(covariance / np.outer(sd, sd), -1, 1))


def drop_one(rows: Rows, problem: Problem) -> np.ndarray:
    """Return by how much the mean of all members is worse without each of them, (m,), by the objective.

    That is what the mean of the others gains when the member joins it.
    """
    if rows.m < 2:
        return np.zeros(rows.m)
    return np.array([_mean_cost(rows, problem, 1 - one) for one in np.eye(rows.m)]) - _mean_cost(
        rows, problem, np.ones(rows.m)
    )


def add_one(rows: Rows, problem: Problem) -> np.ndarray:
    """Return by how much the mean of all members is better when each of them counts twice, (m,), by the objective.

    Above zero for a member that deserves more than an equal weight: the next step of a greedy selection.
    """
    every = np.ones(rows.m)
    return _mean_cost(rows, problem, every) - np.array(
        [_mean_cost(rows, problem, every + one) for one in np.eye(rows.m)]
    )


def table(names: list[str], rows: Rows, problem: Problem) -> str:
    """Return the comparison of runs, best first, as text.

    Below the diagonal of the matrix: the objective of the run of the line minus that of the run of the column, with
    a star where its 95 % paired-bootstrap interval leaves 0 out. Above it: the correlation of their logits, or values.
    """
    scores = [score_of(problem, rows, rows.member(j)) for j in range(rows.m)]
    label, scale = METRICS[problem.metric].label, "values" if problem.task == "regression" else "logits"
    related, dropped, added = correlations(rows, problem), drop_one(rows, problem), add_one(rows, problem)
    lines = [
        "",
        f"below the diagonal: difference of {label}, line minus column (* its 95 % interval leaves out 0);",
        f"above: correlation of {scale}; drop: what the mean of all loses without the run; add: what it gains if that",
        "counts twice",
        "   " + "".join(f"{i + 1:>10}" for i in range(rows.m)) + f"{'drop':>11}{'add':>10}",
    ]
    for i, name in enumerate(names):
        cells = []
        for j in range(rows.m):
            if j < i:
                found = score_difference(scores[i], scores[j])
                low, high = found["interval"]
                cells.append(as_text(found["difference"], "+") + ("*" if low > 0 or high < 0 else " "))
            else:
                cells.append("-  " if i == j else f"{related[i, j]:.3f} ")
        lines.append(
            f"{i + 1:>2} "
            + "".join(f"{cell:>10}" for cell in cells)
            + f"{as_text(dropped[i], '+'):>11}{as_text(added[i], '+'):>10}  {name}"
        )
    best = int(np.argmax(dropped))
    lines.append(f"adds most to the mean of these: {names[best]}")
    return "\n".join([*lines, ""])


def _mean_cost(rows: Rows, problem: Problem, votes: np.ndarray) -> float:
    p = weighted(rows, votes / votes.sum(), problem.average, problem.task)
    return cost_in_sample(problem, rows.y, p)
