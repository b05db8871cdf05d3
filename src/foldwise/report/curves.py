"""Curves and counts of labels and probabilities, small enough for a page: a few points stand for any number of rows.

`y` and `p` are one output, (n,): labels of 0 and 1, and probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

POINTS = 80  # of a curve, at most
THRESHOLDS = 100  # steps of the threshold between 0 and 1
COARSE = 20  # its steps where several classes are counted
BINS = 20  # of a histogram
RELIABILITY_BINS = 10  # of equal width, as in the definition of the expected calibration error

Points = list[list[float]]  # x and y


def ranking(y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return what the order of the predictions tells; both labels must be there.

    roc: false and true positive rates of falling thresholds, as [x, y]. auc: the area under it.
    precision_recall: recall and precision, as [x, y], from recall 0 on. average_precision: sum of the precisions, each
        times the step of the recall before it.

    The numbers are scikit-learn's, from one sorting instead of four.

    >>> ranking(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1]))["auc"]
    0.5
    """
    order = np.argsort(-p, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)  # the last row of each threshold
    hits = np.cumsum(y[order])[ends]
    rows = ends + 1.0
    true_rate, false_rate = hits / hits[-1], (rows - hits) / (rows - hits)[-1]
    precision = hits / rows
    x, rates = np.append(0, false_rate), np.append(0, true_rate)
    return {
        "auc": float(np.trapezoid(rates, x)),
        "average_precision": float((np.diff(rates) * precision).sum()),
        "roc": reduced(x, rates),
        "precision_recall": reduced(np.append(0, true_rate), np.append(1, precision)),
    }


def reduced(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> Points:
    """Return the points of a curve that lie nearest to equal steps along it, its ends among them.

    >>> reduced(np.array([0, 0.1, 0.5, 1]), np.array([0, 0.1, 0.5, 1]), points=3)
    [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]]
    """
    if len(x) > points:
        length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        steps = np.linspace(0, length[-1], points)
        kept = np.unique([0, *np.searchsorted(length, steps[1:-1]), len(x) - 1])
        x, y = x[kept], y[kept]
    return [rounded(x), rounded(y)]


def counts_above(y: np.ndarray, p: np.ndarray) -> dict[str, list[int]]:
    """Return how many rows of label 1 and of label 0 have p >= t, for t = 0, .01, ..., 1.

    >>> counts_above(np.array([1, 0]), np.array([0.5, 0.2]))["true_positive"][49:52]
    [1, 1, 0]
    """
    thresholds = np.arange(THRESHOLDS + 1) / THRESHOLDS
    both = {}
    for name, values in (("true_positive", p[y == 1]), ("false_positive", p[y != 1])):
        both[name] = (len(values) - np.searchsorted(np.sort(values), thresholds, side="left")).tolist()
    return both


def confusion_at(truth: np.ndarray, decided: np.ndarray, sure: np.ndarray, k: int) -> list[list[list[int]]]:
    """Return the counts of k true and k decided classes where sure >= t, for t = 0, .05, ..., 1: (21, k, k + 1).

    truth, decided: classes (n,). sure: probability of the decided class (n,). The last column counts the rows that are
    less sure, on which nothing is decided.
    """
    step = np.searchsorted(np.arange(1, COARSE + 1) / COARSE, sure, side="right")  # the last threshold it reaches
    cells = np.zeros((COARSE + 1, k, k), np.int64)
    np.add.at(cells, (step, truth, decided), 1)
    above = cells[::-1].cumsum(axis=0)[::-1]
    undecided = np.bincount(truth, minlength=k) - above.sum(axis=2)
    result: list[list[list[int]]] = np.concatenate([above, undecided[:, :, None]], axis=2).tolist()
    return result


def histogram(y: np.ndarray, p: np.ndarray) -> dict[str, list[int]]:
    """Return how many rows of label 1 and of label 0 have probabilities in each of 20 bins of equal width."""
    return {
        name: np.histogram(values, bins=BINS, range=(0, 1))[0].tolist()
        for name, values in (("positive", p[y == 1]), ("negative", p[y != 1]))
    }


def reliability(y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return the bins of a reliability diagram, [mean probability, share of label 1, rows], and what they sum to.

    expected_calibration_error: sum over the bins of rows / n * |share - mean probability|, as in Naeini, Cooper and
    Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI.

    >>> reliability(np.array([1, 0]), np.array([0.75, 0.25]))
    {'bins': [[0.25, 0.0, 1], [0.75, 1.0, 1]], 'expected_calibration_error': 0.25}
    """
    bins = np.minimum((p * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    rows = np.bincount(bins, minlength=RELIABILITY_BINS)
    there = rows > 0
    mean_p = np.bincount(bins, p, RELIABILITY_BINS)[there] / rows[there]
    share = np.bincount(bins, y, RELIABILITY_BINS)[there] / rows[there]
    error = float((rows[there] * np.abs(share - mean_p)).sum() / len(p))
    found = zip(rounded(mean_p), rounded(share), rows[there].tolist(), strict=True)
    return {"bins": [list(one) for one in found], "expected_calibration_error": error}


def scatter(y: np.ndarray, p: np.ndarray, points: int = 300) -> dict[str, Any]:
    """Return true and predicted numbers of at most 300 rows, evenly spaced in the order of the truth, and residuals.

    residuals: counts of predicted minus true in 20 bins between `low` and `high`, of all rows.
    """
    order = np.argsort(y, kind="stable")
    kept = order[np.unique(np.linspace(0, len(y) - 1, min(points, len(y))).astype(int))]
    counts, edges = np.histogram(p - y, bins=BINS)
    return {
        "points": [rounded(y[kept]), rounded(p[kept])],
        "n": len(y),
        "residuals": {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])},
    }


def rounded(values: np.ndarray) -> list[float]:
    """Return numbers with four significant digits, as plain ones.

    >>> rounded(np.array([1 / 3, 12345.678]))
    [0.3333, 12350.0]
    """
    return [float(f"{value:.4g}") for value in np.asarray(values, np.float64).tolist()]
