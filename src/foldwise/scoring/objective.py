"""The metric that a competition is decided by: what predictions score, and how sure that is.

What is fitted by a gradient (convex weights, stacking, curves of calibration) minimises log loss, or the squared error
of a regression, whatever the objective is. What is chosen (runs, members, methods, whether to calibrate, floors) is
chosen by the objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.errors import FoldwiseError
from foldwise.scoring import decisions, metrics
from foldwise.scoring.metrics import METRICS
from foldwise.scoring.out_of_fold import out_of_fold_predictions, with_predictions

if TYPE_CHECKING:
    from foldwise.scoring.rows import Problem, Rows
    from foldwise.settings import Metric as MetricName
    from foldwise.settings import Task


@dataclass(frozen=True)
class Score:
    """What predictions score, and what its uncertainty is computed from."""

    metric: MetricName
    value: float
    rows: np.ndarray | None  # (n,) whose mean is the value
    resampled: np.ndarray | None  # (r,) values over resampled rows, where the metric is no mean over rows
    groups: np.ndarray | None  # (n,) of rows that are resampled together


def cost(metric: MetricName, value: float) -> float:
    """Return the value so that lower is better.

    >>> cost("log_loss", 0.5), cost("auc", 0.5)
    (0.5, -0.5)
    """
    return value if METRICS[metric].lower_is_better else -value


def score_of(problem: Problem, rows: Rows, p: np.ndarray) -> Score:
    """Score predictions (n, k) of labelled rows; thresholds are learned on the other folds, for each fold."""
    metric, task = problem.metric, problem.task
    if METRICS[metric].counts_decisions:

        def decide(train: Rows, other: Rows) -> np.ndarray:
            thresholds = decisions.learn(metric, train.y, train.member(0), task)
            return decisions.decide(other.member(0), thresholds, task)

        p = out_of_fold_predictions(with_predictions(rows, p), decide)
    return score_answers(metric, rows.y, p, task, rows.groups)


def score_answers(
    metric: MetricName, y: np.ndarray, answers: np.ndarray, task: Task, groups: np.ndarray | None
) -> Score:
    """Score probabilities or values, or decisions of 0 and 1 for a metric that counts them, (n, k); groups (n,)."""
    entry = METRICS[metric]
    if entry.per_row is not None:
        rows = entry.per_row(y, answers, task)
        return Score(metric, float(rows.mean()), rows, None, groups)
    resampled = _resample(entry.statistic(y, answers, task), len(y), groups)
    return Score(metric, entry.value(y, answers, task), None, resampled, groups)


def interval(score: Score) -> list[float]:
    """Return the 95 % percentile interval of the metric itself over resampled rows, or whole groups."""
    if score.rows is not None:
        return metrics.bootstrap_interval(score.rows, score.groups)
    assert score.resampled is not None
    return [float(bound) for bound in np.nanpercentile(score.resampled, [2.5, 97.5])]


def value_or_none(metric: MetricName, y: np.ndarray, answers: np.ndarray, task: Task) -> float | None:
    """Return the metric of labels and answers (n, k), None where it is not defined, as AUC is without both labels."""
    try:
        return METRICS[metric].value(y, answers, task)
    except FoldwiseError:
        return None


def for_humans(labels: np.ndarray, probabilities: np.ndarray, task: Task) -> dict[str, Any]:
    """Return accuracy, f1, auc and confusion_matrix of labels and probabilities (n, k); mae and r2 of a regression.

    A label is predicted where p >= .5, or the likeliest class; the formulas are those of `METRICS`. The confusion
    matrix has a row for each true class; for several independent labels it is a list of 2 x 2 matrices. auc is None
    where an output or class has one label only, and so is r2 where a target has one value.
    """
    y = np.asarray(labels, np.float64)
    if task == "regression":
        return {name: value_or_none(name, y, probabilities, task) for name in ("mae", "r2")}
    answers = decisions.decide(probabilities, decisions.untuned("accuracy", y.shape[1], task), task)
    matrices = [
        np.bincount((n * truth + answer).astype(int), minlength=n * n).reshape(n, n).tolist()
        for truth, answer, n in metrics.classes(y, answers, task)
    ]
    return {
        "accuracy": METRICS["accuracy"].value(y, answers, task),
        "f1": METRICS["f1"].value(y, answers, task),
        "auc": value_or_none("auc", y, probabilities, task),
        "confusion_matrix": matrices[0] if len(matrices) == 1 else matrices,
    }


def cost_in_sample(problem: Problem, y: np.ndarray, p: np.ndarray) -> float:
    """Return the cost of predictions (n, k), thresholds learned on these very rows: to search with, not to report.

    Where the metric is not defined it is infinite.
    """
    name, task = problem.metric, problem.task
    metric = METRICS[name]
    if metric.counts_decisions:
        p = decisions.decide(p, decisions.learn(name, y, p, task), task)
    elif metric.per_row is not None:
        return cost(name, float(metric.per_row(y, p, task).mean()))
    number = cost(name, metric.statistic(y, p, task)(np.ones(len(y))))
    return number if np.isfinite(number) else np.inf


def costs_alone(problem: Problem, rows: Rows) -> list[float]:
    """Return the cost of each member by itself on labelled rows, (m,)."""
    return [cost_in_sample(problem, rows.y, rows.member(j)) for j in range(rows.m)]


def _resample(statistic: metrics.Statistic, n: int, groups: np.ndarray | None) -> np.ndarray:
    """Return a statistic of n rows over resampled rows, or whole groups, (N_RESAMPLES,)."""
    rng = np.random.default_rng(0)
    codes = metrics.group_codes(n, groups)
    size = int(codes.max()) + 1
    samples = (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(metrics.N_RESAMPLES))
    return np.array([statistic(counts[codes].astype(np.float64)) for counts in samples])
