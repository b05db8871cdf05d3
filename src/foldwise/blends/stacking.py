"""Stacking: a model of scikit-learn on the members' logits, or their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from foldwise.blends.bases import clusters, tree_features, tuned
from foldwise.blends.blended import Blended
from foldwise.blends.numeric_columns import numeric_columns
from foldwise.blends.paths import ROUNDS, STRENGTHS, Library, Ridge, Trees
from foldwise.processes import one_thread
from foldwise.scoring.out_of_fold import folds_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import EPSILON, normalise, sigmoid, to_scale
from foldwise.settings import ONE_CLASS

Count = Annotated[int, Field(ge=1)]
Columns = Annotated[list[str], Field()]


def logistic(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    strength: Annotated[float, Field(gt=0)] | Literal["auto"] = 1.0,  # of the penalty, in rows; auto: the best of a
    # grid inside the folds. It is an inverse variance of the coefficients.
    columns: Columns = [],  # noqa: B006  numeric columns of the table that join the logits
    positive: bool = False,  # no weight below 0, and shrunk to equal ones
) -> Blended:
    """Fit a ridge logistic regression on standardised logits; of several outputs, one each on its own logits.

    strength: auto: one of `paths.STRENGTHS`; a class of several is then learned against the rest.
    positive: so it is, by plain logits, whose weights are not below 0 and are shrunk to equal ones; `strength` is then
        that of the penalty too.
    """
    if strength == "auto" or positive:
        strengths = STRENGTHS if strength == "auto" else (strength,)
        return Blended(_tuned_outputs(Ridge(strengths, positive), problem, train, other, columns))
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def model() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, max_iter=2000, tol=1e-8))

    return Blended(fit_outputs(model, problem, train, other, columns))


def linear(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    strength: Annotated[float, Field(gt=0)] = 1.0,  # of the penalty, in rows
    columns: Columns = [],  # noqa: B006  numeric columns of the table that join the values
) -> Blended:
    """Fit a ridge regression on the standardised values of the members; of several targets, one each on its own values.

    It minimises the sum of squared errors plus `strength` times that of the coefficients; the intercept is free.
    """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train_x, other_x = _features((train, other), problem, columns)
    y, found = train.y, []
    with one_thread():
        for c in range(train.k):
            model = make_pipeline(StandardScaler(), Ridge(alpha=strength))
            found.append(model.fit(train_x[c], y[:, c]).predict(other_x[c]))
    return Blended(np.stack(found, axis=1))


def boosted(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    rounds: Count | Literal["auto"] = 70,  # auto: the best of 5 to 60 inside the folds
    depth: Count = 3,
    learning_rate: Annotated[float, Field(gt=0)] = 0.1,
    leaf: Count = 40,  # rows in a leaf, at least
    seeds: Count = 2,  # of rounds=auto: fits that are averaged, each with half of the features at a split
    columns: Columns = [],  # noqa: B006
    trees: Library = "sklearn",  # that fits them; lightgbm: pip install 'foldwise[lightgbm]'
) -> Blended:
    """Fit small gradient-boosted trees on the logits; of several outputs, one each on its own logits.

    rounds: auto: on the mean logits of at most twelve clusters of correlated members and on how the members of a row
        differ (standard deviation, lowest, highest, median); a class of several is then learned against the rest.
    trees: lightgbm: so are a number of rounds that is set. Raises ConfigError where it is not installed.
    """
    if rounds == "auto" or trees == "lightgbm":
        grid = ROUNDS if rounds == "auto" else (rounds,)
        path = Trees(grid, depth=depth, learning_rate=learning_rate, leaf=leaf, seeds=seeds, library=trees)
        return Blended(_tuned_outputs(path, problem, train, other, columns))
    model = partial(sklearn_trees, rounds, depth, learning_rate, leaf)
    return Blended(fit_outputs(model, problem, train, other, columns))


def _tuned_outputs(path: Ridge | Trees, problem: Problem, train: Rows, other: Rows, columns: list[str]) -> np.ndarray:
    """Fit a path for each output, its setting chosen inside the folds; return probabilities (n, k) of other rows."""
    binary = replace(problem, task="binary" if problem.task in ONE_CLASS else problem.task)  # logits, not logs
    train_x, other_x = _features((train, other), binary, columns)
    fold, y, found = folds_of(train), train.y, []
    for c in range(train.k):
        mine, theirs = train_x[c], other_x[c]
        if isinstance(path, Trees):
            averages = clusters(mine[:, : train.m])
            mine, theirs = (
                np.hstack([tree_features(x[:, : train.m], averages), x[:, train.m :]]) for x in (mine, theirs)
            )
        found.append(sigmoid(tuned(path, mine, y[:, c], fold, [theirs])[1][0]))
    p = np.stack(found, axis=1)
    return normalise(p) if problem.task in ONE_CLASS else p


def sklearn_trees(rounds: int, depth: int, learning_rate: float, leaf: int) -> Any:
    """Return scikit-learn's boosted trees, without early stopping, which would split off rows at random."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=rounds,
        max_depth=depth,
        learning_rate=learning_rate,
        min_samples_leaf=leaf,
        early_stopping=False,
        random_state=0,
    )


def fit_outputs(model: Any, problem: Problem, train: Rows, other: Rows, columns: list[str]) -> np.ndarray:
    """Fit `model()` for each output, or once for classes, and return the probabilities (n, k) of other rows."""
    train_x, other_x = _features((train, other), problem, columns)
    y = train.y
    if problem.task in ONE_CLASS:
        made = model()
        with one_thread():
            fitted = made.fit(np.concatenate([train_x[c] for c in range(train.k)], axis=1), y.argmax(axis=1))
        p = np.full((len(other), train.k), EPSILON)
        p[:, fitted.classes_] = fitted.predict_proba(np.concatenate([other_x[c] for c in range(train.k)], axis=1))
        return normalise(p)
    return np.stack([fit_one(model, train_x[c], y[:, c], other_x[c]) for c in range(train.k)], axis=1)


def fit_one(model: Any, train_x: np.ndarray, y: np.ndarray, other_x: np.ndarray) -> np.ndarray:
    """Fit `model()` on features (n, f) and labels (n,), and return the probabilities of other rows."""
    if y.min() == y.max():  # one class: its smoothed share
        return np.full(len(other_x), (y.sum() + 0.5) / (len(y) + 1))
    made = model()  # imports the library whose threads are kept to one
    with one_thread():
        return np.asarray(made.fit(train_x, y.astype(int)).predict_proba(other_x)[:, 1])


def _features(parts: Sequence[Rows], problem: Problem, columns: list[str]) -> list[list[np.ndarray]]:
    """Return features (n, m + columns) of each part for each output; the columns for the first class alone."""
    found = []
    for rows, extra in zip(parts, numeric_columns(columns, parts), strict=True):
        scale = [to_scale(rows.member(j), "logit", problem.task) for j in range(rows.m)]
        of_outputs = [np.stack([one[:, c] for one in scale], axis=1) for c in range(rows.k)]
        once = problem.task in ONE_CLASS
        found.append([own if once and c > 0 else np.hstack([own, extra]) for c, own in enumerate(of_outputs)])
    return found
