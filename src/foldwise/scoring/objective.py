"""The metric that a competition is decided by: its value, its direction, and how sure it is.

What is fitted by a gradient (convex weights, stacking, curves of calibration) minimises log loss whatever the
objective is. What is chosen (runs, members, methods, whether to calibrate, floors) is chosen by the objective.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foldwise.errors import FoldwiseError
from foldwise.scoring import decisions, metrics
from foldwise.scoring.out_of_fold import crossed, predicted

if TYPE_CHECKING:
    from foldwise.scoring.rows import Problem, Rows
    from foldwise.settings import Metric, Task


LABELS: dict[Metric, str] = {
    "log_loss": "log loss",
    "auc": "AUC",
    "accuracy": "accuracy",
    "f1": "F1",
    "kappa": "kappa",
    "rmsle": "RMSLE",
}
LOWER_IS_BETTER = ("log_loss", "rmsle")


@dataclass(frozen=True)
class Scored:
    """What predictions score, and what its uncertainty is made of."""

    metric: Metric
    value: float
    rows: np.ndarray | None  # (n,) whose mean is the value
    draws: np.ndarray | None  # (r,) values over rows drawn anew, where the metric is no mean over rows
    groups: np.ndarray | None  # (n,) of rows that are drawn together


def cost(metric: Metric, value: float) -> float:
    """Return the value so that lower is better: the one place that knows the direction."""
    return value if metric in LOWER_IS_BETTER else -value


def scored(problem: Problem, rows: Rows, p: np.ndarray) -> Scored:
    """Score predictions (n, k) of labelled rows; thresholds are learned on the other folds, for each fold."""
    metric, task = problem.metric, problem.task
    if metric in decisions.COUNTED:

        def decided(train: Rows, other: Rows) -> np.ndarray:
            thresholds = decisions.learn(metric, train.y, train.member(0), task)
            return decisions.decide(other.member(0), thresholds, task)

        p = crossed(predicted(rows, p), decided)
    return scored_answers(metric, rows.y, p, task, rows.groups)


def scored_answers(metric: Metric, y: np.ndarray, answers: np.ndarray, task: Task, groups: np.ndarray | None) -> Scored:
    """Score probabilities, or for accuracy, F1 and kappa decisions of 0 and 1, (n, k)."""
    if metric in ("log_loss", "accuracy"):
        rows = _of_rows(metric, y, answers, task)
        return Scored(metric, float(rows.mean()), rows, None, groups)
    number = value(metric, y, answers, task)
    return Scored(metric, number, None, _draws(statistic(metric, y, answers, task), len(y), groups), groups)


def interval(one: Scored) -> list[float]:
    """Return the 95 % percentile interval of the metric itself over rows, or whole groups, drawn anew."""
    if one.rows is not None:
        return metrics.bootstrap_interval(one.rows, one.groups)
    assert one.draws is not None
    return [float(bound) for bound in np.nanpercentile(one.draws, [2.5, 97.5])]


def value(metric: Metric, y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the metric of labels and answers (n, k), from scikit-learn where it has it.

    auc and f1: of the positive class, or the mean over outputs or classes, one against the rest. kappa: quadratic
    weighted, of classes in their order, or the mean over outputs. rmsle: the root of the mean over rows and outputs
    of (ln(1 + p) - ln(1 + y))**2.

    Raises FoldwiseError where it is not defined, as AUC is not without both classes.
    """
    from sklearn import metrics as sk

    if metric == "log_loss":
        return metrics.log_loss(y, answers, task)
    if metric == "accuracy":
        return float(_right(y, answers, task).mean())
    if metric == "rmsle":
        return float(sk.root_mean_squared_log_error(y.ravel(), _normalised(answers, task).ravel()))
    if metric == "f1":
        truth, said = y.astype(int), answers.astype(int)
        return float(sk.f1_score(truth, said, average="binary" if y.shape[1] == 1 else "macro", zero_division=0))
    if (y.min(axis=0) == y.max(axis=0)).any():
        raise FoldwiseError(
            f"competition.metric={metric}: not defined where an output or class has one label only; say "
            "competition.metric=log_loss, or a split with every class in every part"
        )
    if metric == "auc":
        return float(sk.roc_auc_score(y.astype(int), answers, average="macro"))
    numbers = [
        sk.cohen_kappa_score(truth, said, weights="quadratic", labels=np.arange(n))
        for truth, said, n in _coded(y, answers, task)
    ]
    return float(np.mean(numbers))


def statistic(metric: Metric, y: np.ndarray, answers: np.ndarray, task: Task) -> Callable[[np.ndarray], float]:
    """Return the metric as a function of weights of the rows (n,), NaN where it is not defined.

    With all weights 1 it is `value`; an interval takes it a thousand times, for which scikit-learn's is too slow.
    """
    if metric == "auc":
        curves = [_auc(y[:, c], answers[:, c]) for c in range(y.shape[1])]
        return lambda w: float(np.mean([curve(w) for curve in curves]))
    if metric == "f1":
        hits, sizes = y * answers, y + answers
        return lambda w: float(np.mean(2 * (w @ hits) / np.maximum(w @ sizes, 1e-300)))
    if metric == "kappa":
        coded = [(truth * n + said, n) for truth, said, n in _coded(y, answers, task)]
        return lambda w: float(np.mean([decisions.kappas(np.bincount(at, w, n * n).reshape(n, n)) for at, n in coded]))
    if metric == "rmsle":
        squares = ((np.log1p(_normalised(answers, task)) - np.log1p(y)) ** 2).mean(axis=1)
        return lambda w: float(np.sqrt(w @ squares / w.sum()))
    rows = _of_rows(metric, y, answers, task)
    return lambda w: float(w @ rows / w.sum())


def cost_in_sample(problem: Problem, y: np.ndarray, p: np.ndarray) -> float:
    """Return the cost of predictions (n, k), thresholds learned on these very rows: to search with, not to report.

    Where the metric is not defined it is infinite.
    """
    metric, task = problem.metric, problem.task
    if metric == "log_loss":
        return metrics.log_loss(y, p, task)
    if metric in decisions.COUNTED:
        p = decisions.decide(p, decisions.learn(metric, y, p, task), task)
    number = cost(metric, statistic(metric, y, p, task)(np.ones(len(y))))
    return number if np.isfinite(number) else np.inf


def costs_alone(problem: Problem, rows: Rows) -> list[float]:
    """Return the cost of each member by itself on labelled rows, (m,)."""
    return [cost_in_sample(problem, rows.y, rows.member(j)) for j in range(rows.m)]


def _draws(of_weights: Callable[[np.ndarray], float], n: int, groups: np.ndarray | None) -> np.ndarray:
    rng = np.random.default_rng(0)
    codes = metrics.group_codes(n, groups)
    size = int(codes.max()) + 1
    draws = (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(metrics.N_RESAMPLES))
    return np.array([of_weights(counts[codes].astype(np.float64)) for counts in draws])


def _auc(y: np.ndarray, p: np.ndarray) -> Callable[[np.ndarray], float]:
    """The share of pairs of a 1 and a 0 in which the 1 is the likelier, ties counted half, for weights of rows."""
    levels, at = np.unique(p, return_inverse=True)

    def of(w: np.ndarray) -> float:
        ones, zeros = np.bincount(at, w * y, len(levels)), np.bincount(at, w * (1 - y), len(levels))
        with np.errstate(invalid="ignore"):
            return float(ones @ (np.cumsum(zeros) - zeros / 2) / (ones.sum() * zeros.sum()))

    return of


def _of_rows(metric: Metric, y: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Return log loss or accuracy of each row, (n,)."""
    return metrics.row_losses(y, answers, task) if metric == "log_loss" else _right(y, answers, task)


def _right(y: np.ndarray, said: np.ndarray, task: Task) -> np.ndarray:
    """Return the share of right decisions in each row, (n,)."""
    return np.asarray((y * said).sum(axis=1) if task == "multiclass" else (y == said).mean(axis=1))


def _coded(y: np.ndarray, said: np.ndarray, task: Task) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Return true and said classes and their number, for each output or once for classes."""
    if task == "multiclass":
        return [(y.argmax(axis=1), said.argmax(axis=1), y.shape[1])]
    return [(y[:, c].astype(int), said[:, c].astype(int), 2) for c in range(y.shape[1])]


def _normalised(p: np.ndarray, task: Task) -> np.ndarray:
    return p / p.sum(axis=1, keepdims=True) if task == "multiclass" else p
