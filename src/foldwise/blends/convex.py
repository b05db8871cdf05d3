"""Weights on the simplex that minimise log loss, or the squared error of a regression, for all outputs or for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.blends.blended import Blended
from foldwise.blends.convex_loss import Values, hessian, loss, single_blend, single_products, slope, values_of
from foldwise.blends.fast_selection import select
from foldwise.processes import one_thread
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import normalise, weighted
from foldwise.settings import ONE_CLASS

GAP = 1e-9  # how far the loss may be above the minimum; a squared error is divided by that of the best member
STEPS = 100
LARGE = 200_000  # entries from which on the way to the minimum is gone in float32
PART = 50_000  # entries of the part of the rows that it begins with
ROUNDING = 1e-15  # of a loss: near the minimum a step may gain less


def convex(problem: Problem, train: Rows, other: Rows) -> Blended:
    """Find the weights, none negative and their sum 1, of lowest log loss, or squared error in a regression."""
    weights, gap = minimise(values_of(train, problem.average, problem.task))
    return Blended(weighted(other, weights, problem.average, problem.task), weights, {"gap": gap})


def by_output(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    column: str | None = None,  # of the table, weights for each of its values; null: for each output or class
    shrinkage: Annotated[float, Field(ge=0)] = 200.0,  # prior strength of the weights of all outputs, in rows
) -> Blended:
    """Find convex weights for each output (class, zone), shrunk to those of all outputs where it has few rows.

    With n rows of its own, the weights of an output are (n own + shrinkage pooled) / (n + shrinkage). A class
    of several is weighed against the rest, and the results are divided by their sum.
    """
    pooled, _ = minimise(values_of(train, problem.average, problem.task))
    result = weighted(other, pooled, problem.average, problem.task)
    about: dict[str, list[float]] = {}
    if column is not None:
        train_values, other_values = (rows.table[column].astype(str).to_numpy() for rows in (train, other))
        for value in np.unique(train_values):
            mine = train_values == value
            weights = _shrink(train.only(mine), pooled, shrinkage, problem)
            at = np.flatnonzero(other_values == value)
            result[at] = weighted(other.only(at), weights, problem.average, problem.task)
            about[value] = weights.tolist()
        return Blended(result, pooled, {"weights": about})
    one = replace(problem, task="regression" if problem.task == "regression" else "binary")
    for c in range(train.k):
        weights = _shrink(train.of_output(c), pooled, shrinkage, one)
        result[:, c] = weighted(other.of_output(c), weights, problem.average, one.task)[:, 0]
        about[str(c)] = weights.tolist()
    if problem.task in ONE_CLASS:
        result = normalise(result)
    return Blended(result, pooled, {"weights": about})


def minimise(values: Values) -> tuple[np.ndarray, float]:
    """Return the weights (m,) of lowest loss on the simplex, and how far their loss can be above the minimum.

    Newton's method on an active set, begun at the better of a short greedy selection and the best member, so that
    it can be worse than neither. With the gradient g, loss(w) - minimum <= g w - min g, as the loss is convex:
    that gap is driven below 1e-9. Where there are many entries, the way there is gone in float32, first on a part of
    the rows and then on all; the last steps, and the gap, are those of float64.
    """
    with one_thread():
        if values.matrix.shape[1] < LARGE:
            return _descend(values, _greedy_start(values))
        every = np.arange(0, len(values.rows), max(1, values.matrix.shape[1] // PART))
        part = values_of(values.rows.only(every), values.average, values.task)
        weights, _ = _descend(part, _greedy_start(part), in_single=True)
        return _descend(values, _descend(values, weights, in_single=True)[0])


def _greedy_start(values: Values) -> np.ndarray:
    counts = select(values, 20)
    return np.asarray(counts / counts.sum())


def _descend(values: Values, weights: np.ndarray, *, in_single: bool = False) -> tuple[np.ndarray, float]:
    """Return the weights to which Newton's method goes from some weights on, and their gap.

    in_single: of the members' values in float32, hundreds of members at once; the gap then leaves out that these are
        rounded.
    """
    make_blend = single_blend if in_single else _blend
    blend = make_blend(values, weights)
    now, gap, found = loss(values, blend), np.inf, (np.inf, weights)
    for _ in range(STEPS):
        slopes = slope(values, blend) / values.n
        gradient = single_products(values, slopes) if in_single else _exact_products(values, slopes, weights)
        gap = float(weights @ gradient - gradient.min())
        found = min(found, (gap, weights), key=lambda pair: pair[0])
        if gap <= GAP:
            break
        n_new = max(3, int((gradient < weights @ gradient).sum())) if in_single else 3
        free = np.union1d(np.flatnonzero(weights), np.argsort(gradient)[:n_new])
        step = _newton_step(values, blend, weights, gradient, free, in_single)
        size, moved = 1.0, False
        while size > 1e-12:
            trial = np.maximum(weights + size * step, 0)
            trial /= trial.sum()
            trial_blend = make_blend(values, trial)
            trial_loss = loss(values, trial_blend)
            if trial_loss <= now - 1e-4 * size * max(-float(gradient @ step), 0) + ROUNDING:
                weights, blend, now, moved = trial, trial_blend, trial_loss, True
                break
            size /= 2
        if not moved:
            break
    return found[1], found[0]


def _newton_step(
    values: Values, blend: np.ndarray, weights: np.ndarray, gradient: np.ndarray, free: np.ndarray, in_single: bool
) -> np.ndarray:
    """Return the step (m,) to the minimum of the quadratic model over the simplex of the free members.

    The minimum is found by non-negative least squares: with H = R'R it minimises |R u - c|**2 for the new weights
    u >= 0, and a heavy row makes their sum 1.
    """
    from scipy.optimize import nnls

    h = hessian(values, blend, free, np.float32 if in_single else np.float64) / values.n
    h[np.diag_indices_from(h)] += 1e-10 * max(float(np.trace(h)) / len(free), 1e-12)
    root = np.linalg.cholesky(h).T  # R
    target = root @ weights[free] - np.linalg.solve(root.T, gradient[free])
    # adding a constant to the gradient moves no minimum on the simplex; the heavy row enforces the sum
    heavy = 1e4 * float(abs(root).max())
    rows = np.vstack([root, np.full(len(free), heavy)])
    u = nnls(rows, np.append(target, heavy), maxiter=50 * len(free))[0]
    step = np.zeros(len(weights))
    step[free] = u / u.sum() - weights[free]
    return step


def _exact_products(values: Values, slopes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiply all members in float32, and those that decide in float64: used ones and the lowest."""
    products = (values.matrix @ slopes.astype(np.float32)).astype(np.float64)
    for j in np.union1d(np.flatnonzero(weights), np.argsort(products)[:20]):
        products[j] = float(values.row(int(j)) @ slopes)
    return products


def _blend(values: Values, weights: np.ndarray) -> np.ndarray:
    total = np.zeros(values.matrix.shape[1])
    for j in np.flatnonzero(weights):
        total += weights[j] * values.row(int(j))
    return total


def _shrink(rows: Rows, pooled: np.ndarray, shrinkage: float, problem: Problem) -> np.ndarray:
    own, _ = minimise(values_of(rows, problem.average, problem.task))
    return np.asarray((len(rows) * own + shrinkage * pooled) / (len(rows) + shrinkage))
