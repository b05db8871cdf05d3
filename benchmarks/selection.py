"""Greedy selection: foldwise against every candidate computed in every round, as AutoGluon's EnsembleSelection does.

500 models, 20,000 rows, one output, 100 rounds, the arithmetic mean. The straightforward way is restated: for each
round and model a blend, its log loss by numpy, the argmin. Both must select the same. AutoGluon itself does more
around each loss (its package, in an environment of its own, took 6.6 s where foldwise took .5 s).
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.measure import table


def run(quick: bool) -> None:
    """Print the seconds of both, and whether they select the same."""
    import pandas as pd

    from foldwise.blends.rows import make_rows
    from foldwise.blends.selection import select
    from foldwise.blends.values import values_of

    m, n, rounds = (50, 2000, 20) if quick else (500, 20_000, 100)
    p, y = problem(m, n)
    started = time.perf_counter()
    ours = select(values_of(make_rows(p, pd.DataFrame({"row": np.arange(n)}), y), "arithmetic", "binary"), rounds)
    middle = time.perf_counter()
    theirs = straightforward(p[:, :, 0], y[:, 0], rounds)
    seconds = middle - started, time.perf_counter() - middle
    rows = [[name, f"{s:.2f}"] for name, s in zip(("foldwise", "straightforward"), seconds, strict=True)]
    table([f"{m} models, {n} rows, {rounds} rounds", "seconds"], [*rows, ["ratio", f"{seconds[1] / seconds[0]:.1f}"]])
    print(f"  same selection: {'yes' if np.allclose(ours / ours.sum(), theirs / theirs.sum()) else 'NO'}")


def problem(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw models of ten families whose errors are alike, (m, n, 1), and labels (n, 1)."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (n, 1))
    y = (rng.random((n, 1)) < 1 / (1 + np.exp(-z))).astype(float)
    family = rng.normal(0, 1, (10, n, 1))
    noise = rng.uniform(0.6, 1.6, (m, 1, 1)) * 0.7 * (family[rng.integers(0, 10, m)] + rng.normal(0, 1, (m, n, 1)))
    return 1 / (1 + np.exp(-(z + noise) * rng.uniform(0.6, 1.3, (m, 1, 1)))), y


def straightforward(p: np.ndarray, y: np.ndarray, rounds: int) -> np.ndarray:
    """Select with every candidate computed: predictions (m, n), labels (n,) -> how often each is taken (m,)."""
    counts, total, best = np.zeros(len(p)), np.zeros(len(y)), (np.inf, np.zeros(len(p)))
    for size in range(1, rounds + 1):
        losses = []
        for one in p:
            blend = np.clip((total + one) / size, 1e-15, 1 - 1e-15)
            losses.append(-(y * np.log(blend) + (1 - y) * np.log1p(-blend)).mean())
        winner = int(np.argmin(losses))
        counts[winner] += 1
        total = total + p[winner]
        if losses[winner] < best[0]:
            best = losses[winner], counts.copy()
    return best[1]
