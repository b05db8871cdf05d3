"""The metrics: their formulas in one table, and the bootstrap that tells how sure a mean is.

`y` are labels (n, k): 0 and 1, one-hot for the classes of a multiclass task. `answers` (n, k) are what is scored:
probabilities, or decisions of 0 and 1 where the metric counts decisions. In a regression both are numbers.

To add a metric, write its formula, give it an entry in `METRICS`, and name it in `settings.Metric`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.scoring.scale import EPSILON, normalise, sigmoid, softmax
from foldwise.settings import ONE_CLASS, Task
from foldwise.settings import Metric as MetricName

N_RESAMPLES = 1000
ROWS_AT_ONCE = 50_000  # rows that are resampled at once

CLASS_TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "ordinal")
NUMBER_TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "regression")  # answers are compared as numbers

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
    tasks: those that it can be the objective of.

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
    tasks: tuple[Task, ...] = CLASS_TASKS

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
    if task in ONE_CLASS:
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
    return np.asarray((y * answers).sum(axis=1) if task in ONE_CLASS else (y == answers).mean(axis=1))


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
    return np.asarray(scores.mean(axis=-1) if task in ONE_CLASS else scores[..., 1])


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
    """Return the root of the mean over rows and outputs of (ln(1 + answer) - ln(1 + y))**2, by scikit-learn.

    Predictions of a regression that are below 0 count as 0.
    """
    from sklearn import metrics as sk

    return float(sk.root_mean_squared_log_error(y.ravel(), _from_zero(answers, task).ravel()))


def rmse(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the root of the mean over rows and outputs of (answer - y)**2, by scikit-learn."""
    from sklearn import metrics as sk

    return float(sk.root_mean_squared_error(y.ravel(), _comparable(answers, task).ravel()))


def r2(y: np.ndarray, answers: np.ndarray, task: Task) -> float:
    """Return the mean over targets of 1 - SS_res / SS_tot, the coefficient of determination, by scikit-learn.

    Raises FoldwiseError where a target has one value only.
    """
    from sklearn import metrics as sk

    if (y.min(axis=0) == y.max(axis=0)).any():
        raise FoldwiseError(
            "competition.metric=r2: not defined where a target has one value only; use competition.metric=rmse"
        )
    return float(sk.r2_score(y, _comparable(answers, task), multioutput="uniform_average"))


def row_absolute_errors(y: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Return the mean over the outputs of |answer - y| of each row, (n,)."""
    return np.asarray(np.abs(_comparable(answers, task) - y).mean(axis=1))


def row_squared_errors(y: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Return the mean over the outputs of (answer - y)**2 of each row, (n,)."""
    return np.asarray(((_comparable(answers, task) - y) ** 2).mean(axis=1))


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """Apply the sigmoid, or for classes the softmax, in float64: (n, k) -> (n, k).

    The outputs of a regression are its values already.
    """
    values = np.asarray(logits, np.float64)
    if task == "regression":
        return values
    return softmax(values) if task in ONE_CLASS else sigmoid(values)


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
    return _root_of_mean(((np.log1p(_from_zero(answers, task)) - np.log1p(y)) ** 2).mean(axis=1))


def _rmse_of_weights(y: np.ndarray, answers: np.ndarray, task: Task) -> Statistic:
    return _root_of_mean(row_squared_errors(y, answers, task))


def _r2_of_weights(y: np.ndarray, answers: np.ndarray, task: Task) -> Statistic:
    squares = (_comparable(answers, task) - y) ** 2

    def statistic(w: np.ndarray) -> float:
        total = w @ (y - w @ y / w.sum()) ** 2  # (k,)
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.mean(np.where(total > 0, 1 - w @ squares / total, np.nan)))

    return statistic


def _accuracy_of_confusion(matrices: np.ndarray, task: Task) -> np.ndarray:
    return np.asarray(np.diagonal(matrices, axis1=-2, axis2=-1).sum(axis=-1) / matrices.sum(axis=(-2, -1)))


def _comparable(answers: np.ndarray, task: Task) -> np.ndarray:
    """Return answers that can be compared with labels: those of classes sum to 1."""
    return normalise(answers) if task in ONE_CLASS else answers


def _from_zero(answers: np.ndarray, task: Task) -> np.ndarray:
    """Return answers whose logarithm is defined."""
    return np.maximum(answers, 0) if task == "regression" else _comparable(answers, task)


def classes(y: np.ndarray, answers: np.ndarray, task: Task) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Return the true and the decided classes (n,) and how many there are, for each output or once for classes."""
    if task in ONE_CLASS:
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
    "rmsle": Metric(
        "RMSLE",
        lower_is_better=True,
        counts_decisions=False,
        value=rmsle,
        of_weights=_rmsle_of_weights,
        tasks=NUMBER_TASKS,
    ),
    "mae": Metric(
        "MAE",
        lower_is_better=True,
        counts_decisions=False,
        value=_mean_over_rows(row_absolute_errors),
        per_row=row_absolute_errors,
        tasks=NUMBER_TASKS,
    ),
    "rmse": Metric(
        "RMSE",
        lower_is_better=True,
        counts_decisions=False,
        value=rmse,
        of_weights=_rmse_of_weights,
        tasks=NUMBER_TASKS,
    ),
    "r2": Metric(
        "R2",
        lower_is_better=False,
        counts_decisions=False,
        value=r2,
        of_weights=_r2_of_weights,
        tasks=("regression",),
    ),
}


def as_text(value: float, sign: str = "", decimals: int = 4) -> str:
    """Return a score for a table: with so many decimals below 100, and of larger errors with as many digits in all.

    >>> as_text(0.25), as_text(0.25, "+", 3), as_text(1443.99549), as_text(-2e7)
    ('0.2500', '+0.250', '1444.00', '-20000000')
    """
    size = len(str(int(abs(value)))) if np.isfinite(value) else 1
    return f"{value:{sign}.{max(0, decimals - max(0, size - 2))}f}"


def usual_metric(task: Task) -> MetricName:
    """Return the metric that every report of a task has, whatever the objective is.

    >>> usual_metric("ordinal"), usual_metric("regression")
    ('log_loss', 'rmse')
    """
    return "rmse" if task == "regression" else "log_loss"


def usual_losses(y: np.ndarray, answers: np.ndarray, task: Task) -> np.ndarray:
    """Return the loss of each row (n,): the log loss, or the squared error of a regression."""
    return row_squared_errors(y, answers, task) if task == "regression" else row_losses(y, answers, task)


def usual_value(mean_loss: float, task: Task) -> float:
    """Return the value of the usual metric of rows with that mean of `usual_losses`."""
    return float(np.sqrt(mean_loss)) if task == "regression" else float(mean_loss)


def check_metric(name: MetricName, task: Task, key: str = "competition.metric") -> None:
    """Raise ConfigError, naming the valid choices, where a metric does not fit the task.

    >>> check_metric("log_loss", "regression")
    Traceback (most recent call last):
        ...
    foldwise.errors.ConfigError: competition.metric=log_loss: the task is regression, which log loss does not score; \
set competition.metric=rmse, or another: rmsle, mae, rmse, r2
    """
    if task in METRICS[name].tasks:
        return
    fitting = [other for other, metric in METRICS.items() if task in metric.tasks]
    raise ConfigError(
        f"{key}={name}: the task is {task}, which {METRICS[name].label} does not score; set {key}="
        f"{usual_metric(task)}, or another: {', '.join(fitting)}"
    )
