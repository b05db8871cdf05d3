"""Blends and what is done to them, learned on the other folds for the fold that is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.blends import calibration
from foldwise.blends.blended import Blended
from foldwise.plugins import function_named
from foldwise.scoring.compare_runs import cost_difference
from foldwise.scoring.objective import cost, cost_in_sample, costs_alone, score_of
from foldwise.scoring.out_of_fold import out_of_fold_predictions, with_predictions
from foldwise.scoring.rows import Problem, Rows

if TYPE_CHECKING:
    from foldwise.settings import EnsembleSettings


Change = Callable[[np.ndarray, Rows], np.ndarray]  # probabilities (n, k) of rows -> better ones


def nested(problem: Problem, rows: Rows, settings: EnsembleSettings) -> np.ndarray:
    """Blend each fold's rows by what was learned on the other folds: (n, k)."""
    return out_of_fold_predictions(rows, lambda train, other: blend(problem, train, other, settings).probabilities)


def blend(problem: Problem, train: Rows, other: Rows, settings: EnsembleSettings) -> Blended:
    """Learn a blend from labelled rows and answer for other rows.

    First the method itself, on the `best` members if that is said; then calibration, cap and clipping, which are
    fitted to what the method answers for training rows that it was not fitted to.
    """
    plain = replace(settings, calibrate="none", cap_by=None, clip=None)
    if settings != plain:
        inner = nested(problem, train, plain)
        change, about = fit_change(problem, train, inner, settings)
        blended = blend(problem, train, other, plain)
        return replace(blended, probabilities=change(blended.probabilities, other), about={**blended.about, **about})
    method = function_named("blends", settings.name, "ensemble.name")
    members = best_members(problem, train, settings.best)
    problem = replace(
        problem, average=settings.average, test=problem.test.of_members(members) if problem.test else None
    )
    blended = method(problem, train.of_members(members), other.of_members(members), **settings.options)
    if blended.weights is not None and len(members) < train.m:
        weights = np.zeros((train.m, *blended.weights.shape[1:]))
        weights[members] = blended.weights
        blended = replace(blended, weights=weights)
    return blended


def best_members(problem: Problem, train: Rows, best: int | None) -> np.ndarray:
    """Return the numbers of the `best` members by the objective, in order; all by default."""
    if best is None or best >= train.m:
        return np.arange(train.m)
    return np.sort(np.argsort(costs_alone(problem, train), kind="stable")[:best])


def fit_change(
    problem: Problem, rows: Rows, p: np.ndarray, settings: EnsembleSettings
) -> tuple[Change, dict[str, Any]]:
    """Fit calibration, cap and clipping, in this order, to predictions (n, k) of labelled rows.

    Each is chosen by the objective, of what the one before gives out of fold.
    """
    task = problem.task
    changes: list[Change] = []
    about: dict[str, Any] = {}
    if settings.calibrate != "none":
        change, p, about["calibrate"] = _calibration(problem, rows, p, settings)
        changes.append(change)
    if settings.cap_by is not None:
        caps = {most: calibration.cap(p, _column(rows, settings.cap_by), most) for most in calibration.CAPS}
        most = _lowest(problem, rows, caps)
        changes.append(lambda q, asked: calibration.cap(q, _column(asked, str(settings.cap_by)), most))
        p, about["cap"] = changes[-1](p, rows), most if np.isfinite(most) else None
    if settings.clip is not None:
        floor = ceiling = float(settings.clip) if settings.clip != "auto" else 0.0
        if settings.clip == "auto":
            floor = _lowest(problem, rows, {f: calibration.clip(p, f, 0, task) for f in calibration.FLOORS})
            if task != "multiclass":
                ceiling = _lowest(problem, rows, {c: calibration.clip(p, floor, c, task) for c in calibration.FLOORS})
        changes.append(lambda q, _: calibration.clip(q, floor, ceiling, task))
        about |= {"floor": floor, "ceiling": ceiling}

    def change_all(q: np.ndarray, asked: Rows) -> np.ndarray:
        for change in changes:
            q = change(q, asked)
        return q

    return change_all, about


def _calibration(
    problem: Problem, rows: Rows, p: np.ndarray, settings: EnsembleSettings
) -> tuple[Change, np.ndarray, str]:
    """Return the curve, what it makes of each fold's predictions when fitted to the others, and its name.

    auto: the curve that is best by the objective out of fold, if it is better than none by more than the standard
    error of the difference.
    """
    by, task = settings.calibrate_by, problem.task
    rows = with_predictions(rows, p)

    def fitted(kind: Any, train: Rows) -> Change:
        column = None if by is None else _column(train, by)
        curve = calibration.fit_curve_by(kind, train.member(0), train.y, task, column, settings.shrinkage)
        return lambda q, asked: curve(q, None if by is None else _column(asked, by))

    def out_of_fold(kind: Any) -> np.ndarray:
        return out_of_fold_predictions(rows, lambda train, other: fitted(kind, train)(other.member(0), other))

    kinds = calibration.KINDS if settings.calibrate == "auto" else (settings.calibrate,)
    tried = {kind: out_of_fold(kind) for kind in kinds}
    chosen = kinds[0]
    if settings.calibrate == "auto":
        scores = {kind: score_of(problem, rows, q) for kind, q in tried.items()}
        chosen = min(kinds, key=lambda kind: cost(problem.metric, scores[kind].value))
        gain, error = cost_difference(score_of(problem, rows, p), scores[chosen])
        if gain <= error:
            return (lambda q, _: q), p, "none"
    return fitted(chosen, rows), tried[chosen], str(chosen)


def _lowest(problem: Problem, rows: Rows, tried: dict[float, np.ndarray]) -> float:
    """Return the setting of lowest cost, the later in the list of nearly equal ones where none is needed."""
    costs = {setting: cost_in_sample(problem, rows.y, p) for setting, p in tried.items()}
    return min(costs, key=lambda setting: (round(costs[setting], 12), setting if setting < 1 else -setting))


def _column(rows: Rows, name: str) -> np.ndarray:
    from foldwise.errors import FoldwiseError

    if name not in rows.table:
        raise FoldwiseError(f"the data has no column {name!r}; it has {', '.join(rows.table.columns)}")
    return np.asarray(rows.table[name].astype(str).to_numpy())
