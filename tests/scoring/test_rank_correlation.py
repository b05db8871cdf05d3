"""Spearman's correlation, its interval, and what is concluded from it."""

import numpy as np
import pytest

from foldwise.scoring.rank_correlation import interval, meaning, spearman


def test_spearman() -> None:
    # d = 1, -1, 0, 0, 2, -1, -1: 1 - 6 * 8 / (7 * 48)
    assert spearman(np.array([1, 2, 3, 4, 5, 6, 7]), np.array([2, 1, 3, 4, 7, 5, 6])) == pytest.approx(1 - 48 / 336)
    assert spearman(np.array([1.0]), np.array([1.0])) is None


@pytest.mark.parametrize(
    ("rho", "n", "low", "high"),
    [
        # atanh(.7) = .867301, its standard error sqrt((1 + .49 / 2) / 9) = .371932
        (0.7, 12, 0.13745, 0.92111),
        (-0.7, 12, -0.92111, -0.13745),
        (0.0, 7, -0.75306, 0.75306),  # tanh(1.959964 / 2)
        # 1 is taken as 1 - 6 / 720 = .991667, whose interval is that of tanh(2.740319 -+ 1.959964 * sqrt(1.491702 / 6))
        (1.0, 9, 0.94261, 0.99882),
    ],
)
def test_interval(rho: float, n: int, low: float, high: float) -> None:
    assert interval(rho, n) == pytest.approx([low, high], abs=1e-5)
    assert interval(rho, 3) is None


@pytest.mark.parametrize(
    ("rho", "bounds", "n", "words"),
    [
        (1.0, [0.9, 1.0], 7, "too few to tell: 7 submissions"),
        (None, None, 9, "nothing can be told"),
        (0.9, [0.6, 0.97], 12, "can be trusted to choose"),
        (0.7, [0.2, 0.9], 12, "agree in tendency"),
        (0.4, [-0.2, 0.8], 12, "it cannot be told"),
        (-0.8, [-0.9, -0.2], 12, "look for a leak or a shift"),
    ],
)
def test_meaning(rho: float | None, bounds: list[float] | None, n: int, words: str) -> None:
    assert words in meaning("public", rho, bounds, n)
