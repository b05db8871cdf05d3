"""Folds: which rows are held out when. Folds are data: written once, shared by every model."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset, Split
from foldwise.data.fold_files import NEVER, read_fold_file
from foldwise.data.iterative import iterative_folds
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import SplitSettings, Task, changed
from foldwise.storage import content_key, written_aside

log = logging.getLogger(__name__)

VERSION = 1


def read_folds(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds of `split`: columns id, repeat and fold, a row for each held-out sample and repeat.

    They are those that `write_folds` wrote, or else those that it would write. Samples that are never held out, and so
    train every fold, are not in it: see `held_out_part`.

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
        _log_rare(table, dataset, split)
    return table


def read_scored(dataset: Dataset, split: SplitSettings) -> tuple[Dataset, pd.DataFrame]:
    """Return the part of the data that the split holds out, which alone has out-of-fold predictions, and the folds."""
    folds = read_folds(dataset, split)
    return held_out_part(dataset, folds), folds


def held_out_part(dataset: Dataset, folds: pd.DataFrame) -> Dataset:
    """Return the data with those training rows alone that some fold holds out, without their images."""
    table = dataset.train.table
    is_held_out = table["id"].isin(folds["id"])
    if is_held_out.all():
        return dataset
    part = Split(dataset.train.images[:0], table[is_held_out].reset_index(drop=True))
    return replace(dataset, train=part)


def counted_split(dataset: Dataset, split: SplitSettings) -> SplitSettings:
    """Return the settings of the split with the numbers of folds and repeats that its file has, if it has one."""
    if split.kind != "file":
        return split
    folds = _file_folds(dataset, split)
    return replace(split, n_folds=int(folds["fold"].max()) + 1, repeats=int(folds["repeat"].max()) + 1)


def folds_path(dataset: Dataset, split: SplitSettings) -> Path:
    """Return the path of the folds, in the folder of the data that they split."""
    return dataset.path / f"folds_{split_key(dataset, split)}.parquet"


def first_folds(folds: pd.DataFrame, ids: pd.Series) -> np.ndarray:
    """Return the fold of each id in the first repeat, (n,)."""
    return folds[folds["repeat"] == 0].set_index("id")["fold"].loc[ids].to_numpy()


def split_key(dataset: Dataset, split: SplitSettings) -> str:
    """Hash what decides the folds: the ids, labels and groups, and the split's settings, or the folds of its file."""
    if split.kind == "file":
        folds = _file_folds(dataset, split)["fold"].to_numpy(np.int8)
        return content_key(["split", VERSION, dataset.ids_key, "file", hashlib.sha256(folds.tobytes()).hexdigest()])
    images = dataset.data_key if split.near_duplicates is not None else None
    return content_key(["split", VERSION, dataset.ids_key, images, changed(split)])


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
        if _classes(labels[~kept]).any(axis=0).sum() < 2:
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
            imbalance = _imbalance(some, labels[~kept], split.n_folds)
            if best is None or imbalance < best[0]:
                best = (imbalance, assignment)
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
    classes = _classes(labels)
    for fold in range(n_folds):
        absent = ~classes[assignment != fold].any(axis=0)
        if absent.any():
            named = ""
            if targets:
                names = _class_names(targets)
                shown = [f"{names[k]!r} ({_rows(classes[:, k].sum())})" for k in np.flatnonzero(absent)[:5]]
                named = f": {', '.join(shown)}"
            return f"the rows outside fold {fold} lack a class{named}"
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
    if split.kind == "file":
        folds = _file_folds(dataset, split)
        return folds[folds["fold"] != NEVER].reset_index(drop=True)
    groups = _groups(dataset, split)
    kinds = None
    if dataset.structure.categories:
        kinds = dataset.train.table.groupby(list(dataset.structure.categories)).ngroup().to_numpy()
    assigned = [
        assign_folds(dataset.labels, groups, split, split.seed + repeat, dataset.task, kinds, dataset.targets)
        for repeat in range(split.repeats)
    ]
    ids = dataset.train.table["id"]
    parts = [pd.DataFrame({"id": ids, "repeat": np.int8(r), "fold": fold}) for r, fold in enumerate(assigned)]
    return pd.concat([part[part["fold"] != NEVER] for part in parts], ignore_index=True)


def _file_folds(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds of `split.file` with a row for each sample and repeat; fold -1 is never held out.

    Raises FoldwiseError, naming the file, where they are no valid split.
    """
    assert split.file is not None
    path = Path(split.file)
    folds = read_fold_file(path, dataset.train.table["id"], split.column)
    for repeat, part in folds.groupby("repeat"):
        assignment, groups = part["fold"].to_numpy(), dataset.train.groups
        n_folds = int(assignment.max()) + 1
        labels = dataset.labels[:, :0] if dataset.task == "regression" else dataset.labels
        problem = split_problem(assignment, labels, groups, n_folds, dataset.targets)
        if "straddles" in problem:
            both = pd.DataFrame({"id": part["id"].to_numpy(), "group": groups, "fold": assignment})
            mixed = both[both.groupby("group")["fold"].transform("nunique") > 1]
            one = mixed[mixed["group"] == mixed["group"].iloc[0]].drop_duplicates("fold")[:2]
            problem = (
                f"{mixed['group'].nunique()} groups straddle folds: {one['id'].iloc[0]!r} and {one['id'].iloc[1]!r} of "
                f"the group {one['group'].iloc[0]} are in the folds {one['fold'].iloc[0]} and {one['fold'].iloc[1]} "
                "(counted from 0); a fold's rows would be predicted by a model that saw their group"
            )
        if problem:
            raise FoldwiseError(f"{path}{f', repeat {repeat}' if repeat else ''}: no valid split: {problem}")
    return folds


def _rare_rows(labels: np.ndarray, groups: np.ndarray | None, n_folds: int) -> np.ndarray:
    """Return the rows of classes with fewer rows than folds, and all rows of their groups: bool (n,).

    Without them other classes may have become as rare: theirs follow.
    """
    classes = _classes(labels)
    kept = np.zeros(len(labels), bool)
    units = np.arange(len(labels)) if groups is None else groups
    while True:
        counts = np.array([len(np.unique(units[~kept & classes[:, k]])) for k in range(classes.shape[1])])
        found = ~kept & classes[:, (counts > 0) & (counts < n_folds)].any(axis=1)
        if not found.any():
            return kept
        kept |= np.isin(units, units[found])


def _log_rare(table: pd.DataFrame, dataset: Dataset, split: SplitSettings) -> None:
    """Log the classes that some folds cannot hold out, and the rows that none does."""
    classes, names = _classes(dataset.labels), _class_names(dataset.targets)
    counts, n_folds = classes.sum(axis=0), counted_split(dataset, split).n_folds
    rare = [] if dataset.task == "regression" else np.flatnonzero(counts < n_folds).tolist()
    n_never = int((~dataset.train.table["id"].isin(table["id"])).sum())
    if n_never:
        log.info(
            "%d of %d training rows are never held out: they train every fold and have no out-of-fold prediction, so "
            "that no score counts them",
            n_never,
            len(classes),
        )
    if rare and split.rare == "spread" and split.kind != "file":
        log.warning(
            "fewer rows than folds (%d): %s; some folds hold none out. split.rare=keep_in_train trains on them alone",
            n_folds,
            ", ".join(f"{names[k]!r} ({_rows(counts[k])})" for k in rare[:8]),
        )


def _classes(labels: np.ndarray) -> np.ndarray:
    """Return which classes each row of labels (n, k) has: bool (n, k), or (n, 2) for one label: no and yes."""
    is_one = labels > 0.5
    return np.column_stack([~is_one, is_one]) if labels.shape[1] == 1 else is_one


def _class_names(targets: Sequence[str]) -> list[str]:
    return [f"{targets[0]}={value}" for value in (0, 1)] if len(targets) == 1 else list(targets)


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"


def _groups(dataset: Dataset, split: SplitSettings) -> np.ndarray | None:
    """Return a group number for each row, or None for a split by row."""
    groups = None
    if split.kind not in ("stratified", "iterative"):
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
    counts = _classes(labels)
    if kinds is not None:
        counts = np.column_stack([counts, kinds[:, None] == np.unique(kinds)])
    if groups is None:
        return iterative_folds(counts.astype(np.int64), np.ones(len(labels), np.int64), n_folds, rng)
    number = np.unique(groups, return_inverse=True)[1]
    together = np.zeros((number.max() + 1, counts.shape[1]), np.int64)
    np.add.at(together, number, counts)
    return iterative_folds(together, np.bincount(number), n_folds, rng)[number]


def _imbalance(assignment: np.ndarray, labels: np.ndarray, n_folds: int) -> float:
    """Return the largest deviation of a fold from the whole, in size and in class shares, as a share."""
    sizes = np.bincount(assignment, minlength=n_folds) / len(assignment)
    shares = np.array([labels[assignment == fold].mean(axis=0) for fold in range(n_folds)])
    return float(abs(sizes * n_folds - 1).max() + abs(shares - labels.mean(axis=0)).max())
