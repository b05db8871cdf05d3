"""Fits for a whole grid of settings at once, and the choice among them inside the folds.

A path is fitted to features (n, f) and labels (n,), and answers other features (q, f) for each setting of its grid,
(g, q): the penalties of a logistic regression, or the rounds of boosted trees. A path is a pure function of features
and labels, so each one is fitted once and kept by the digest of both: what is fitted on all folds but two serves both
folds, at whatever level of a nested score.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

from foldwise.errors import ConfigError
from foldwise.processes import one_thread
from foldwise.scoring.scale import EPSILON, sigmoid

Answer = Callable[[np.ndarray], np.ndarray]  # features (q, f) -> probabilities (g, q)
Library = Literal["sklearn", "lightgbm"]
STRENGTHS = (
    3000.0,
    1000.0,
    300.0,
    100.0,
    30.0,
    10.0,
    3.0,
    1.0,
)  # in rows; falling: a fit begins at the last one
ROUNDS = (5, 10, 15, 20, 25, 30, 35, 40, 50, 60)
BINS = 64  # of a feature: with a thousand rows more of them cost time and gain nothing
KEPT = 400  # paths
NEWTON_STEPS = 50

_kept: OrderedDict[bytes, Any] = OrderedDict()


@dataclass(frozen=True)
class Ridge:
    """Ridge logistic regressions on standardised features, shrunk to 0.

    positive: on plain features, which are logits; none of the weights is negative, and they are shrunk to equal ones.
    """

    strengths: tuple[float, ...] = STRENGTHS
    positive: bool = False

    def fit(self, x: np.ndarray, y: np.ndarray) -> Answer:
        """Fit by Newton's method, the intercept free; the cost is the sum of log losses + strength / 2 |theta|**2."""
        if self.positive:
            centre, spread = np.zeros(x.shape[1]), np.full(x.shape[1], max(float(x.std()), 1e-6))
            prior = np.append(spread / x.shape[1], 0.0)
        else:
            centre, spread = x.mean(axis=0), x.std(axis=0)
            spread = np.where(spread > 1e-9, spread, 1.0)
            prior = np.zeros(x.shape[1] + 1)

        def design(features: np.ndarray) -> np.ndarray:
            return np.column_stack([(features - centre) / spread, np.ones(len(features))])

        with one_thread():
            fit = _falling_positive if self.positive else _falling
            thetas = np.stack(fit(design(x), y, prior, self.strengths))
        return lambda other: sigmoid(thetas @ design(other).T)


def _falling(x: np.ndarray, y: np.ndarray, prior: np.ndarray, strengths: tuple[float, ...]) -> list[np.ndarray]:
    """Return the coefficients (f,) for each strength; the last feature is the intercept, hardly shrunk."""
    theta, found = prior.copy(), []
    share = float(np.clip(y.mean(), 0.5 / (len(y) + 1), 1 - 0.5 / (len(y) + 1)))
    if not prior.any():
        theta[-1] = np.log(share / (1 - share))
    for strength in strengths:
        penalty = np.full(len(theta), strength)
        penalty[-1] = 1e-3

        def cost(t: np.ndarray, penalty: np.ndarray = penalty) -> float:
            z = x @ t
            return float((np.logaddexp(0, z) - y * z).sum() + (penalty * (t - prior) ** 2).sum() / 2)

        now = cost(theta)
        for _ in range(NEWTON_STEPS):
            p = sigmoid(x @ theta)
            gradient = x.T @ (p - y) + penalty * (theta - prior)
            curvature = (x.T * (p * (1 - p))) @ x
            curvature[np.diag_indices_from(curvature)] += penalty
            step = np.linalg.solve(curvature, gradient)
            if gradient @ step < 1e-8:
                break
            size = 1.0
            while (trial := cost(theta - size * step)) > now and size > 1e-6:
                size /= 2
            if trial > now:
                break
            theta, now = theta - size * step, trial
        found.append(theta.copy())
    return found


def _falling_positive(
    x: np.ndarray, y: np.ndarray, prior: np.ndarray, strengths: tuple[float, ...]
) -> list[np.ndarray]:
    """Return what `_falling` does, with no coefficient below 0 but the intercept, by L-BFGS-B."""
    from scipy.optimize import minimize

    theta, found = prior, []
    bounds = [(0.0, None)] * (len(prior) - 1) + [(None, None)]
    for strength in strengths:
        penalty = np.append(np.full(len(prior) - 1, strength), 1e-3)

        def cost(t: np.ndarray, penalty: np.ndarray = penalty) -> tuple[float, np.ndarray]:
            z, apart = x @ t, penalty * (t - prior)
            loss = (np.logaddexp(0, z) - y * z).sum() + apart @ (t - prior) / 2
            return float(loss) / len(y), (x.T @ (sigmoid(z) - y) + apart) / len(y)

        theta = minimize(
            cost, theta, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8}
        ).x
        found.append(theta)
    return found


@dataclass(frozen=True)
class Trees:
    """Boosted trees after several numbers of rounds, the raw scores of several seeds averaged."""

    rounds: tuple[int, ...] = ROUNDS
    depth: int = 2
    learning_rate: float = 0.15
    leaf: int = 20  # rows in a leaf, at least
    seeds: int = 2
    share: float = 0.5  # of the features that a split may choose from

    library: Library = "sklearn"

    def fit(self, x: np.ndarray, y: np.ndarray) -> Answer:
        """Fit histogram trees, on one thread; `share` is what the seeds differ in.

        Raises ConfigError where the library is not installed.
        """
        with one_thread():
            fitted = [_FITS[self.library](self, x, y, seed) for seed in range(self.seeds)]

        def answer(other: np.ndarray) -> np.ndarray:
            total = np.zeros((len(self.rounds), len(other)))
            with one_thread():
                for raw in fitted:
                    total += raw(other) / self.seeds
            return sigmoid(total)

        return answer


def _fit_sklearn(path: Trees, x: np.ndarray, y: np.ndarray, seed: int) -> Answer:
    """Fit scikit-learn's histogram trees; return what gives the raw scores (g, q) after each number of rounds."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=path.rounds[-1],
        max_depth=path.depth,
        learning_rate=path.learning_rate,
        min_samples_leaf=path.leaf,
        max_features=path.share,
        max_bins=BINS,
        early_stopping=False,
        random_state=seed,
    ).fit(x, y.astype(int))

    def raw(other: np.ndarray) -> np.ndarray:
        return np.stack([one for i, one in enumerate(model.staged_decision_function(other), 1) if i in path.rounds])

    return raw


def _fit_lightgbm(path: Trees, x: np.ndarray, y: np.ndarray, seed: int) -> Answer:
    """Do the same by LightGBM."""
    try:
        import lightgbm
    except ImportError:
        raise ConfigError(
            "ensemble.options.trees=lightgbm: the package lightgbm is not installed; pip install 'foldwise[lightgbm]'"
        ) from None
    settings = {
        **{"objective": "binary", "max_depth": path.depth, "num_leaves": 2**path.depth, "max_bin": BINS - 1},
        **{"learning_rate": path.learning_rate, "min_data_in_leaf": path.leaf, "feature_fraction_bynode": path.share},
        **{"seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1},
    }
    model = lightgbm.train(settings, lightgbm.Dataset(x, y), path.rounds[-1])

    def raw(other: np.ndarray) -> np.ndarray:
        return np.stack(
            [model.predict(other, raw_score=True, num_iteration=rounds, num_threads=1) for rounds in path.rounds]
        )

    return raw


_FITS: dict[Library, Callable[[Trees, np.ndarray, np.ndarray, int], Answer]] = {
    "sklearn": _fit_sklearn,
    "lightgbm": _fit_lightgbm,
}
Path = Ridge | Trees


def fitted(path: Path, x: np.ndarray, y: np.ndarray) -> Answer:
    """Return what the path answers once it is fitted to features (n, f) and labels (n,), from memory if it was."""
    if y.min() == y.max():  # one class: its smoothed share
        share, g = (y.sum() + 0.5) / (len(y) + 1), size(path)
        return lambda other: np.full((g, len(other)), share)
    found: Answer = remembered(repr(path), (x, y), lambda: path.fit(x, y))
    return found


def remembered(name: str, arrays: Sequence[np.ndarray], compute: Callable[[], Any]) -> Any:
    """Return compute(), a pure function of some arrays that `name` tells from others, from memory if it was called."""
    digest = blake2b(repr((name, [one.shape for one in arrays])).encode(), digest_size=20)
    for one in arrays:
        digest.update(np.ascontiguousarray(one, np.float64).tobytes())
    key = digest.digest()
    if key not in _kept:
        _kept[key] = compute()
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def size(path: Path) -> int:
    """Return the number of settings of a path."""
    return len(path.strengths if isinstance(path, Ridge) else path.rounds)


def inside_folds(path: Path, x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return what each setting says of each fold's rows, fitted to the other folds: (g, n)."""
    found = np.empty((size(path), len(y)))
    for one in np.unique(fold):
        held_out = fold == one
        found[:, held_out] = fitted(path, x[~held_out], y[~held_out])(x[held_out])
    return found


def chosen(path: Path, x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> tuple[int, np.ndarray]:
    """Choose the setting of lowest log loss inside the folds; return it and what it says there, (n,).

    Of settings whose losses differ by rounding alone the first is taken, which is the most regular one.
    """
    if len(np.unique(fold)) < 2:
        fold = np.arange(len(y)) % 5
    every = inside_folds(path, x, y, fold)
    best = int(np.argmin([round(log_loss(y, p), 12) for p in every]))
    return best, every[best]


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Return the mean log loss of labels and probabilities (n,)."""
    return float(-np.log(np.maximum(np.where(y > 0.5, p, 1 - p), EPSILON)).mean())
