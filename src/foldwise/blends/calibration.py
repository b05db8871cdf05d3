"""Curves that turn scores into probabilities, floors and caps: what is learned from a blend's own predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from foldwise.scoring.scale import CLIP, EPSILON, logit, normalise, sigmoid
from foldwise.settings import ONE_CLASS, Task

Kind = Literal["temperature", "platt", "beta", "isotonic"]
KINDS: tuple[Kind, ...] = ("temperature", "platt", "beta", "isotonic")
Curve = Callable[[np.ndarray], np.ndarray]
# settings that are tried, the mildest first: of equal ones the first is taken
FLOORS = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 0.01, 0.015, 0.02, 0.03, 0.05)
CAPS = (np.inf, 4.0, 3.5, 3.0, 2.75, 2.5, 2.25, 2.0, 1.75, 1.5, 1.25, 1.0)


def fit_curve(kind: Kind, p: np.ndarray, y: np.ndarray, task: Task) -> Curve:
    """Fit a calibration curve to probabilities and labels (n, k); it maps (n, k) to (n, k).

    temperature: sigmoid(a logit p), or softmax(a log p) for classes. platt: sigmoid(a logit p + b) (Platt 1999).
    beta: sigmoid(a log p - b log(1 - p) + c) (Kull et al. 2017). isotonic: the rising step function. But for
    temperature, all outputs have a curve each, and classes are divided by their sum.
    """
    if task in ONE_CLASS and kind == "temperature":
        from scipy.optimize import minimize_scalar

        logs, truth = np.log(np.clip(p, CLIP, 1)), y.astype(bool)

        def cost(a: float) -> float:
            return float((np.logaddexp.reduce(a * logs, axis=1) - a * logs[truth]).mean())

        a = float(minimize_scalar(cost, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x)
        return lambda q: normalise(np.clip(q, CLIP, 1) ** a)
    curves = [_binary_curve(kind, p[:, c], y[:, c]) for c in range(p.shape[1])]

    def curve(q: np.ndarray) -> np.ndarray:
        mapped = np.stack([one(q[:, c]) for c, one in enumerate(curves)], axis=1)
        return normalise(mapped) if task in ONE_CLASS else mapped

    return curve


def _binary_curve(kind: Kind, p: np.ndarray, y: np.ndarray) -> Curve:
    """Fit one curve to (n,): n + 2 labels, of which one is certainly 0 and one 1, keep it off the ends."""
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        edge = 1 / (len(y) + 2)
        fitted = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(p, y)
        return lambda q: np.asarray(fitted.predict(q))

    def design(q: np.ndarray) -> np.ndarray:
        if kind == "temperature":
            return logit(q)[:, None]
        if kind == "platt":
            return np.column_stack([logit(q), np.ones(len(q))])
        q = np.clip(q, CLIP, 1 - CLIP)
        return np.column_stack([np.log(q), -np.log1p(-q), np.ones(len(q))])

    prior = np.array({"temperature": [1.0], "platt": [1.0, 0.0], "beta": [1.0, 1.0, 0.0]}[kind])
    theta = logistic_fit(design(p), y, prior)
    return lambda q: sigmoid(design(q) @ theta)


def logistic_fit(x: np.ndarray, y: np.ndarray, prior: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Return the coefficients of a logistic regression, shrunk to `prior` as if by `strength` / 2 |theta - prior|**2.

    Newton's method with halved steps; x (n, f), y (n,).
    """
    theta = prior.copy()

    def cost(t: np.ndarray) -> float:
        s = x @ t
        return float((np.logaddexp(0, s) - y * s).sum() + strength / 2 * ((t - prior) ** 2).sum())

    now = cost(theta)
    for _ in range(100):
        p = sigmoid(x @ theta)
        gradient = x.T @ (p - y) + strength * (theta - prior)
        curvature = (x.T * (p * (1 - p))) @ x + strength * np.eye(len(theta))
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (trial := cost(theta - size * step)) > now and size > 1e-8:
            size /= 2
        if trial > now:
            break
        theta, moved, now = theta - size * step, now - trial, trial
        if moved < 1e-12 * max(1.0, abs(now)):
            break
    return theta


def fit_curve_by(
    kind: Kind, p: np.ndarray, y: np.ndarray, task: Task, by: np.ndarray | None, shrinkage: float
) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """Fit a curve for each value of `by` (n,), shrunk to the curve of all rows where a value has few.

    The logit of the result is (n own + shrinkage pooled) / (n + shrinkage), with n rows of the value.
    """
    pooled = fit_curve(kind, p, y, task)
    if by is None:
        return lambda q, _: pooled(q)
    own = {
        value: (fit_curve(kind, p[by == value], y[by == value], task), (by == value).sum()) for value in np.unique(by)
    }

    def curve(q: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        assert values is not None
        result = pooled(q)
        for value, (one, n) in own.items():
            at = np.flatnonzero(values == value)
            share = n / (n + shrinkage)
            if task in ONE_CLASS:
                logs = share * np.log(np.maximum(one(q[at]), EPSILON)) + (1 - share) * np.log(
                    np.maximum(result[at], EPSILON)
                )
                result[at] = normalise(np.exp(logs))
            else:
                mixed = share * logit(one(q[at])) + (1 - share) * logit(result[at])
                result[at] = sigmoid(mixed)
        return result

    return curve


def clip(p: np.ndarray, floor: float, ceiling: float, task: Task) -> np.ndarray:
    """Keep probabilities in [floor, 1 - ceiling]; classes are divided by their sum."""
    clipped = np.clip(p, floor, 1 - ceiling)
    return normalise(clipped) if task in ONE_CLASS else clipped


def cap(p: np.ndarray, groups: np.ndarray, most: float) -> np.ndarray:
    """Scale the probabilities of rows that share a group down so that their sum is at most `most`.

    A scan of the passenger screening holds at most three threats; p (n, k), groups (n,).
    """
    codes = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(codes, p.sum(axis=1))
    factors = np.minimum(1, most / np.maximum(sums, EPSILON)) if np.isfinite(most) else np.ones(len(sums))
    return np.asarray(p * factors[codes][:, None])
