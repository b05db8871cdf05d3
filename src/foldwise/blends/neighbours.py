"""A second level over a column whose repeated values tell the label: the incidence angle, the person, the zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from foldwise.blends.averages import mean
from foldwise.blends.blended import Blended
from foldwise.blends.column_pool import FEATURES, Near, Pool, codes_of, column_values
from foldwise.blends.numeric_columns import numeric_columns
from foldwise.blends.over_bases import neighbours_of_bases
from foldwise.blends.stacking import Columns, Count, fit_one, sklearn_trees
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
    base: Literal["mean", "auto"] = "mean",  # what it builds on; auto: several blends, chosen and fitted inside folds
    columns: Columns = [],  # noqa: B006  further numeric columns of the table that join the features
) -> Blended:
    """Predict a row from its logit mean and from the labels and predictions of the rows near it in a column.

    Boosted trees and a logistic regression are fitted to the `FEATURES` of the training rows, and the logits of
    their predictions are averaged. The features of the training rows of a fold hide the labels of that fold, as
    those of the other rows hide theirs. Of several outputs each is learned against the rest.

    base: auto: it builds on several blends of the members instead of their logit mean, as `neighbours_of_bases` says.
        Rounds, depth, learning_rate, leaf and strength are then chosen or fixed there, and not read.
    columns: such as auxiliary ones, or image_mean_0 and the like, see `foldwise.data.image_statistics`. With base=auto
        the trees alone have them.
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
    near = Near(name, nearest, radius)
    if base == "auto":
        return neighbours_of_bases(problem, train, other, near, checked=checked, certain=CERTAIN, columns=columns)
    models = (partial(sklearn_trees, rounds, depth, learning_rate, leaf), partial(_logistic, strength))
    predict = partial(second_level, problem, near=near, models=models, columns=columns)
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
    near: Near,
    models: Sequence[Callable[[], Any]],
    columns: Sequence[str] = (),
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
    values = np.concatenate([column_values(rows, near.column) for rows in parts])
    logit_mean = replace(problem, average="logit")
    logits = logit(np.concatenate([mean(logit_mean, train, rows).probabilities for rows in parts]))  # (N, k)
    is_counted = np.arange(len(values)) < n_counted
    train_extra, other_extra = numeric_columns(columns, (train, other))
    probabilities = np.empty((len(other), train.k))
    for c in range(train.k):
        y = train.y[:, c]
        labels = np.concatenate([y, np.full(len(values) - len(train), np.nan)])
        pool = Pool(values, logits[:, c], labels, is_counted, near)
        train_x = np.empty((len(train), len(FEATURES)))
        for fold in np.unique(train.fold):
            rows = np.flatnonzero(train.fold == fold)
            train_x[rows] = pool.features(rows)
        train_x, other_x = np.hstack([train_x, train_extra]), np.hstack([pool.features(at_other), other_extra])
        predicted = [logit(fit_one(model, train_x, y, other_x)) for model in models]
        probabilities[:, c] = special.expit(sum(predicted) / len(predicted))
    return normalise(probabilities) if problem.task in ONE_CLASS else probabilities


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
    blind = {"without the column (logit mean)": (rows, replace(settings, name="mean", options={}))}
    if settings.options.get("base") == "auto":
        blind["without the column (stack)"] = (rows, replace(settings, name="stack", options={}))
    return {
        **blind,
        f"on group folds ({name})": (replace(rows, fold=group_folds(rows, column)), settings),
    }


def _is_ordered(rows: Rows, name: str | list[str]) -> bool:
    """Whether the values of a column are near or far from each other, and not just equal or different."""
    import pandas as pd

    return isinstance(name, str) and pd.api.types.is_numeric_dtype(rows.table[name])


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
