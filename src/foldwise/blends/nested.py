"""Blends and what is done to them, learned on the other folds for the fold that is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from foldwise.blends import calibration
from foldwise.blends.blended import Blended
from foldwise.blends.calibration import Kind
from foldwise.blends.methods import METHODS
from foldwise.errors import FoldwiseError
from foldwise.scoring.compare_runs import cost_difference
from foldwise.scoring.objective import cost, cost_in_sample, costs_alone, score_of
from foldwise.scoring.out_of_fold import folds_of, out_of_fold_predictions, with_predictions
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import ONE_CLASS, EnsembleSettings

NUMBERS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200)  # of the best members, of which `best=auto` takes one
Change = Callable[[np.ndarray, Rows], np.ndarray]  # probabilities (n, k) of rows -> better ones
Fitted = tuple[Change, np.ndarray, dict[str, Any]]  # the change, the changed predictions (n, k), what was learned


def nested(problem: Problem, rows: Rows, settings: EnsembleSettings) -> np.ndarray:
    """Blend each fold's rows by what was learned on the other folds: (n, k)."""
    return out_of_fold_predictions(rows, lambda train, other: blend(problem, train, other, settings).probabilities)


def blend(problem: Problem, train: Rows, other: Rows, settings: EnsembleSettings) -> Blended:
    """Learn a blend from labelled rows and predict other rows.

    First the method itself, on the `best` members if that is set (`auto` chooses their number inside the folds); then
    calibration, cap and clipping, which are fitted to what the method predicts for training rows that it was not
    fitted to.
    """
    plain = replace(settings, calibrate="none", cap_by=None, clip=None)
    if settings != plain:
        change, about = fit_changes(problem, train, nested(problem, train, plain), settings)
        blended = blend(problem, train, other, plain)
        return replace(blended, probabilities=change(blended.probabilities, other), about={**blended.about, **about})
    if settings.best is None:
        return _blend_of(problem, train, other, settings, np.arange(train.m))
    n = best_number(problem, train, settings) if settings.best == "auto" else settings.best
    blended = _blend_of(problem, train, other, settings, best_first(problem, train)[:n])
    about = {"best": n} if settings.best == "auto" else {}
    return replace(blended, about=blended.about | about)


def _blend_of(problem: Problem, train: Rows, other: Rows, settings: EnsembleSettings, members: np.ndarray) -> Blended:
    """Learn a blend of some members, whose numbers are given in any order; the others have no weight."""
    members = np.sort(members)
    test = problem.test.of_members(members) if problem.test else None
    problem = replace(problem, average=settings.average, test=test)
    method = METHODS[settings.name].function
    blended = method(problem, train.of_members(members), other.of_members(members), **settings.options)
    if blended.weights is not None and len(members) < train.m:
        weights = np.zeros((train.m, *blended.weights.shape[1:]))
        weights[members] = blended.weights
        blended = replace(blended, weights=weights)
    return blended


def best_first(problem: Problem, train: Rows) -> np.ndarray:
    """Return the numbers of the members, the best by the objective first."""
    return np.argsort(costs_alone(problem, train), kind="stable")


def best_number(problem: Problem, train: Rows, settings: EnsembleSettings) -> int:
    """Return the number of best members, one of `NUMBERS` or all, with which a method scores best inside the folds.

    Which members are the best is found anew for each fold. Of numbers that score the same the largest is taken.
    """
    numbers = [train.m, *(number for number in reversed(NUMBERS) if number < train.m)]
    fold = folds_of(train)
    train = replace(train, fold=fold)
    found = {float(number): np.empty((len(train), train.k)) for number in numbers}
    for one in np.unique(fold):
        held_out = fold == one
        rest, other = train.only(~held_out), train.only(held_out).unlabelled()
        order = best_first(problem, rest)
        for number in numbers:
            found[number][held_out] = _blend_of(problem, rest, other, settings, order[:number]).probabilities
    return int(_best_setting(problem, train, found, found.__getitem__))


def fit_changes(
    problem: Problem, rows: Rows, p: np.ndarray, settings: EnsembleSettings
) -> tuple[Change, dict[str, Any]]:
    """Fit calibration, cap and clipping, in this order, to predictions (n, k) of labelled rows.

    Each is chosen by the objective, on the out-of-fold output of the one before. Returns a function that applies
    them all, and what was learned.
    """
    steps = [
        (_fit_calibration, settings.calibrate != "none"),
        (_fit_cap, settings.cap_by is not None),
        (_fit_clip, settings.clip is not None),
    ]
    changes: list[Change] = []
    about: dict[str, Any] = {}
    for fit, is_wanted in steps:
        if is_wanted:
            change, p, learned = fit(problem, rows, p, settings)
            changes.append(change)
            about |= learned

    def apply(q: np.ndarray, other: Rows) -> np.ndarray:
        for change in changes:
            q = change(q, other)
        return q

    return apply, about


def _fit_calibration(problem: Problem, rows: Rows, p: np.ndarray, settings: EnsembleSettings) -> Fitted:
    """Fit the curve that is set; the changed predictions are those of curves fitted to the other folds.

    auto: the curve that is best by the objective out of fold, if it is better than none by more than the standard
    error of the difference.
    """
    assert settings.calibrate != "none"
    rows = with_predictions(rows, p)
    kinds: tuple[Kind, ...] = calibration.KINDS if settings.calibrate == "auto" else (settings.calibrate,)
    tried = {kind: _calibrate_out_of_fold(kind, problem, rows, settings) for kind in kinds}
    chosen = kinds[0]
    if settings.calibrate == "auto":
        scores = {kind: score_of(problem, rows, q) for kind, q in tried.items()}
        chosen = min(kinds, key=lambda kind: cost(problem.metric, scores[kind].value))
        gain, error = cost_difference(score_of(problem, rows, p), scores[chosen])
        if gain <= error:
            return (lambda q, _: q), p, {"calibrate": "none"}
    return _fit_curve(chosen, problem, rows, settings), tried[chosen], {"calibrate": chosen}


def _calibrate_out_of_fold(kind: Kind, problem: Problem, rows: Rows, settings: EnsembleSettings) -> np.ndarray:
    """Return what the curve makes of each fold's predictions when it is fitted to the other folds, (n, k)."""
    return out_of_fold_predictions(
        rows, lambda train, other: _fit_curve(kind, problem, train, settings)(other.member(0), other)
    )


def _fit_curve(kind: Kind, problem: Problem, rows: Rows, settings: EnsembleSettings) -> Change:
    """Fit a curve, for each value of `calibrate_by` if that is set, to the only member of rows."""
    by = settings.calibrate_by
    values = None if by is None else _column(rows, by)
    curve = calibration.fit_curve_by(kind, rows.member(0), rows.y, problem.task, values, settings.shrinkage)
    return lambda q, other: curve(q, None if by is None else _column(other, by))


def _fit_cap(problem: Problem, rows: Rows, p: np.ndarray, settings: EnsembleSettings) -> Fitted:
    """Fit the highest sum of the probabilities of rows that share a value of `cap_by`."""
    assert settings.cap_by is not None
    column = settings.cap_by
    most = _best_setting(problem, rows, calibration.CAPS, lambda cap: calibration.cap(p, _column(rows, column), cap))

    def change(q: np.ndarray, other: Rows) -> np.ndarray:
        return calibration.cap(q, _column(other, column), most)

    return change, change(p, rows), {"cap": most if np.isfinite(most) else None}


def _fit_clip(problem: Problem, rows: Rows, p: np.ndarray, settings: EnsembleSettings) -> Fitted:
    """Fit a floor, then a ceiling above that floor, or take the number that is set for both.

    Classes have no ceiling of their own: they are divided by their sum.
    """
    task, floors = problem.task, calibration.FLOORS
    assert settings.clip is not None
    if settings.clip != "auto":
        floor = ceiling = float(settings.clip)
    else:
        floor = _best_setting(problem, rows, floors, lambda low: calibration.clip(p, low, 0, task))
        ceiling = 0.0
        if task not in ONE_CLASS:
            ceiling = _best_setting(problem, rows, floors, lambda high: calibration.clip(p, floor, high, task))

    def change(q: np.ndarray, _: Rows) -> np.ndarray:
        return calibration.clip(q, floor, ceiling, task)

    return change, change(p, rows), {"floor": floor, "ceiling": ceiling}


def _best_setting(
    problem: Problem, rows: Rows, settings: Iterable[float], predict: Callable[[float], np.ndarray]
) -> float:
    """Return the setting of lowest cost; the first of those whose costs differ by rounding alone."""
    costs = {setting: cost_in_sample(problem, rows.y, predict(setting)) for setting in settings}
    return min(costs, key=lambda setting: round(costs[setting], 12))


def _column(rows: Rows, name: str) -> np.ndarray:
    if name not in rows.table:
        raise FoldwiseError(f"the data has no column {name!r}; it has {', '.join(rows.table.columns)}")
    return np.asarray(rows.table[name].astype(str).to_numpy())
