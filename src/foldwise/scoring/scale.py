"""Probabilities, logits and weighted means of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from foldwise.scoring.rows import Average, Rows

if TYPE_CHECKING:
    from foldwise.settings import Task


CLIP = 1e-7  # of probabilities before they become logits
TINY = 1e-15  # as metrics.EPSILON; a constant of its own, to be imported without pandas


def to_scale(p: np.ndarray, average: Average, task: Task) -> np.ndarray:
    """Return probabilities (n, k) on the scale of the average: themselves, logits, or log probabilities."""
    if average == "arithmetic":
        return p
    return np.log(np.clip(p, CLIP, 1 - CLIP)) if task == "multiclass" else logit(p)


def from_scale(values: np.ndarray, average: Average, task: Task) -> np.ndarray:
    """Return the probabilities (n, k) of values on the scale of the average."""
    if average == "arithmetic":
        return values
    return _softmax(values) if task == "multiclass" else _sigmoid(values)


def weighted(rows: Rows, weights: np.ndarray, average: Average, task: Task) -> np.ndarray:
    """Average the members of rows with weights (m,), or (m, k) for each output, to probabilities (n, k).

    logit: the mean of the logits, or of the log probabilities of a multiclass task, turned into probabilities.
    """
    total = np.zeros((len(rows), rows.k))
    for j in np.flatnonzero(weights.reshape(rows.m, -1).any(axis=1)):
        total += to_scale(rows.member(int(j)), average, task) * weights[j]
    p = from_scale(total, average, task)
    if average == "arithmetic":
        p = np.clip(p, 0, 1)  # weights of thirds may sum to 1 + 1e-16
        if task == "multiclass":
            p = p / p.sum(axis=1, keepdims=True)
    return p


def logit(p: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, clipped to [CLIP, 1 - CLIP]."""
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -values)))


def _softmax(values: np.ndarray) -> np.ndarray:
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
