"""The metrics: their formulas in one table, and the bootstrap that tells how sure a mean is.

`y` are labels (n, k): 0 and 1, one-hot for the classes of a multiclass task. `answers` (n, k) are what is scored:
probabilities, or decisions of 0 and 1 where the metric counts decisions.

To add a metric, write its formula, give it an entry in `METRICS`, and name it in `settings.Metric`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from foldwise.errors import FoldwiseError
from foldwise.scoring.scale import EPSILON, normalise, sigmoid, softmax
from foldwise.settings import Metric as MetricName
from foldwise.settings import Task

N_RESAMPLES = 1000
ROWS_AT_ONCE = 50_000  # rows that are resampled at once

Statistic = Callable[[np.ndarray], float]  # weights of the rows (n,) -> the metric


@dataclass(frozen=True)
class Metric:
    """A metric: its direction, its value, and what its uncertainty is computed from.

    label: its name in tables.
    lower_is_better: whether a lower value is the better one.
    counts_decisions: whether its answers are decisions of 0 and 1, at thresholds that are tuned for it; such a metric
        must have `of_confusion`.
    value: (y, answers, task) -> the number that is reported.

    One of these three makes intervals and paired differences:

    per_row: (y, answers, task) -> (n,), where the value is the mean over rows.
    of_weights: (y, answers, task) -> a function of weights of the rows (n,), which with all weights 1 is the value,
        and NaN where the metric is not defined. An interval calls it a thousand times.
    of_confusion: (matrices (..., c, c) with a row for each true class, task) -> (...), NaN where it is not defined;
        of several independent outputs the mean is taken. The thresholds are tuned by it, too.

    ordered_classes: whether the classes are ordered, so that decisions are cuts of the expected class.

    Raises ValueError for an entry that lacks what its kind needs.
    """

    label: str
    _: KW_ONLY
    lower_is_better: bool
    counts_decisions: bool
    value: Callable[[np.ndarray, np.ndarray, Task], float]
    per_row: Callable[[np.ndarray, np.ndarray, Task], np.ndarray] | None = None
    of_weights: Callable[[np.ndarray, np.ndarray, Task], Statistic] | None = None
    of_confusion: Callable[[np.ndarray, Task], np.ndarray] | None = None
    ordered_classes: bool = False

    def __post_init__(self) -> None:
        if self.counts_decisions != (self.of_confusion is not None):
            raise ValueError(f"the metric {self.label}: expected of_confusion if, and only if, it counts decisions")
        if self.per_row is None and self.of_weights is None and self.of_confusion is None:
            raise ValueError(f"the metric {self.label} has none of per_row, of_weights and of_confusion")

    def statistic(self, y: np.ndarray, answers: np.ndarray, task: Task) -> Statistic:
        """Return the metric as a function of weights of the rows (n,), NaN where it is not defined."""
        if self.of_weights is not None:
            return self.of_weights(y, answers, task)
        if self.per_row is not None:
            rows = self.per_row(y, answers, task)
            return lambda w: float(w @ rows / w.sum())
        of_confusion = self.of_confusion
        assert of_confusion is not None  # as __post_init__ makes sure
        cells = [(truth * n + answer, n) for truth, answer, n in classes(y, answers, task)]

        def statistic(w: np.ndarray) -> float:
            matrices = (np.bincount(at, w, n * n).reshape(n, n) for at, n in cells)
            return float(np.mean([of_confusion(matrix, task) for matrix in matrices]))

        return statistic


def log_loss(labels: np.ndarray, probabilities: np.ndarray, task: Task = "binary") -> float:
    """Return the mean of `row_losses`: labels and probabilities (n, k) -> one number, in nats.

    >>> log_loss(np.array([[1], [0]]), np.array([[0.5], [0.5]])) == np.log(2)
    np.True_
    """
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
        p = np.clip(normalise(p), EPSILON, 1 - EPSILON)
        return np.asarray(-(y * np.log(p)).sum(axis=1))
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean(axis=1))


def auc(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the area under the ROC curve of the positive class, or the mean over outputs or classes (one against
    the rest), by scikit-learn.

    Raises FoldwiseError where an output or class has one label only.
    """
    from sklearn import metrics as sk

    _require_both_labels("auc", y)
    return float(sk.roc_auc_score(y.astype(int), answers, average="macro"))


def row_accuracies(y: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Return the share of right decisions in each row, (n,): 0 or 1 where a row has one output or one class."""
    return np.asarray((y * answers).sum(axis=1) if task == "multiclass" else (y == answers).mean(axis=1))


def f1(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return F1 of the positive class, or the mean over outputs or classes, by scikit-learn; 0 where it is 0 / 0."""
    from sklearn import metrics as sk

    average = "binary" if y.shape[1] == 1 else "macro"
    return float(sk.f1_score(y.astype(int), answers.astype(int), average=average, zero_division=0))


def f1_of_confusion(matrices: np.ndarray, task: Task) -> np.ndarray:
    """Return F1 of confusion matrices (..., c, c): 2 hits / (true + decided), of class 1 or the mean over classes.

    >>> f1_of_confusion(np.array([[1, 1], [1, 2]]), "binary").round(6)
    np.float64(0.666667)
    """
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    sizes = matrices.sum(axis=-1) + matrices.sum(axis=-2)
    scores = 2 * hits / np.maximum(sizes, 1e-300)
    return np.asarray(scores.mean(axis=-1) if task == "multiclass" else scores[..., 1])


def kappa(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the quadratic weighted kappa of classes in their order, or the mean over outputs, by scikit-learn.

    Raises FoldwiseError where an output or class has one label only.
    """
    from sklearn import metrics as sk

    _require_both_labels("kappa", y)
    return float(
        np.mean(
            [
                sk.cohen_kappa_score(truth, answer, weights="quadratic", labels=np.arange(n))
                for truth, answer, n in classes(y, answers, task)
            ]
        )
    )


def kappa_of_confusion(matrices: np.ndarray, task: Task) -> np.ndarray:
    """Return the quadratic weighted kappa of confusion matrices (..., c, c); NaN where there is one class only."""
    c = matrices.shape[-1]
    distances = (np.arange(c)[:, None] - np.arange(c)) ** 2
    rows, columns = matrices.sum(axis=-1), matrices.sum(axis=-2)
    chance = np.einsum("...i,ij,...j->...", rows, distances, columns) / rows.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - (matrices * distances).sum(axis=(-2, -1)) / chance)


def rmsle(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the root of the mean over rows and outputs of (ln(1 + answer) - ln(1 + y))**2, by scikit-learn."""
    from sklearn import metrics as sk

    return float(sk.root_mean_squared_log_error(y.ravel(), _comparable(answers, task).ravel()))


def rmse(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the root of the mean over rows and outputs of (answer - y)**2, by scikit-learn."""
    from sklearn import metrics as sk

    return float(sk.root_mean_squared_error(y.ravel(), _comparable(answers, task).ravel()))


def row_absolute_errors(y: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Return the mean over the outputs of |answer - y| of each row, (n,)."""
    return np.asarray(np.abs(_comparable(answers, task) - y).mean(axis=1))


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """Apply the sigmoid, or for multiclass the softmax, in float64: (n, k) -> (n, k)."""
    values = np.asarray(logits, np.float64)
    return softmax(values) if task == "multiclass" else sigmoid(values)


def group_codes(n: int, groups: np.ndarray | None) -> np.ndarray:
    """Number the groups of n rows from 0, (n,); without groups each row is one of its own.

    >>> group_codes(3, np.array(["b", "a", "b"])).tolist()
    [1, 0, 1]
    """
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
    several = max(1, ROWS_AT_ONCE // len(sums))
    for i in range(0, N_RESAMPLES, several):
        sample = rng.integers(len(sums), size=(min(several, N_RESAMPLES - i), len(sums)))
        size = len(losses) if groups is None else counts[sample].sum(axis=1)
        means[i : i + several] = sums[sample].sum(axis=1) / size
    return [float(bound) for bound in np.percentile(means, [2.5, 97.5])]


def _mean_over_rows(per_row: Callable[[np.ndarray, np.ndarray, Task], np.ndarray]) -> Callable[..., float]:
    return lambda y, answers, task: float(per_row(y, answers, task).mean())


def _auc_of_weights(y: np.ndarray, answers: np.ndarray, task: Task) -> Statistic:
    """The share of pairs of a 1 and a 0 in which the 1 has the higher answer, ties counted half; the mean over
    outputs.
    """

    def curve(labels: np.ndarray, p: np.ndarray) -> Statistic:
        levels, at = np.unique(p, return_inverse=True)

        def area(w: np.ndarray) -> float:
            ones = np.bincount(at, w * labels, len(levels))
            zeros = np.bincount(at, w * (1 - labels), len(levels))
            with np.errstate(invalid="ignore"):
                return float(ones @ (np.cumsum(zeros) - zeros / 2) / (ones.sum() * zeros.sum()))

        return area

    curves = [curve(y[:, c], answers[:, c]) for c in range(y.shape[1])]
    return lambda w: float(np.mean([area(w) for area in curves]))


def _root_of_mean(squares: np.ndarray) -> Statistic:
    return lambda w: float(np.sqrt(w @ squares / w.sum()))


def _rmsle_of_weights(y: np.ndarray, answers: np.ndarray, task: Task) -> Statistic:
    return _root_of_mean(((np.log1p(_comparable(answers, task)) - np.log1p(y)) ** 2).mean(axis=1))


def _rmse_of_weights(y: np.ndarray, answers: np.ndarray, task: Task) -> Statistic:
    return _root_of_mean(((_comparable(answers, task) - y) ** 2).mean(axis=1))


def _accuracy_of_confusion(matrices: np.ndarray, task: Task) -> np.ndarray:
    return np.asarray(np.diagonal(matrices, axis1=-2, axis2=-1).sum(axis=-1) / matrices.sum(axis=(-2, -1)))


def _comparable(answers: np.ndarray, task: Task) -> np.ndarray:
    """Return answers that can be compared with labels: those of classes sum to 1."""
    return normalise(answers) if task == "multiclass" else answers


def classes(y: np.ndarray, answers: np.ndarray, task: Task) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Return the true and the decided classes (n,) and how many there are, for each output or once for classes."""
    if task == "multiclass":
        return [(y.argmax(axis=1), answers.argmax(axis=1), y.shape[1])]
    return [(y[:, c].astype(int), answers[:, c].astype(int), 2) for c in range(y.shape[1])]


def _require_both_labels(name: str, y: np.ndarray) -> None:
    if (y.min(axis=0) == y.max(axis=0)).any():
        raise FoldwiseError(
            f"competition.metric={name}: not defined where an output or class has one label only; use "
            "competition.metric=log_loss, or a split with every class in every part"
        )


METRICS: dict[MetricName, Metric] = {
    "log_loss": Metric("log loss", lower_is_better=True, counts_decisions=False, value=log_loss, per_row=row_losses),
    "auc": Metric("AUC", lower_is_better=False, counts_decisions=False, value=auc, of_weights=_auc_of_weights),
    "accuracy": Metric(
        "accuracy",
        lower_is_better=False,
        counts_decisions=True,
        value=_mean_over_rows(row_accuracies),
        per_row=row_accuracies,
        of_confusion=_accuracy_of_confusion,
    ),
    "f1": Metric("F1", lower_is_better=False, counts_decisions=True, value=f1, of_confusion=f1_of_confusion),
    "kappa": Metric(
        "kappa",
        lower_is_better=False,
        counts_decisions=True,
        value=kappa,
        of_confusion=kappa_of_confusion,
        ordered_classes=True,
    ),
    "rmsle": Metric("RMSLE", lower_is_better=True, counts_decisions=False, value=rmsle, of_weights=_rmsle_of_weights),
    "mae": Metric(
        "MAE",
        lower_is_better=True,
        counts_decisions=False,
        value=_mean_over_rows(row_absolute_errors),
        per_row=row_absolute_errors,
    ),
    "rmse": Metric("RMSE", lower_is_better=True, counts_decisions=False, value=rmse, of_weights=_rmse_of_weights),
}
