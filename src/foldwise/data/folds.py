"""Folds: which rows are held out when. Folds are data: written once, shared by every model."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data import checksums
from foldwise.data.assign_folds import assign_folds, class_names, classes_of_rows, count_of_rows, split_problem
from foldwise.data.dataset import Dataset, Split
from foldwise.data.fold_files import NEVER, read_fold_file
from foldwise.data.near_duplicates import join_groups, near_duplicates
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import SplitSettings, changed
from foldwise.storage import content_key, readable, sha256, written_aside

log = logging.getLogger(__name__)

VERSION = 1


def read_folds(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds of `split`: columns id, repeat and fold, a row for each held-out sample and repeat.

    They are those that `write_folds` wrote, or else those that it would write. Samples that are never held out, and so
    train every fold, are not in it: see `held_out_part`.

    Raises ConfigError for split=other, and FoldwiseError where no valid assignment is found.
    """
    return _folds_at(folds_path(dataset, split), dataset, split)


def write_folds(dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds of `split` as `read_folds` does, once they are written, with a table of their balance."""
    path = folds_path(dataset, split)
    table = _folds_at(path, dataset, split)
    if not path.is_file():
        balance = balance_table(table, dataset)
        with written_aside(path.with_name(path.stem + "_balance.csv")) as aside:
            balance.to_csv(aside, index=False)
        with written_aside(path) as aside:
            table.to_parquet(aside, index=False)
            checksums.write_one(path, sha256(aside))
        log.info("folds written to %s%s", path, _shown(balance))
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


def counted_split(split: SplitSettings, folds: pd.DataFrame) -> SplitSettings:
    """Return the settings of a split; where a file gives its folds, with the numbers of folds and repeats of these."""
    if split.kind != "file":
        return split
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


def balance_table(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return a row for each fold: rows, groups where there are any, and the share of each target."""
    known = [*dataset.targets, *(["group"] if "group" in dataset.train.table else [])]
    joined = table.merge(dataset.train.table[["id", *known]], on="id", validate="many_to_one")
    grouped = joined.groupby(["repeat", "fold"])
    balance = grouped.size().rename("rows").to_frame()
    if "group" in known:
        balance["groups"] = grouped["group"].nunique()
    return balance.join(grouped[dataset.targets].mean()).reset_index()


def _shown(balance: pd.DataFrame) -> str:
    """Return the table of the folds' balance in lines of 80 characters, or nothing where it has too many columns."""
    for decimals in (4, 2):
        text = balance.to_string(index=False, float_format=f"%.{decimals}f")
        if max(map(len, text.splitlines())) <= 80:
            return f"\n{text}"
    return ""


def _folds_at(path: Path, dataset: Dataset, split: SplitSettings) -> pd.DataFrame:
    """Return the folds that are written at `path`, or those that a split assigns."""
    if split.kind == "other":
        raise ConfigError("split.kind=other: only `foldwise import` takes predictions of other folds")
    return read_table(path) if path.is_file() else _assign_repeats(dataset, split)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of folds that `write_folds` wrote; raise Damaged where it is none."""
    with readable(path, f"`rm {path}` removes it, and `foldwise folds` with the same settings makes it again"):
        table = pd.read_parquet(path)
        return table[["id", "repeat", "fold"]]


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


def _log_rare(table: pd.DataFrame, dataset: Dataset, split: SplitSettings) -> None:
    """Log the classes that some folds cannot hold out, and the rows that none does."""
    classes, names = classes_of_rows(dataset.labels), class_names(dataset.targets)
    counts, n_folds = classes.sum(axis=0), counted_split(split, table).n_folds
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
            ", ".join(f"{names[k]!r} ({count_of_rows(counts[k])})" for k in rare[:8]),
        )


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
        groups = join_groups(
            groups, near_duplicates(dataset.train.images, split.near_duplicates), len(dataset.train.table)
        )
    return groups
