"""Averages that learn no weights, and two habits of public leaderboards."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.blends.blended import Blended
from foldwise.blends.calibration import fit_curve
from foldwise.scoring.objective import costs_alone
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import EPSILON, from_scale, normalise, to_scale, weighted
from foldwise.settings import ONE_CLASS

Share = Annotated[float, Field(ge=0, le=1)]


def mean(problem: Problem, train: Rows, other: Rows) -> Blended:
    """Weigh all members the same, on the scale of `ensemble.average`: logit (the geometric mean) or arithmetic."""
    weights = np.full(other.m, 1 / other.m)
    return Blended(weighted(other, weights, problem.average, problem.task), weights)


def single(problem: Problem, train: Rows, other: Rows) -> Blended:
    """Take the member alone that is best by the objective."""
    costs = costs_alone(problem, train)
    weights = np.zeros(other.m)
    weights[int(np.argmin(costs))] = 1.0
    return Blended(other.member(int(np.argmin(costs))), weights)


def power(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    exponent: Annotated[float, Field(gt=0, le=100)] = 2.0,  # 1: the arithmetic mean; 2: favours the sure
) -> Blended:
    """Average p ** exponent and (1 - p) ** exponent, take the root, and divide by the sum of both.

    The two sides are treated alike, so that exchanging the labels exchanges the probabilities; of classes each has its
    own mean.
    """
    up = down = np.zeros((len(other), other.k))
    for j in range(other.m):
        p = other.member(j)
        up = up + p**exponent
        down = down + (1 - p) ** exponent
    up = (up / other.m) ** (1 / exponent)
    if problem.task in ONE_CLASS:
        return Blended(normalise(up), np.full(other.m, 1 / other.m))
    down = (down / other.m) ** (1 / exponent)
    return Blended(up / np.maximum(up + down, EPSILON), np.full(other.m, 1 / other.m))


def rank(problem: Problem, train: Rows, other: Rows) -> Blended:
    """Average the ranks of the members, and turn the mean rank into a probability by a logistic curve.

    A rank is the share of the training rows that a member predicts lower. The curve is fitted on training rows:
    a mean rank is no probability.
    """
    train_ranks, other_ranks = (np.zeros((len(rows), rows.k)) for rows in (train, other))
    for j in range(train.m):
        train_p, other_p = train.member(j), other.member(j)
        for c in range(train.k):
            order = np.sort(train_p[:, c])
            train_ranks[:, c] += ranks(train_p[:, c], order) / train.m
            other_ranks[:, c] += ranks(other_p[:, c], order) / train.m
    curve = fit_curve("platt", train_ranks, train.y, problem.task)
    return Blended(curve(other_ranks), np.full(other.m, 1 / other.m))


def minmax(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    low: Share = 0.2,
    high: Share = 0.8,
) -> Blended:
    """Take the highest prediction where all are above `high`, the lowest where all are below `low`, else the base.

    The base is the logit mean. This overstates certainty: it gained on a public leaderboard (-.007) and lost
    on the private one (+.009).
    """
    top, bottom = np.zeros((len(other), other.k)), np.ones((len(other), other.k))
    total = np.zeros((len(other), other.k))
    for j in range(other.m):
        p = other.member(j)
        top, bottom = np.maximum(top, p), np.minimum(bottom, p)
        total += to_scale(p, "logit", problem.task)
    base = from_scale(total / other.m, "logit", problem.task)
    p = np.where(bottom > high, top, np.where(top < low, bottom, base))
    return Blended(normalise(p) if problem.task in ONE_CLASS else p)


def pushout(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    low: Share = 0.1,
    high: Share = 0.9,
    floor: Share = 0.001,
) -> Blended:
    """Predict `floor` or 1 - `floor` where all members lie below `low` or above `high`, else their median.

    It overstates certainty as `minmax` does.
    """
    p = other.predictions()
    middle = np.median(p, axis=0)
    pushed = np.where((p > high).all(axis=0), 1 - floor, np.where((p < low).all(axis=0), floor, middle))
    return Blended(normalise(pushed) if problem.task in ONE_CLASS else pushed)


def ranks(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the share of the sorted `order` below each value, ties counted half: in (0, 1).

    >>> ranks(np.array([0.5, 9.0]), np.array([0.1, 0.5, 0.9])).tolist()
    [0.5, 0.875]
    """
    below, upto = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    return np.asarray((below + upto + 1) / (2 * len(order) + 2))
