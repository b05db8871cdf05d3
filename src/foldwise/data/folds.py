"""Folds: which rows are held out when. Folds are data: written once, shared by every model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import SplitSettings, Task, changed
from foldwise.storage import content_key, written_aside

log = logging.getLogger(__name__)

VERSION = 1


def read_folds(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds of `split`: columns id, repeat and fold, a row for each sample and repeat.

    They are those that `write_folds` wrote, or else those that it would write.

    Raises ConfigError for split=other, and FoldwiseError where no valid assignment is found.
    """
    if split.kind == "other":
        raise ConfigError("split.kind=other: only `foldwise import` takes predictions of other folds")
    path = folds_path(dataset, split)
    return pd.read_parquet(path) if path.is_file() else _assign_repeats(dataset, split)


def write_folds(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds of `split` as `read_folds` does, once they are written, with a table of their balance."""
    table, path = read_folds(dataset, split), folds_path(dataset, split)
    if not path.is_file():
        balance = balance_table(table, dataset)
        with written_aside(path.with_name(path.stem + "_balance.csv")) as aside:
            balance.to_csv(aside, index=False)
        with written_aside(path) as aside:
            table.to_parquet(aside, index=False)
        log.info("folds written to %s\n%s", path, balance.to_string(index=False, float_format="%.4f"))
    return table


def folds_path(dataset: Dataset, split: SplitSettings) -> Path:
    """Return the path of the folds, in the folder of the data that they split."""
    return dataset.path / f"folds_{split_key(dataset, split)}.parquet"


def first_folds(folds: pd.DataFrame, ids: pd.Series) -> np.ndarray:
    """Return the fold of each id in the first repeat, (n,)."""
    return folds[folds["repeat"] == 0].set_index("id")["fold"].loc[ids].to_numpy()


def split_key(dataset: Dataset, split: SplitSettings) -> str:
    """Hash what decides the folds: the ids, labels and groups, and the split's settings."""
    images = dataset.data_key if split.near_duplicates is not None else None
    return content_key(["split", VERSION, dataset.ids_key, images, changed(split)])


def assign_folds(
    labels: np.ndarray,
    groups: np.ndarray | None,
    split: SplitSettings,
    seed: int,
    task: Task = "binary",
    kinds: np.ndarray | None = None,
) -> np.ndarray:
    """Assign each of the n rows, labels (n, k), to one of `split.n_folds` folds: int8 (n,).

    Rows are stratified by their classes (in a regression, the quantile bins of the first target) and, with kinds int
    (n,), by both: each kind shares out its own classes.
    With groups (n,), all rows of a group share a fold, and of `split.tries` seeded assignments the one
    whose folds are most alike in size and in class shares is kept.

    Raises FoldwiseError if no valid assignment is found: each fold must hold rows, each training part
    must hold every class.

    >>> labels = np.array([[0], [0], [1], [1]])
    >>> fold = assign_folds(labels, None, SplitSettings(kind="stratified", n_folds=2), seed=0)
    >>> sorted(fold[:2].tolist()), sorted(fold[2:].tolist())  # a row of each class in each fold
    ([0, 1], [0, 1])
    """
    strata = _strata(labels, task, split.n_folds)
    known = labels
    if task == "regression":  # folds are balanced by the bins, and none of these must be in every part
        labels, known = np.eye(strata.max() + 1)[strata], labels[:, :0]
    if kinds is not None:
        strata = _merge_rare(np.unique(np.column_stack([strata, kinds]), axis=0, return_inverse=True)[1], split.n_folds)
    tries = 1 if groups is None else split.tries
    best: tuple[float, np.ndarray] | None = None
    problem = ""
    for assignment in _assignments(strata, groups, split, seed, tries):
        problem = split_problem(assignment, known, groups, split.n_folds)
        if not problem:
            imbalance = _imbalance(assignment, labels, split.n_folds)
            if best is None or imbalance < best[0]:
                best = (imbalance, assignment)
    if best is None:
        raise FoldwiseError(
            f"split.kind={split.kind} split.n_folds={split.n_folds}: no valid split in {tries} tries: {problem}; "
            "lower split.n_folds or raise split.tries"
        )
    return best[1]


def split_problem(assignment: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, n_folds: int) -> str:
    """Return why the assignment (n,) is no valid split, or an empty string.

    >>> split_problem(np.array([0, 1, 1, 1]), np.array([[1], [0], [1], [0]]), np.array(list("aabb")), n_folds=2)
    'a group straddles folds'
    """
    sizes = np.bincount(assignment, minlength=n_folds)
    if len(assignment) != len(labels) or len(sizes) != n_folds:
        return "it is no partition of the rows"
    if sizes.min() == 0:
        return f"fold {sizes.argmin()} is empty"
    if groups is not None and pd.DataFrame({"g": groups, "f": assignment}).groupby("g")["f"].nunique().max() > 1:
        return "a group straddles folds"
    for fold in range(n_folds):
        positives = labels[assignment != fold].sum(axis=0)
        absent = (positives == 0) | ((positives == (assignment != fold).sum()) & (labels.shape[1] == 1))
        if absent.any():
            return f"the rows outside fold {fold} lack a class"
    return ""


def balance_table(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return a row for each fold: rows, groups where there are any, and the share of each target."""
    known = [*dataset.targets, *(["group"] if "group" in dataset.train.table else [])]
    joined = table.merge(dataset.train.table[["id", *known]], on="id", validate="many_to_one")
    grouped = joined.groupby(["repeat", "fold"])
    balance = grouped.size().rename("rows").to_frame()
    if "group" in known:
        balance["groups"] = grouped["group"].nunique()
    return balance.join(grouped[dataset.targets].mean()).reset_index()


def _assign_repeats(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    groups = _groups(dataset, split)
    kinds = None
    if dataset.structure.categories:
        kinds = dataset.train.table.groupby(list(dataset.structure.categories)).ngroup().to_numpy()
    assigned = [
        assign_folds(dataset.labels, groups, split, split.seed + repeat, dataset.task, kinds)
        for repeat in range(split.repeats)
    ]
    ids = dataset.train.table["id"]
    return pd.concat(
        [pd.DataFrame({"id": ids, "repeat": np.int8(r), "fold": fold}) for r, fold in enumerate(assigned)],
        ignore_index=True,
    )


def _groups(dataset: Dataset, split: SplitSettings) -> np.ndarray | None:
    """Return a group number for each row, or None for a split by row."""
    groups = None
    if split.kind != "stratified":
        if dataset.train.groups is None:
            raise ConfigError(
                f"split.kind={split.kind}: the data has no column that groups rows; say split.kind=stratified, or "
                "name one (competition.options.group_column for a folder)"
            )
        groups = pd.factorize(dataset.train.groups)[0]
    if split.near_duplicates is not None:
        groups = _join_groups(
            groups, near_duplicates(dataset.train.images, split.near_duplicates), len(dataset.train.table)
        )
    return groups


def near_duplicates(images: np.ndarray, distance: int) -> np.ndarray:
    """Return the pairs of rows, int (p, 2), whose perceptual hashes differ in at most `distance` of 64 bits.

    The hash is ImageHash's pHash of the mean over channels, stretched to 8 bits; views of a sample are
    hashed side by side.
    """
    import imagehash
    from PIL import Image

    hashes = np.empty(len(images), np.uint64)
    for i, image in enumerate(images):
        grey = image.astype(np.float32).mean(axis=-1).reshape(-1, image.shape[-2])
        low, high = grey.min(), grey.max()
        grey = (grey - low) * (255 / max(high - low, 1e-6))
        bits = imagehash.phash(Image.fromarray(grey.astype(np.uint8))).hash
        hashes[i] = np.packbits(bits).view(np.uint64)[0]
    pairs = [
        np.column_stack([np.full(len(near), i), near + i + 1])
        for i in range(len(hashes))
        if len(near := np.flatnonzero(np.bitwise_count(hashes[i + 1 :] ^ hashes[i]) <= distance))
    ]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), int)


def _join_groups(groups: np.ndarray | None, pairs: np.ndarray, n: int) -> np.ndarray:
    """Join groups that a pair connects."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.arange(n) if groups is None else groups
    size = groups.max() + 1
    edges = coo_array((np.ones(len(pairs)), (groups[pairs[:, 0]], groups[pairs[:, 1]])), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][groups])


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
    strata: np.ndarray, groups: np.ndarray | None, split: SplitSettings, seed: int, tries: int
) -> Iterator[np.ndarray]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

    counts = np.unique(strata, return_counts=True)[1]
    if split.kind != "group" and counts.max() < split.n_folds:
        raise FoldwiseError(
            f"split.n_folds={split.n_folds}: the largest class has {counts.max()} rows; there must be at least as "
            "many rows of a class as folds"
        )
    n_groups = split.n_folds if groups is None else len(np.unique(groups))
    if n_groups < split.n_folds:
        raise FoldwiseError(f"split.n_folds={split.n_folds}: there are only {n_groups} groups to share out")
    for attempt in range(tries):
        options = {
            "n_splits": split.n_folds,
            "shuffle": True,
            "random_state": (seed * 1000 + attempt) % 2**32,
        }
        if groups is None:
            splitter = StratifiedKFold(**options)
        else:
            splitter = (GroupKFold if split.kind == "group" else StratifiedGroupKFold)(**options)
        assignment = np.full(len(strata), -1, np.int8)
        for fold, (_, held_out) in enumerate(splitter.split(strata, strata, groups)):
            assignment[held_out] = fold
        yield assignment


def _imbalance(assignment: np.ndarray, labels: np.ndarray, n_folds: int) -> float:
    """Return the largest deviation of a fold from the whole, in size and in class shares, as a share."""
    sizes = np.bincount(assignment, minlength=n_folds) / len(assignment)
    shares = np.array([labels[assignment == fold].mean(axis=0) for fold in range(n_folds)])
    return float(abs(sizes * n_folds - 1).max() + abs(shares - labels.mean(axis=0)).max())
