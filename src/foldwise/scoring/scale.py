"""Probabilities, logits and weighted means of them."""

from __future__ import annotations

import numpy as np

from foldwise.scoring.rows import Average, Rows
from foldwise.settings import ONE_CLASS, Task

CLIP = 1e-7  # probabilities are clipped to [CLIP, 1 - CLIP] before they become logits
EPSILON = 1e-15  # for log loss they are clipped to [EPSILON, 1 - EPSILON], as Kaggle does


def to_scale(p: np.ndarray, average: Average, task: Task) -> np.ndarray:
    """Return probabilities (n, k) on the scale of the average: themselves, logits, or log probabilities.

    The values of a regression are always averaged as they are.
    """
    if average == "arithmetic" or task == "regression":
        return p
    return np.log(np.clip(p, CLIP, 1 - CLIP)) if task in ONE_CLASS else logit(p)


def from_scale(values: np.ndarray, average: Average, task: Task) -> np.ndarray:
    """Return the probabilities (n, k) of values on the scale of the average, or the values of a regression."""
    if average == "arithmetic" or task == "regression":
        return values
    return softmax(values) if task in ONE_CLASS else sigmoid(values)


def weighted(rows: Rows, weights: np.ndarray, average: Average, task: Task) -> np.ndarray:
    """Average the members of rows with weights (m,), or (m, k) for each output, to predictions (n, k).

    logit: the mean of the logits, or of the log probabilities of a multiclass task, turned into probabilities.
    The values of a regression have their arithmetic mean.
    """
    total = np.zeros((len(rows), rows.k))
    for j in np.flatnonzero(weights.reshape(rows.m, -1).any(axis=1)):
        total += to_scale(rows.member(int(j)), average, task) * weights[j]
    p = from_scale(total, average, task)
    if average == "arithmetic" and task != "regression":
        p = np.clip(p, 0, 1)  # weights of thirds may sum to 1 + 1e-16
        if task in ONE_CLASS:
            p = normalise(p)
    return p


def logit(p: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, clipped to [CLIP, 1 - CLIP].

    `scipy.special.logit` differs in the last bit: it is the log of a quotient.

    >>> logit(np.array([0.5, 0.0])).round(6).tolist()
    [0.0, -16.118096]
    """
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-values)), accurate in both tails.

    >>> sigmoid(np.array([0.0, -800.0])).tolist()
    [0.5, 0.0]
    """
    from scipy import special  # not at the top: it takes a good part of a second, and commands that fail need none

    # the same bits as exp(-logaddexp(0, -x)), by which runs have been scored; `expit` differs in the last bit
    return np.asarray(np.exp(special.log_expit(values)))


def softmax(values: np.ndarray) -> np.ndarray:
    """Return the exponentials of logits (n, k), divided by their sum over the classes."""
    from scipy import special

    return np.asarray(special.softmax(values, axis=-1))


def normalise(p: np.ndarray) -> np.ndarray:
    """Divide the rows of p (n, k) by their sums.

    >>> normalise(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    return np.asarray(p / np.maximum(p.sum(axis=1, keepdims=True), EPSILON))
