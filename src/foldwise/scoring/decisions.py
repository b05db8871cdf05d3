"""From probabilities to decisions, for metrics that count them: thresholds and cuts, and how they are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from foldwise.scoring.metrics import METRICS, Metric
from foldwise.settings import ONE_CLASS, Task

if TYPE_CHECKING:
    from foldwise.settings import Metric as MetricName


NONE_ABOVE = float(np.nextafter(1, 2))  # a threshold that no probability reaches
EQUAL = 1e-12  # values of a metric that differ by less are equal
GRID = 64  # places of a cut between ordered classes
PASSES = 10  # over the cuts, each moved in turn, at most


def learn(name: MetricName, y: np.ndarray, p: np.ndarray, task: Task) -> list[float]:
    """Return the thresholds of the best value of a metric on labels and probabilities (n, k).

    One for each output; between ordered classes (an ordinal task, or a metric of ordered classes) the k - 1 cuts of the
    expected class; none for other classes, of which the likeliest is taken.

    Raises ValueError for a metric that counts no decisions.
    """
    metric = METRICS[name]
    if not metric.counts_decisions:
        raise ValueError(f"{name} counts no decisions, so that it has no thresholds")
    if task not in ONE_CLASS:
        return [_threshold(metric, y[:, c], p[:, c]) for c in range(p.shape[1])]
    return _cuts(metric, y.argmax(axis=1), _expected(p), p.shape[1]) if _is_ordered(metric, task) else []


def untuned(name: MetricName, k: int, task: Task) -> list[float]:
    """Return thresholds of one half, and cuts half-way between ordered classes.

    >>> untuned("f1", 2, "multilabel"), untuned("f1", 3, "multiclass"), untuned("kappa", 3, "multiclass")
    ([0.5, 0.5], [], [0.5, 1.5])
    >>> untuned("accuracy", 3, "ordinal")
    [0.5, 1.5]
    """
    if task not in ONE_CLASS:
        return [0.5] * k
    return [c + 0.5 for c in range(k - 1)] if _is_ordered(METRICS[name], task) else []


def decide(p: np.ndarray, thresholds: list[float], task: Task) -> np.ndarray:
    """Return decisions (n, k) of 0 and 1, as labels are: at least the threshold, or one class of several.

    >>> decide(np.array([[0.5, 0.2]]), [0.5, 0.5], "multilabel").tolist()
    [[1.0, 0.0]]
    """
    if task not in ONE_CLASS:
        return (p >= np.array(thresholds)).astype(np.float64)
    classes = np.searchsorted(thresholds, _expected(p), side="right") if thresholds else p.argmax(axis=1)
    return np.eye(p.shape[1])[classes]


def _is_ordered(metric: Metric, task: Task) -> bool:
    """Whether decisions between classes are cuts of the expected class."""
    return task == "ordinal" or metric.ordered_classes


def _threshold(metric: Metric, y: np.ndarray, p: np.ndarray) -> float:
    """Return the threshold of the best value: half-way between two probabilities; of equals the nearest to .5."""
    assert metric.of_confusion is not None
    order = np.argsort(-p, kind="stable")
    falling, n = p[order], len(p)
    hits = np.concatenate([[0.0], np.cumsum(y[order])])  # (n + 1,) of the i likeliest
    positive, true = np.arange(n + 1), hits[-1]  # how many are decided to be 1, and how many are
    matrices = np.stack([n - true - positive + hits, positive - hits, true - hits, hits], axis=1).reshape(-1, 2, 2)
    values = np.nan_to_num(metric.of_confusion(matrices, "binary"))
    middle = (falling[:-1] + falling[1:]) / 2
    thresholds = np.concatenate([[NONE_ABOVE], np.where(middle > falling[1:], middle, falling[:-1]), [0.0]])
    values[1:-1][falling[:-1] == falling[1:]] = -np.inf  # equal probabilities cannot be separated
    best = thresholds[values >= values.max() - EQUAL]
    return float(best[np.argmin(abs(best - 0.5))])


def _cuts(metric: Metric, truth: np.ndarray, expected: np.ndarray, k: int) -> list[float]:
    """Return the rising cuts of the expected class (n,) that give the best value, moved one at a time."""
    assert metric.of_confusion is not None
    halves = np.arange(k - 1) + 0.5
    grid = np.unique(np.concatenate([halves, np.quantile(expected, np.linspace(0, 1, GRID + 2)[1:-1])]))
    place = np.searchsorted(grid, expected, side="right")  # how many places of the grid it reaches
    below = np.zeros((len(grid) + 1, k))
    np.add.at(below, (place, truth), 1)
    below = below.cumsum(axis=0)[:-1]  # (g, k) of each class below each place
    all_rows = np.bincount(truth, minlength=k)
    cuts = np.searchsorted(grid, halves)
    for _ in range(PASSES):
        before = cuts.copy()
        for i in range(k - 1):
            low, high = cuts[i - 1] if i else 0, cuts[i + 1] if i + 1 < k - 1 else len(grid) - 1
            tried = np.tile(cuts, (high - low + 1, 1))
            tried[:, i] = np.arange(low, high + 1)
            edges = [np.zeros((len(tried), 1, k)), below[tried], np.tile(all_rows, (len(tried), 1, 1))]
            matrices = np.diff(np.concatenate(edges, axis=1), axis=1).swapaxes(1, 2)  # a row for each true class
            values = np.nan_to_num(metric.of_confusion(matrices, "multiclass"))
            if values.max() > values[cuts[i] - low] + EQUAL:
                cuts[i] = low + int(np.argmax(values))
        if (cuts == before).all():
            break
    return [float(cut) for cut in grid[cuts]]


def _expected(p: np.ndarray) -> np.ndarray:
    """Return the expected class (n,) of probabilities (n, k) of ordered classes."""
    return np.asarray(p @ np.arange(p.shape[1]) / p.sum(axis=1))
