"""Draw which test rows the public and which the private leaderboard would score."""

import numpy as np

PUBLIC_SHARE = 0.2


def usage(n: int, seed: int) -> np.ndarray:
    """Return `Public` for a fifth of n rows, at least one, and `Private` for the rest, shuffled by `seed`."""
    labels = np.full(n, "Private", dtype=object)
    labels[: max(1, round(PUBLIC_SHARE * n))] = "Public"
    return np.random.default_rng(seed).permutation(labels)
