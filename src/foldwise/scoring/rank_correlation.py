"""Rank correlation of two lists of scores, with its interval, and what it means in words."""

from __future__ import annotations

import math

import numpy as np

FEWEST = 8  # pairs below which nothing is concluded: even a correlation of .7 has an interval from below 0 to .95


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of n pairs, ties at their mean rank, by scipy; None where it is not defined.

    >>> spearman(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])), spearman(np.array([1, 2]), np.array([3, 3]))
    (0.8, None)
    """
    from scipy import stats

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return round(float(stats.spearmanr(x, y).statistic), 12)


def interval(rho: float, n: int) -> list[float] | None:
    """Return the 95 % interval of Spearman's correlation of n pairs; None for fewer than 4.

    By Fisher's transformation with the variance (1 + rho**2 / 2) / (n - 3) of Bonett and Wright (2000), Sample size
    requirements for estimating Pearson, Kendall and Spearman correlations, Psychometrika 65, 23-28. It has no width at
    a correlation of 1 or -1, which is taken as 6 / (n (n**2 - 1)) nearer to 0: half of what the exchange of two
    neighbouring ranks takes away.
    """
    if n < 4:
        return None
    most = 1 - 6 / (n * (n * n - 1))
    rho = float(np.clip(rho, -most, most))
    half = 1.959964 * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return [math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)]


def meaning(name: str, rho: float | None, bounds: list[float] | None, n: int) -> str:
    """Return what the correlation of the nested with the `name` scores of n submissions means, in a sentence.

    >>> meaning("public", 0.9, [0.5, 0.98], 5)
    'too few to tell: 5 submissions have a nested and a public score, and it takes 8'
    """
    if n < FEWEST:
        return f"too few to tell: {n} submissions have a nested and a {name} score, and it takes {FEWEST}"
    if rho is None or bounds is None:
        return f"nothing can be told: all nested, or all {name} scores are equal"
    if bounds[0] > 0.5:
        return f"the nested score ranks submissions much as the {name} score does: it can be trusted to choose"
    if bounds[0] > 0:
        return f"the nested and the {name} score agree in tendency; small differences of the nested score mean little"
    if bounds[1] < 0:
        return (
            f"the nested score ranks submissions against the {name} score: look for a leak or a shift between the "
            "training and the test rows before you trust it"
        )
    return f"it cannot be told whether the nested score ranks submissions as the {name} score does"
