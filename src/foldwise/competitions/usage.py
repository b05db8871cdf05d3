"""Which test rows of a simulated competition the public leaderboard scores, and which the private one."""

import numpy as np

PUBLIC_SHARE = 0.2


def usage(n: int, seed: int) -> np.ndarray:
    """Return `Public` for a fifth of n rows, at least one, and `Private` for the rest, shuffled by `seed`: (n,).

    >>> usage(10, seed=0).tolist().count("Public")
    2
    >>> usage(2, seed=0).tolist().count("Public")
    1
    """
    labels = np.full(n, "Private", dtype=object)
    labels[: max(1, round(PUBLIC_SHARE * n))] = "Public"
    return np.random.default_rng(seed).permutation(labels)
