"""Log loss and its uncertainty for the machine; accuracy, F1, AUC and the confusion matrix for the human."""

from __future__ import annotations

from typing import Any

import numpy as np

from foldwise.settings import Task

EPSILON = 1e-15  # probabilities are clipped to [EPSILON, 1 - EPSILON], as Kaggle does
N_RESAMPLES = 1000
DRAWN = 50_000  # rows drawn at once


def log_loss(labels: np.ndarray, probabilities: np.ndarray, task: Task = "binary") -> float:
    """Return the mean of `row_losses`: labels and probabilities (n, k) -> one number, in nats."""
    return float(row_losses(labels, probabilities, task).mean())


def row_losses(labels: np.ndarray, probabilities: np.ndarray, task: Task = "binary") -> np.ndarray:
    """Return the loss of each row, float64 (n,); labels and probabilities are (n, k).

    multiclass: -sum_k y log p, the rows of p divided by their sum first.
    binary, multilabel: the mean over the k independent outputs of -(y log p + (1-y) log(1-p)); their mean over
    rows is -1/(nk) sum of y log p + (1-y) log(1-p), the score of Statoil and of the passenger screening.

    Probabilities are clipped to [EPSILON, 1 - EPSILON] in float64, whatever their type.

    Raises ValueError for shapes that differ and for probabilities that are NaN or outside [0, 1].
    """
    y = np.asarray(labels, np.float64)
    p = np.asarray(probabilities, np.float64)
    if y.shape != p.shape or y.ndim != 2:
        raise ValueError(f"expected labels and probabilities of one shape (n, k), received {y.shape} and {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1], and none may be NaN")
    if task == "multiclass":
        p = np.clip(p / p.sum(axis=1, keepdims=True), EPSILON, 1 - EPSILON)
        return np.asarray(-(y * np.log(p)).sum(axis=1))
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean(axis=1))


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """Apply the sigmoid, or for multiclass the softmax, in float64: (n, k) -> (n, k)."""
    values = np.asarray(logits, np.float64)
    if task != "multiclass":
        return np.asarray(np.exp(-np.logaddexp(0, -values)))
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def group_codes(n: int, groups: np.ndarray | None) -> np.ndarray:
    """Number the groups of n rows from 0, (n,); without groups each row is one of its own."""
    return np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]


def bootstrap_interval(losses: np.ndarray, groups: np.ndarray | None = None) -> list[float]:
    """Return the 95 % percentile interval of the mean of `losses` (n,) over resampled rows.

    With groups (n,), whole groups are resampled: rows of one scene or person are alike, and worth less than
    their number.
    """
    rng = np.random.default_rng(0)
    codes = group_codes(len(losses), groups)
    sums, counts = np.bincount(codes, losses), np.bincount(codes)
    means = np.empty(N_RESAMPLES)
    several = max(1, DRAWN // len(sums))
    for i in range(0, N_RESAMPLES, several):
        drawn = rng.integers(len(sums), size=(min(several, N_RESAMPLES - i), len(sums)))
        size = len(losses) if groups is None else counts[drawn].sum(axis=1)
        means[i : i + several] = sums[drawn].sum(axis=1) / size
    return [float(bound) for bound in np.percentile(means, [2.5, 97.5])]


def for_humans(labels: np.ndarray, probabilities: np.ndarray, task: Task) -> dict[str, Any]:
    """Return accuracy, f1, auc and confusion_matrix of labels and probabilities (n, k).

    A label is predicted where p > .5, or the likeliest class. f1 and auc are those of the positive class, or
    the mean over classes (macro; auc one against the rest). The confusion matrix has a row for each true
    class; for several independent labels it is a list of 2 x 2 matrices, and accuracy counts single labels.
    auc is None where a class is absent.
    """
    from sklearn import metrics as sk

    y = np.asarray(labels).astype(int)
    if task == "multiclass":
        truth, predicted = y.argmax(axis=1), probabilities.argmax(axis=1)
        classes = np.arange(y.shape[1])
        matrix = sk.confusion_matrix(truth, predicted, labels=classes)
        f1 = sk.f1_score(truth, predicted, labels=classes, average="macro", zero_division=0)
    else:
        truth, predicted = y, (probabilities > 0.5).astype(int)
        matrices = [sk.confusion_matrix(truth[:, k], predicted[:, k], labels=[0, 1]) for k in range(y.shape[1])]
        matrix = np.array(matrices[0] if y.shape[1] == 1 else matrices)
        average = "binary" if y.shape[1] == 1 else "macro"
        f1 = sk.f1_score(truth, predicted, average=average, zero_division=0)
    whole = (y.sum(axis=0) > 0).all() and (y.sum(axis=0) < len(y)).all()
    return {
        "accuracy": float((truth == predicted).mean()),
        "f1": float(f1),
        "auc": float(sk.roc_auc_score(y, probabilities, average="macro")) if whole else None,
        "confusion_matrix": matrix.tolist(),
    }
