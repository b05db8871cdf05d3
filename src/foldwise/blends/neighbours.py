"""A second level over a column whose repeated values tell the label: the incidence angle, the person, the zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from foldwise.blends.averages import mean
from foldwise.blends.blended import Blended
from foldwise.blends.stacking import Columns, Count, fit_one, trees
from foldwise.errors import FoldwiseError
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import logit
from foldwise.settings import EnsembleSettings


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

    Boosted trees and a logistic regression are fitted to the `features` of the training rows and the logits of
    their answers are averaged. The features of the training rows of a fold hide the labels of that fold, as those
    of the other rows hide theirs. Of several outputs each is learned against the rest.

    checked: each fold of the training rows is also answered from the others; if that does not beat the logit mean
    of the members by more than four standard errors of the paired difference, over groups or else over rows of equal
    value, the logit mean is the answer.
    """
    name = column or problem.column
    if name is None or not set([name] if isinstance(name, str) else name) <= set(train.table):
        raise FoldwiseError(
            f"ensemble.options.column={name}: the data has no such column; it has {', '.join(train.table.columns)}"
        )
    if radius is None and not _ordered(train, name):
        radius = EXACT

    def answer(known: Rows, asked: Rows) -> np.ndarray:
        boosted, line = partial(trees, rounds, depth, learning_rate, leaf), partial(_line, strength)
        return second_level(problem, known, asked, name, nearest, radius, boosted, line)

    about = {}
    if checked:
        about = _inside(problem, train, name, answer)
        if not about["wins"]:
            return replace(mean(replace(problem, average="logit"), train, other), weights=None, about=about)
    return Blended(answer(train, other), about=about)


def _inside(
    problem: Problem, train: Rows, name: str | list[str], answer: Callable[[Rows, Rows], np.ndarray]
) -> dict[str, Any]:
    """Return the losses of the second level and of the logit mean on folds of the training rows, and which wins."""
    from foldwise.scoring.compare_runs import standard_error
    from foldwise.scoring.metrics import row_losses
    from foldwise.scoring.out_of_fold import out_of_fold_predictions

    plain = mean(replace(problem, average="logit"), train, train).probabilities
    losses = [row_losses(train.y, p, problem.task) for p in (out_of_fold_predictions(train, answer), plain)]
    groups = train.groups if train.groups is not None else codes_of(column_values(train, name))
    error = standard_error(losses[1] - losses[0], groups)
    second, first = (float(loss.mean()) for loss in losses)
    wins = first - second > CERTAIN * error
    return {"second_level": second, "logit_mean": first, "standard_error": error, "wins": wins}


def second_level(
    problem: Problem,
    train: Rows,
    other: Rows,
    name: str | list[str],
    nearest: int,
    radius: float | None,
    boosted: Callable[[], Any],
    line: Callable[[], Any],
) -> np.ndarray:
    """Fit both models to the features over a column of the training rows, and answer for other rows: (n, k)."""
    assert train.fold is not None
    asked = np.ones(len(other), bool)
    pool = [train, other.scored_rows()]  # whose values and predictions are counted
    unscored = other.only(~other.table["scored"].to_numpy(bool)) if "scored" in other.table else other.only(~asked)
    if problem.test is not None:
        pool.append(problem.test.scored_rows())
    sizes = np.cumsum([0, *(len(rows) for rows in pool)])
    values = np.concatenate([column_values(rows, name) for rows in [*pool, unscored]])
    blends = [mean(replace(problem, average="logit"), train, rows).probabilities for rows in [*pool, unscored]]
    logits = logit(np.concatenate(blends))  # (N, k)
    own = np.concatenate([np.flatnonzero(_scored(other)), np.flatnonzero(~_scored(other))])
    at_other = np.empty(len(other), int)
    at_other[own] = np.concatenate([np.arange(sizes[1], sizes[2]), np.arange(sizes[-1], len(values))])
    counted = np.arange(len(values)) < sizes[-1]
    probabilities = np.empty((len(other), train.k))
    for c in range(train.k):
        known = np.full(len(values), np.nan)
        known[: len(train)] = train.y[:, c]

        def made(hidden: np.ndarray, rows: np.ndarray, known: np.ndarray = known, c: int = c) -> np.ndarray:
            visible = known.copy()
            visible[hidden] = np.nan
            return features(values, logits[:, c], visible, rows, counted, nearest, radius)

        x = np.empty((len(train), N_FEATURES))
        for fold in np.unique(train.fold):
            rows = np.flatnonzero(train.fold == fold)
            x[rows] = made(rows, rows)
        asked_x = made(np.arange(0), at_other)
        y = train.y[:, c]
        by_trees, by_line = (fit_one(model, x, y, asked_x) for model in (boosted, line))
        probabilities[:, c] = 1 / (1 + np.exp(-(logit(by_trees) + logit(by_line)) / 2))
    if problem.task == "multiclass":
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


N_FEATURES = 10
EXACT = 1e-9  # a radius within which only equal values lie: hashes of text are thousands apart
CERTAIN = 4  # standard errors: by fewer, folds differ in the choice, and it is made where held-out rows like it least


def features(
    values: np.ndarray,
    logits: np.ndarray,
    known: np.ndarray,
    rows: np.ndarray,
    counted: np.ndarray,
    nearest: int,
    radius: float | None,
) -> np.ndarray:
    """Return the features (len(rows), 10) of some rows, whose own labels are never looked at.

    values: of the column, (N,), NaN where missing, which is a group of its own; logits (N,) of the first level;
    known: labels (N,), NaN where a row has none or it is hidden; counted: the rows that statistics are made of.
    A row's belief is its label where that is known, else its prediction.

    0 logit; 1 log of the rows of the same value; their 2 mean logit, 3 mean belief, 4 median belief (with the row
    itself), 5 number of known labels, 6 smoothed log odds of those; 7 distance-weighted belief of the nearest
    rows, 8 mean belief within the radius, 9 log of the rows within it.
    """
    import pandas as pd

    p = 1 / (1 + np.exp(-logits))
    mask = np.zeros(len(values), bool)
    mask[rows] = True
    hidden = np.where(mask, np.nan, known)  # a row's own label stays out, whoever calls
    belief = np.where(np.isnan(hidden), p, hidden)
    missing, codes = np.isnan(values), codes_of(values)
    n_codes = codes.max() + 1
    at, self_counted = codes[rows], counted[rows]

    def total(amounts: np.ndarray) -> np.ndarray:
        """Sum over the counted rows of the same value, without the row itself."""
        sums = np.bincount(codes[counted], amounts[counted], n_codes)[at]
        return np.asarray(sums - np.where(self_counted, amounts[rows], 0))

    ones = np.ones(len(values))
    size = total(ones)
    alone = size < 0.5
    safe = np.where(alone, 1, size)
    seen = np.where(np.isnan(hidden), 0.0, 1.0)
    n_known, n_positive = total(seen), total(np.where(seen > 0, np.nan_to_num(hidden), 0.0))
    rate = float(np.nanmean(hidden)) if seen.any() else 0.5
    medians = pd.Series(belief[counted]).groupby(codes[counted]).median().reindex(np.arange(n_codes)).to_numpy()[at]
    x = np.empty((len(rows), N_FEATURES))
    x[:, 0] = logits[rows]
    x[:, 1] = np.log1p(size)
    x[:, 2] = np.where(alone, logits[rows], total(logits) / safe)
    x[:, 3] = np.where(alone, p[rows], total(belief) / safe)
    x[:, 4] = np.where(np.isnan(medians), p[rows], medians)
    x[:, 5] = n_known
    x[:, 6] = np.log((n_positive + rate) / (n_known - n_positive + 1 - rate))
    line = np.flatnonzero(counted & ~missing)
    line = line[np.argsort(values[line], kind="stable")]
    span = values[line[-1]] - values[line[0]] if len(line) else 0.0
    x[:, 7:] = _around(values, belief, rows, line, nearest, radius or max(span / 200, 1e-12))
    lost = np.isnan(x[:, 7:9]) | missing[rows][:, None]
    x[:, 7:9] = np.where(lost, p[rows][:, None], x[:, 7:9])
    x[missing[rows], 9] = 0.0
    return x


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


def _ordered(rows: Rows, name: str | list[str]) -> bool:
    """Whether the values of a column are near or far from each other, and not just equal or different."""
    import pandas as pd

    return isinstance(name, str) and pd.api.types.is_numeric_dtype(rows.table[name])


def column_values(rows: Rows, name: str | list[str]) -> np.ndarray:
    """Return a column as numbers (n,): text is hashed, so that equal text is an equal number wherever it stands.

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


def _around(
    values: np.ndarray, belief: np.ndarray, rows: np.ndarray, line: np.ndarray, nearest: int, radius: float
) -> np.ndarray:
    """Return for some rows the weighted belief of the nearest, the mean within the radius, and the log of their number.

    line: the counted rows in the order of their values, (L,). In it the nearest of a row are among as many before
    and behind its place.
    """
    sorted_values, sorted_belief = values[line], belief[line]
    place = np.searchsorted(sorted_values, values[rows])
    window = place[:, None] + np.arange(-nearest - 1, nearest + 1)  # (r, 2 nearest + 2)
    inside = (window >= 0) & (window < len(line))
    window = np.clip(window, 0, max(len(line) - 1, 0))
    inside &= line[window] != rows[:, None]
    distance = np.where(inside, abs(sorted_values[window] - values[rows][:, None]), np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[:, :nearest]
    distance = np.take_along_axis(distance, order, axis=1)
    weights = np.where(np.isfinite(distance), 1 / (distance + radius / 10), 0)
    near = np.take_along_axis(sorted_belief[window], order, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        weighted = (weights * near).sum(axis=1) / weights.sum(axis=1)
        first = np.searchsorted(sorted_values, values[rows] - radius, "left")
        last = np.searchsorted(sorted_values, values[rows] + radius, "right")
        sums = np.concatenate([[0.0], np.cumsum(sorted_belief)])
        itself = np.isin(rows, line)
        count = last - first - itself
        mean_belief = (sums[last] - sums[first] - np.where(itself, belief[rows], 0)) / count
    return np.stack([weighted, np.where(count > 0, mean_belief, np.nan), np.log1p(np.maximum(count, 0))], axis=1)


def _line(strength: float) -> object:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, max_iter=2000))


def _scored(rows: Rows) -> np.ndarray:
    return rows.table["scored"].to_numpy(bool) if "scored" in rows.table else np.ones(len(rows), bool)
