"""Iterative stratification: folds in which every label, the rarest first, has its share of rows."""

from __future__ import annotations

import numpy as np


def iterative_folds(counts: np.ndarray, sizes: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Assign each of m items to one of `n_folds` folds, int8 (m,).

    counts: (m, k) how many rows of an item have each label; an item is a row, or a group of rows that stay together.
    sizes: (m,) rows of each item.

    The label with the fewest rows left is shared out first, each of its items to the fold that still wants most rows
    of that label, of those to the one that wants most rows at all, of those to one at random (Sechidis, Tsoumakas and
    Vlahavas 2011, On the stratification of multi-label data, algorithm 1). Items with more rows of the label go first,
    which the paper, whose items are rows, does not need.

    >>> counts = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    >>> fold = iterative_folds(counts, np.ones(4, int), 2, np.random.default_rng(0))
    >>> sorted(fold[:2].tolist()), sorted(fold[2:].tolist())
    ([0, 1], [0, 1])
    """
    # how many rows a fold still wants, times n_folds: whole numbers, so that ties are exact
    wanted_labels = np.tile(counts.sum(axis=0), (n_folds, 1)).astype(np.int64)
    wanted_rows = np.full(n_folds, sizes.sum(), np.int64)
    fold = np.full(len(counts), -1, np.int8)
    while (left := fold < 0).any():
        totals = counts[left].sum(axis=0)
        label = int(np.where(totals > 0, totals, totals.max() + 1).argmin()) if totals.any() else None
        items = rng.permutation(np.flatnonzero(left if label is None else left & (counts[:, label] > 0)))
        weight = sizes[items] if label is None else counts[items, label]
        for item in items[np.argsort(-weight, kind="stable")]:
            wants = wanted_rows if label is None else wanted_labels[:, label]
            best = np.flatnonzero(wants == wants.max())
            best = best[wanted_rows[best] == wanted_rows[best].max()]
            chosen = best[0] if len(best) == 1 else rng.choice(best)
            fold[item] = chosen
            wanted_labels[chosen] -= n_folds * counts[item]
            wanted_rows[chosen] -= n_folds * sizes[item]
    return fold
