"""Several blends of the members as the features of another model: each row's answer from folds that do not hold it.

A base learns from labels, so its answers for training rows are those of the folds that are left out; its settings
(a penalty, a number of rounds) are chosen inside the folds too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldwise.blends.convex_loss import values_of
from foldwise.blends.fast_selection import select
from foldwise.blends.paths import Path, Ridge, Trees, chosen, fitted, remembered
from foldwise.scoring.out_of_fold import folds_of
from foldwise.scoring.rows import Average, Rows
from foldwise.scoring.scale import logit, sigmoid, weighted
from foldwise.settings import Task

ROUNDS = 50  # of a greedy selection
CLUSTERS = 12  # of correlated members, whose mean logits the boosted trees get
NAMES = ("mean", "greedy", "arithmetic greedy", "logistic", "boosted over clusters", "boosted")
SPREAD = ("sd", "min", "max", "median", "arithmetic mean")  # of the members of a row


@dataclass(frozen=True)
class Answers:
    """Logits of the bases for one output, (n, b): of training rows from the other folds, of others from all rows."""

    train: np.ndarray
    others: list[np.ndarray]


def member_logits(rows: Rows, c: int) -> np.ndarray:
    """Return the members' logits of one output, (n, m)."""
    return np.stack([logit(rows.member(j)[:, c]) for j in range(rows.m)], axis=1)


def spread(x: np.ndarray) -> np.ndarray:
    """Return how the members of a row differ, `SPREAD`, of their logits (n, m): (n, 5).

    >>> spread(np.array([[0.0, 2.0, 4.0]])).round(3).tolist()
    [[1.633, 0.0, 4.0, 2.0, 1.311]]
    """
    belief = logit(sigmoid(x).mean(axis=1))
    return np.column_stack([x.std(axis=1), x.min(axis=1), x.max(axis=1), np.median(x, axis=1), belief])


def clusters(x: np.ndarray, most: int = CLUSTERS) -> np.ndarray:
    """Return the averages (m, c) that turn members' logits (n, m) into the means of clusters of correlated members.

    Of at most `most` members each is a cluster. Clusters are joined by the mean correlation of their members; labels
    play no part.
    """
    m = x.shape[1]
    if m <= most:
        return np.eye(m)
    from scipy.cluster import hierarchy

    centred = x - x.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(norm > 0, norm, 1)
    distance = np.round(1 - unit.T @ unit, 9)[np.triu_indices(m, 1)]
    code = hierarchy.fcluster(hierarchy.linkage(np.maximum(distance, 0), "average"), most, "maxclust") - 1
    averages = np.eye(code.max() + 1)[code]
    return np.asarray(averages / averages.sum(axis=0))


def tree_features(x: np.ndarray, averages: np.ndarray) -> np.ndarray:
    """Return the means of clusters, the mean of all members and their spread, (n, c + 6)."""
    return np.column_stack([x @ averages, x.mean(axis=1), spread(x)])


def base_answers(train: Rows, others: Sequence[Rows], c: int) -> Answers:
    """Fit the bases `NAMES` to one output; of several classes it is learned against the rest.

    Trees over all members are a base where there are more members than clusters.
    """
    fold, y = folds_of(train), train.y[:, c]
    x, other_x = member_logits(train, c), [member_logits(rows, c) for rows in others]
    columns = [(x.mean(axis=1), [one.mean(axis=1) for one in other_x])]
    columns += [_greedy(train, others, c, fold, average) for average in ("logit", "arithmetic")]
    columns.append(tuned(Ridge(), x, y, fold, other_x))
    columns.append(boosted_over(clusters(x), Trees(), x, y, fold, other_x))
    if train.m > CLUSTERS:  # else each member is a cluster
        columns.append(boosted_over(np.eye(train.m), Trees(seeds=1, share=0.2), x, y, fold, other_x))
    return Answers(
        np.column_stack([one for one, _ in columns]),
        [np.column_stack([several[i] for _, several in columns]) for i in range(len(others))],
    )


Column = tuple[np.ndarray, list[np.ndarray]]


def tuned(path: Path, x: np.ndarray, y: np.ndarray, fold: np.ndarray, other_x: Sequence[np.ndarray]) -> Column:
    """Return the logits of training rows (n,) and of others by the setting that is best inside the folds."""
    best, p = chosen(path, x, y, fold)
    answer = fitted(path, x, y)
    return logit(p), [logit(answer(one)[best]) for one in other_x]


def boosted_over(
    averages: np.ndarray, path: Trees, x: np.ndarray, y: np.ndarray, fold: np.ndarray, other_x: Sequence[np.ndarray]
) -> Column:
    """Return what `tuned` does, of trees over averages (m, c) of the members' logits and over their spread."""
    return tuned(path, tree_features(x, averages), y, fold, [tree_features(one, averages) for one in other_x])


def _greedy(train: Rows, others: Sequence[Rows], c: int, fold: np.ndarray, average: Average) -> Column:
    """Return the logits of a greedy selection for one output."""
    mine, several = train.of_output(c), [rows.of_output(c) for rows in others]
    binary: Task = "binary"
    found = np.empty(len(train))

    def weights(rows: Rows) -> np.ndarray:
        counts = remembered(
            f"greedy {average}", (rows.predictions(), rows.y), lambda: select(values_of(rows, average, binary), ROUNDS)
        )
        return np.asarray(counts / counts.sum())

    for one in np.unique(fold):
        held_out = fold == one
        found[held_out] = logit(weighted(mine.only(held_out), weights(mine.only(~held_out)), average, binary)[:, 0])
    every = weights(mine)
    return found, [logit(weighted(rows, every, average, binary)[:, 0]) for rows in several]
