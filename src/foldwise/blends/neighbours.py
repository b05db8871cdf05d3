"""A second level over a column whose repeated values tell the label: the incidence angle, the person, the zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from foldwise.blends.averages import mean
from foldwise.blends.blended import Blended
from foldwise.blends.stacking import Columns, Count, fit_one, trees
from foldwise.errors import FoldwiseError
from foldwise.scoring.compare_runs import standard_error
from foldwise.scoring.metrics import row_losses
from foldwise.scoring.out_of_fold import out_of_fold_predictions
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import logit, normalise
from foldwise.settings import ONE_CLASS, EnsembleSettings

EXACT = 1e-9  # a radius within which only equal values lie: hashes of text are thousands apart
# Standard errors by which the second level must win. With fewer, the folds differ in the choice, and the column is
# used in those folds where that is worst for the held-out rows.
CERTAIN = 4


def neighbours(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    column: str | Columns | None = None,  # of the table, or several; null: the first auxiliary column, or the group
    nearest: Count = 23,  # rows nearest in the column, weighted by their distance
    radius: Annotated[float, Field(gt=0)] | None = None,  # in units of the column; null: a 200th of its range
    rounds: Count = 70,
    depth: Count = 3,
    learning_rate: Annotated[float, Field(gt=0)] = 0.1,
    leaf: Count = 40,  # rows in a leaf, at least
    strength: Annotated[float, Field(gt=0)] = 1.0,  # of the logistic regression's penalty, in rows
    checked: bool = True,  # use the column only where that wins inside the folds
) -> Blended:
    """Predict a row from its logit mean and from the labels and predictions of the rows near it in a column.

    Boosted trees and a logistic regression are fitted to the `FEATURES` of the training rows, and the logits of
    their predictions are averaged. The features of the training rows of a fold hide the labels of that fold, as
    those of the other rows hide theirs. Of several outputs each is learned against the rest.

    checked: each fold of the training rows is also predicted from the others; if that does not beat the logit mean
    of the members by more than four standard errors of the paired difference, over groups or else over rows of equal
    value, the logit mean is returned.

    Raises FoldwiseError for a column that the data does not have.
    """
    name = column or problem.column
    if name is None or not set([name] if isinstance(name, str) else name) <= set(train.table):
        raise FoldwiseError(
            f"ensemble.options.column={name}: the data has no such column; it has {', '.join(train.table.columns)}"
        )
    if radius is None and not _is_ordered(train, name):
        radius = EXACT
    models = (partial(trees, rounds, depth, learning_rate, leaf), partial(_logistic, strength))
    predict = partial(second_level, problem, column=name, nearest=nearest, radius=radius, models=models)
    about = {}
    if checked:
        about = _compare_with_mean(problem, train, name, predict)
        if not about["wins"]:
            return replace(mean(replace(problem, average="logit"), train, other), weights=None, about=about)
    return Blended(predict(train, other), about=about)


def _compare_with_mean(
    problem: Problem, train: Rows, column: str | list[str], predict: Callable[[Rows, Rows], np.ndarray]
) -> dict[str, Any]:
    """Return the losses of the second level and of the logit mean on folds of the training rows, and which wins."""
    logit_mean = mean(replace(problem, average="logit"), train, train).probabilities
    losses = [row_losses(train.y, p, problem.task) for p in (out_of_fold_predictions(train, predict), logit_mean)]
    groups = train.groups if train.groups is not None else codes_of(column_values(train, column))
    error = standard_error(losses[1] - losses[0], groups)
    second, first = (float(loss.mean()) for loss in losses)
    wins = first - second > CERTAIN * error
    return {"second_level": second, "logit_mean": first, "standard_error": error, "wins": wins}


def second_level(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    column: str | list[str],
    nearest: int,
    radius: float | None,
    models: Sequence[Callable[[], Any]],
) -> np.ndarray:
    """Fit each model to the features of the training rows; average their logits for other rows: (n, k)."""
    from scipy import special

    assert train.fold is not None
    counted = [train, other.scored_rows(), *([] if problem.test is None else [problem.test.scored_rows()])]
    parts = [*counted, other.only(~other.is_scored)]
    n_counted = sum(len(rows) for rows in counted)
    at_other = np.empty(len(other), int)  # positions in the pool
    at_other[other.is_scored] = len(train) + np.arange(len(counted[1]))
    at_other[~other.is_scored] = n_counted + np.arange(len(parts[-1]))
    values = np.concatenate([column_values(rows, column) for rows in parts])
    logit_mean = replace(problem, average="logit")
    logits = logit(np.concatenate([mean(logit_mean, train, rows).probabilities for rows in parts]))  # (N, k)
    is_counted = np.arange(len(values)) < n_counted
    probabilities = np.empty((len(other), train.k))
    for c in range(train.k):
        y = train.y[:, c]
        labels = np.concatenate([y, np.full(len(values) - len(train), np.nan)])
        pool = Pool(values, logits[:, c], labels, is_counted, nearest, radius)
        train_x = np.empty((len(train), len(FEATURES)))
        for fold in np.unique(train.fold):
            rows = np.flatnonzero(train.fold == fold)
            train_x[rows] = pool.features(rows)
        other_x = pool.features(at_other)
        predicted = [logit(fit_one(model, train_x, y, other_x)) for model in models]
        probabilities[:, c] = special.expit(sum(predicted) / len(predicted))
    return normalise(probabilities) if problem.task in ONE_CLASS else probabilities


FEATURES = (
    "logit",  # of the first level
    "log_same",  # log(1 + number of other counted rows of the same value); their
    "same_logit",  # mean logit
    "same_belief",  # mean belief
    "same_median",  # median belief, with the row itself
    "n_known",  # number of known labels
    "known_log_odds",  # smoothed log odds of those
    "near_belief",  # distance-weighted belief of the nearest rows
    "radius_belief",  # mean belief of the rows within the radius
    "log_radius",  # log(1 + their number)
)


@dataclass(frozen=True)
class Pool:
    """Rows with their values of a column, over which the features of a row are computed, for one output.

    A row's belief is its label where that is known, else its prediction.
    """

    values: np.ndarray  # (N,) the column as numbers; NaN where missing, which is a value of its own
    logits: np.ndarray  # (N,) of the first level
    labels: np.ndarray  # (N,) NaN where a row has none
    counted: np.ndarray  # (N,) bool, the rows that statistics are computed over
    nearest: int  # how many rows near in the column are weighted
    radius: float | None  # in units of the column; None: a 200th of its range

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return FEATURES of the rows at some positions, (len(rows), 10); the labels of all these rows are hidden.

        So the rows of a fold, taken together, never see a label of their fold.
        """
        from scipy import special

        p = special.expit(self.logits)
        hidden = np.zeros(len(self.values), bool)
        hidden[rows] = True
        labels = np.where(hidden, np.nan, self.labels)
        belief = np.where(np.isnan(labels), p, labels)
        no_value = np.isnan(self.values[rows])
        columns = {
            "logit": self.logits[rows],
            **self._same_value(rows, p, labels, belief),
            **self._near(rows, belief),
        }
        for name in ("near_belief", "radius_belief"):
            columns[name] = np.where(np.isnan(columns[name]) | no_value, p[rows], columns[name])
        columns["log_radius"][no_value] = 0.0
        return np.stack([columns[name] for name in FEATURES], axis=1)

    def _same_value(
        self, rows: np.ndarray, p: np.ndarray, labels: np.ndarray, belief: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the features over the counted rows of the same value, the row itself left out but for the median."""
        import pandas as pd

        codes, counted = codes_of(self.values), self.counted
        n_codes, at = codes.max() + 1, codes[rows]

        def total(amounts: np.ndarray) -> np.ndarray:
            sums = np.bincount(codes[counted], amounts[counted], n_codes)[at]
            return np.asarray(sums - np.where(counted[rows], amounts[rows], 0))

        size = total(np.ones(len(codes)))
        alone = size < 0.5
        divisor = np.where(alone, 1, size)
        known = ~np.isnan(labels)
        n_known, n_positive = total(known.astype(float)), total(np.where(known, labels, 0.0))
        rate = float(labels[known].mean()) if known.any() else 0.5
        medians = pd.Series(belief[counted]).groupby(codes[counted]).median()
        median = medians.reindex(np.arange(n_codes)).to_numpy()[at]
        return {
            "log_same": np.log1p(size),
            "same_logit": np.where(alone, self.logits[rows], total(self.logits) / divisor),
            "same_belief": np.where(alone, p[rows], total(belief) / divisor),
            "same_median": np.where(np.isnan(median), p[rows], median),
            "n_known": n_known,
            "known_log_odds": np.log((n_positive + rate) / (n_known - n_positive + 1 - rate)),
        }

    def _near(self, rows: np.ndarray, belief: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features over the counted rows near in the column, NaN where there is no such row.

        In the order of their values, the nearest of a row are among as many before and after its place.
        """
        line = np.flatnonzero(self.counted & ~np.isnan(self.values))
        line = line[np.argsort(self.values[line], kind="stable")]
        line_values, line_belief, own = self.values[line], belief[line], self.values[rows]
        span = line_values[-1] - line_values[0] if len(line) else 0.0
        radius = self.radius or max(span / 200, 1e-12)
        window = np.searchsorted(line_values, own)[:, None] + np.arange(-self.nearest - 1, self.nearest + 1)
        inside = (window >= 0) & (window < len(line))  # (r, 2 nearest + 2)
        window = np.clip(window, 0, max(len(line) - 1, 0))
        inside &= line[window] != rows[:, None]
        distance = np.where(inside, abs(line_values[window] - own[:, None]), np.inf)
        order = np.argsort(distance, axis=1, kind="stable")[:, : self.nearest]
        distance = np.take_along_axis(distance, order, axis=1)
        weights = np.where(np.isfinite(distance), 1 / (distance + radius / 10), 0)
        near = np.take_along_axis(line_belief[window], order, axis=1)
        first = np.searchsorted(line_values, own - radius, "left")
        last = np.searchsorted(line_values, own + radius, "right")
        sums = np.concatenate([[0.0], np.cumsum(line_belief)])
        itself = np.isin(rows, line)
        count = last - first - itself
        with np.errstate(invalid="ignore", divide="ignore"):
            near_belief = (weights * near).sum(axis=1) / weights.sum(axis=1)
            radius_belief = (sums[last] - sums[first] - np.where(itself, belief[rows], 0)) / count
        return {
            "near_belief": near_belief,
            "radius_belief": np.where(count > 0, radius_belief, np.nan),
            "log_radius": np.log1p(np.maximum(count, 0)),
        }


def has_column(problem: Problem, rows: Rows) -> bool:
    """Whether the data has a column whose repeated values may tell the label."""
    return problem.column is not None and problem.column in rows.table


def variants_without_leak(
    problem: Problem, rows: Rows, settings: EnsembleSettings
) -> dict[str, tuple[Rows, EnsembleSettings]]:
    """Return what separates skill from leak: the logit mean without the column, and all rows of a value in one fold."""
    column = settings.options["column"] or problem.column
    assert column is not None  # or `neighbours` would have refused
    name = column if isinstance(column, str) else " and ".join(column)
    return {
        "without the column (logit mean)": (rows, replace(settings, name="mean", options={})),
        f"on group folds ({name})": (replace(rows, fold=group_folds(rows, column)), settings),
    }


def _is_ordered(rows: Rows, name: str | list[str]) -> bool:
    """Whether the values of a column are near or far from each other, and not just equal or different."""
    import pandas as pd

    return isinstance(name, str) and pd.api.types.is_numeric_dtype(rows.table[name])


def column_values(rows: Rows, name: str | list[str]) -> np.ndarray:
    """Return a column as numbers (n,): text is hashed, so that equal text is an equal number wherever it is.

    Of several columns the rows are equal where all columns are, such as those of a person's zone; a value that is
    missing in one is missing.
    """
    import pandas as pd

    if not isinstance(name, str):
        table = rows.table[name]
        joined = pd.util.hash_pandas_object(table.astype(str), index=False).to_numpy().astype(np.float64)
        return np.where(table.isna().any(axis=1).to_numpy(), np.nan, joined)
    column = rows.table[name]
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64)
    hashed = pd.util.hash_array(column.astype(str).to_numpy(object)).astype(np.float64)
    return np.where(column.isna().to_numpy(), np.nan, hashed)


def codes_of(values: np.ndarray) -> np.ndarray:
    """Number the values (n,); each missing one is of its own."""
    missing = np.isnan(values)
    codes = np.unique(np.where(missing, 0, values), return_inverse=True)[1]
    return np.where(missing, codes.max() + 1 + np.arange(len(values)), codes)


def group_folds(rows: Rows, name: str | list[str]) -> np.ndarray:
    """Return folds (n,), as many as there are, in which rows of equal value in a column, or columns, stay together."""
    from sklearn.model_selection import GroupKFold

    assert rows.fold is not None
    values = column_values(rows, name)
    codes, fold_of = codes_of(values), np.empty(len(values), int)
    splitter = GroupKFold(len(np.unique(rows.fold)), shuffle=True, random_state=0)
    for fold, (_, inside) in enumerate(splitter.split(values, groups=codes)):
        fold_of[inside] = fold
    return fold_of


def _logistic(strength: float) -> object:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, max_iter=2000))
