"""Assign rows to folds: by class, in groups, by many labels, and check what comes out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from foldwise.data.fold_files import NEVER
from foldwise.data.iterative import iterative_folds
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import SplitSettings, Task


def assign_folds(
    labels: np.ndarray,
    groups: np.ndarray | None,
    split: SplitSettings,
    seed: int,
    task: Task = "binary",
    kinds: np.ndarray | None = None,
    targets: Sequence[str] = (),
) -> np.ndarray:
    """Assign each of the n rows, labels (n, k), to one of `split.n_folds` folds: int8 (n,).

    Rows are stratified by their classes (in a regression, the quantile bins of the first target) and, with kinds int
    (n,), by both: each kind shares out its own classes.
    With groups (n,), all rows of a group share a fold, and of `split.tries` seeded assignments the one
    whose folds are most alike in size and in class shares is kept. With `split.rare=keep_in_train`, rows of classes
    that have fewer rows (groups) than there are folds have fold -1: they are never held out.

    targets: names of the k labels, for messages.

    Raises FoldwiseError if no valid assignment is found: each fold must hold rows, each training part
    must hold every class.

    >>> labels = np.array([[0], [0], [1], [1]])
    >>> fold = assign_folds(labels, None, SplitSettings(kind="stratified", n_folds=2), seed=0)
    >>> sorted(fold[:2].tolist()), sorted(fold[2:].tolist())  # a row of each class in each fold
    ([0, 1], [0, 1])
    """
    kept = np.zeros(len(labels), bool)
    if split.rare == "keep_in_train":
        if task == "regression":
            raise ConfigError("split.rare=keep_in_train: a regression has no classes; leave it out")
        kept = _rare_rows(labels, groups, split.n_folds)
        if classes_of_rows(labels[~kept]).any(axis=0).sum() < 2:
            raise FoldwiseError(
                f"split.rare=keep_in_train: fewer than two classes have {split.n_folds} rows, one for each fold; lower "
                "split.n_folds"
            )
    strata = _strata(labels[~kept], task, split.n_folds)
    known = labels
    if task == "regression":  # folds are balanced by the bins, and none of these must be in every part
        labels, known = np.eye(strata.max() + 1)[strata], labels[:, :0]
    if kinds is not None:
        kinds = kinds[~kept]
        strata = _merge_rare(np.unique(np.column_stack([strata, kinds]), axis=0, return_inverse=True)[1], split.n_folds)
    some_groups = None if groups is None else groups[~kept]
    tries = 1 if groups is None else split.tries
    best: tuple[float, np.ndarray] | None = None
    problem = ""
    for some in _assignments(strata, labels[~kept], some_groups, kinds, split, seed, tries):
        assignment = np.full(len(labels), NEVER, np.int8)
        assignment[~kept] = some
        problem = split_problem(assignment, known, groups, split.n_folds, targets)
        if not problem:
            unevenness = imbalance(some, labels[~kept], split.n_folds)
            if best is None or unevenness < best[0]:
                best = (unevenness, assignment)
    if best is None:
        ways = ["split.rare=keep_in_train never holds such rows out"] if "lack" in problem and not kept.any() else []
        raise FoldwiseError(
            f"split.kind={split.kind} split.n_folds={split.n_folds}: no valid split in {tries} tries: {problem}; "
            + "; ".join([*ways, "lower split.n_folds or raise split.tries"])
        )
    return best[1]


def split_problem(
    assignment: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    n_folds: int,
    targets: Sequence[str] = (),
) -> str:
    """Return why the assignment (n,) is no valid split, or an empty string; rows of fold -1 are never held out.

    >>> split_problem(np.array([0, 1, 1, 1]), np.array([[1], [0], [1], [0]]), np.array(list("aabb")), n_folds=2)
    'a group straddles folds'
    """
    sizes = np.bincount(assignment[assignment >= 0], minlength=n_folds)
    if len(assignment) != len(labels) or len(sizes) != n_folds:
        return "it is no partition of the rows"
    if sizes.min() == 0:
        return f"fold {sizes.argmin()} is empty"
    if groups is not None and pd.DataFrame({"g": groups, "f": assignment}).groupby("g")["f"].nunique().max() > 1:
        return "a group straddles folds"
    classes = classes_of_rows(labels)
    for fold in range(n_folds):
        absent = ~classes[assignment != fold].any(axis=0)
        if absent.any():
            named = ""
            if targets:
                names = class_names(targets)
                shown = [f"{names[k]!r} ({count_of_rows(classes[:, k].sum())})" for k in np.flatnonzero(absent)[:5]]
                named = f": {', '.join(shown)}"
            return f"the rows outside fold {fold} lack a class{named}"
    return ""


def _rare_rows(labels: np.ndarray, groups: np.ndarray | None, n_folds: int) -> np.ndarray:
    """Return the rows of classes with fewer rows than folds, and all rows of their groups: bool (n,).

    Without them other classes may have become as rare: theirs follow.
    """
    classes = classes_of_rows(labels)
    kept = np.zeros(len(labels), bool)
    units = np.arange(len(labels)) if groups is None else groups
    while True:
        counts = np.array([len(np.unique(units[~kept & classes[:, k]])) for k in range(classes.shape[1])])
        found = ~kept & classes[:, (counts > 0) & (counts < n_folds)].any(axis=1)
        if not found.any():
            return kept
        kept |= np.isin(units, units[found])


def classes_of_rows(labels: np.ndarray) -> np.ndarray:
    """Return which classes each row of labels (n, k) has: bool (n, k), or (n, 2) for one label: no and yes."""
    is_one = labels > 0.5
    return np.column_stack([~is_one, is_one]) if labels.shape[1] == 1 else is_one


def class_names(targets: Sequence[str]) -> list[str]:
    """Return a name for each column of `classes_of_rows`."""
    return [f"{targets[0]}={value}" for value in (0, 1)] if len(targets) == 1 else list(targets)


def count_of_rows(count: int) -> str:
    """Return a number of rows in words.

    >>> count_of_rows(1), count_of_rows(2)
    ('1 row', '2 rows')
    """
    return f"{count} row{'s' if count != 1 else ''}"


def _strata(labels: np.ndarray, task: Task, n_folds: int) -> np.ndarray:
    """Return a class number for each row; combinations of labels too rare to stratify share one.

    The classes of a regression are quantile bins of its first target: min(10, rows // (2 folds)) of them, at least 1.
    Rows of equal value share a bin.

    >>> _strata(np.array([[0.5], [7.0], [3.0], [0.1], [9.0], [8.0], [2.0], [1.0]]), "regression", n_folds=2).tolist()
    [0, 1, 1, 0, 1, 1, 0, 0]
    """
    if task == "regression":
        n_bins = max(1, min(10, len(labels) // (2 * n_folds)))
        edges = np.quantile(labels[:, 0], np.arange(1, n_bins) / n_bins)
        bins = np.searchsorted(edges, labels[:, 0], side="right")
        return np.unique(_merge_rare(bins, n_folds), return_inverse=True)[1]
    if task != "multilabel":
        return labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0].astype(int)
    return _merge_rare(pd.factorize(pd.Series(map(bytes, labels.astype(np.uint8))))[0], n_folds)


def _merge_rare(strata: np.ndarray, n_folds: int) -> np.ndarray:
    """Replace the numbers of strata with fewer rows than folds by -1, so that they form one stratum."""
    return np.where(np.bincount(strata)[strata] < n_folds, -1, strata)


def _assignments(
    strata: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    kinds: np.ndarray | None,
    split: SplitSettings,
    seed: int,
    tries: int,
) -> Iterator[np.ndarray]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

    counts = np.unique(strata, return_counts=True)[1]
    if split.kind in ("stratified", "stratified_group") and counts.max() < split.n_folds:
        raise FoldwiseError(
            f"split.n_folds={split.n_folds}: the largest class has {counts.max()} rows; there must be at least as "
            "many rows of a class as folds"
        )
    n_groups = split.n_folds if groups is None else len(np.unique(groups))
    if n_groups < split.n_folds:
        raise FoldwiseError(f"split.n_folds={split.n_folds}: there are only {n_groups} groups to share out")
    for attempt in range(tries):
        number = (seed * 1000 + attempt) % 2**32
        if split.kind in ("iterative", "iterative_group"):
            yield _iterative(labels, groups, kinds, split.n_folds, np.random.default_rng(number))
            continue
        options = {"n_splits": split.n_folds, "shuffle": True, "random_state": number}
        if groups is None:
            splitter = StratifiedKFold(**options)
        else:
            splitter = (GroupKFold if split.kind == "group" else StratifiedGroupKFold)(**options)
        assignment = np.full(len(strata), -1, np.int8)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # it has no name there: see _log_rare
            for fold, (_, held_out) in enumerate(splitter.split(strata, strata, groups)):
                assignment[held_out] = fold
        yield assignment


def _iterative(
    labels: np.ndarray,
    groups: np.ndarray | None,
    kinds: np.ndarray | None,
    n_folds: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Share out each label, and each kind of row, evenly, of whole groups where there are any: int8 (n,)."""
    counts = classes_of_rows(labels)
    if kinds is not None:
        counts = np.column_stack([counts, kinds[:, None] == np.unique(kinds)])
    if groups is None:
        return iterative_folds(counts.astype(np.int64), np.ones(len(labels), np.int64), n_folds, rng)
    number = np.unique(groups, return_inverse=True)[1]
    together = np.zeros((number.max() + 1, counts.shape[1]), np.int64)
    np.add.at(together, number, counts)
    return iterative_folds(together, np.bincount(number), n_folds, rng)[number]


def imbalance(assignment: np.ndarray, labels: np.ndarray, n_folds: int) -> float:
    """Return the largest deviation of a fold from the whole, in size and in class shares, as a share."""
    sizes = np.bincount(assignment, minlength=n_folds) / len(assignment)
    shares = np.array([labels[assignment == fold].mean(axis=0) for fold in range(n_folds)])
    return float(abs(sizes * n_folds - 1).max() + abs(shares - labels.mean(axis=0)).max())
