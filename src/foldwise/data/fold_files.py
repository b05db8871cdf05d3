"""Folds of one's own: a CSV or parquet that holds the fold of each id."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.ids import likely_pair, repaired_ids
from foldwise.data.parquet_files import read_parquet
from foldwise.errors import FoldwiseError, choices
from foldwise.storage import check_is_file, check_widths, clear_csv_errors

log = logging.getLogger(__name__)

FOLD_NAMES = ("fold", "folds", "kfold", "k_fold", "fold_id", "foldid", "fold_number", "cv_fold")
MOST = 100  # folds
NEVER = -1  # the fold of rows that are never held out


def read_fold_file(path: Path, ids: pd.Series, column: str | None = None, key: str = "split.file") -> pd.DataFrame:
    """Read a file of folds: columns id, repeat and fold, a row for each of `ids` and repeat, in their order.

    The file has a column of ids under any name, a column of whole numbers named fold, kfold or like `column`, and may
    have a column `repeat`. The folds are numbered anew from 0; -1 stays, for rows that are never held out. Ids that
    lost zeros, a suffix or a folder are repaired where that is certain.

    key: of the settings, for messages.
    Raises FoldwiseError, naming the file and the ids, unless every id has one fold, and each repeat at least two folds.
    """
    table = _table(path, key)
    fold_column = _fold_column(path, table, column, key)
    given = _with_ids(path, table, ids, fold_column)
    folds, repeats = _numbers(path, given, fold_column), pd.Series(0, index=given.index)
    if "repeat" in given:
        repeats = _numbers(path, given, "repeat")
    named = pd.DataFrame({"id": given["id"], "repeat": repeats, "fold": folds}).drop_duplicates()
    twice = named[named.duplicated(["id", "repeat"])]
    if len(twice):
        both = sorted(named.loc[named["id"] == twice["id"].iloc[0], "fold"].unique())
        raise FoldwiseError(f"{path}: {twice['id'].iloc[0]!r} is in the folds {both[0]} and {both[1]}; expected one")
    parts = []
    for number, (repeat, part) in enumerate(named.groupby("repeat")):
        part = part.set_index("id")["fold"].reindex(ids)
        missing = list(part.index[part.isna()])
        if missing:
            where = f" in repeat {repeat}" if "repeat" in given else ""
            raise FoldwiseError(
                f"{path}: {len(missing)} of {len(ids)} training ids have no fold{where}: {_first(missing)}; expected "
                "each once (-1 is the fold of a row that is never held out)"
            )
        values = sorted(set(part) - {NEVER})
        if not 2 <= len(values) <= MOST:
            raise FoldwiseError(
                f"{path}: expected 2 to {MOST} folds in the column {fold_column!r}, found {len(values)}; every fold is "
                "held out once, and rows of fold -1 never"
            )
        numbered = part.map({NEVER: NEVER} | {value: i for i, value in enumerate(values)}).to_numpy(np.int8)
        parts.append(pd.DataFrame({"id": ids.to_numpy(), "repeat": np.int8(number), "fold": numbered}))
    if len({(part["fold"].max(), (part["fold"] == NEVER).to_numpy().tobytes()) for part in parts}) > 1:
        raise FoldwiseError(f"{path}: the repeats differ in their number of folds or in the rows that have fold -1")
    return pd.concat(parts, ignore_index=True)


def _table(path: Path, key: str) -> pd.DataFrame:
    """Read the file as text."""
    check_is_file(path)
    if not path.is_file():
        raise FoldwiseError(f"{key}={path}: no such file; expected a CSV or parquet with the columns id and fold")
    if path.suffix == ".parquet":
        return read_parquet(path).astype(str).fillna("")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
    separator = next((one for one in (",", ";", "\t") if one in head), ",")
    with clear_csv_errors(str(path)):
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator, encoding="utf-8-sig")
    check_widths(table, str(path))
    return table


def _fold_column(path: Path, table: pd.DataFrame, column: str | None, key: str) -> str:
    if column is not None:
        if column not in table:
            raise FoldwiseError(f"{path}: there is no column {column!r}; {choices(column, table.columns)}")
        return column
    found = [name for name in table if name.lower() in FOLD_NAMES]
    if len(found) == 1:
        return str(found[0])
    state = "several could hold the folds" if found else "none is named fold or kfold"
    advice = "name it by split.column=NAME" if key == "split.file" else "name it fold"
    raise FoldwiseError(f"{path}: of the columns {', '.join(found or table)} {state}; {advice}")


def _with_ids(path: Path, table: pd.DataFrame, ids: pd.Series, fold_column: str) -> pd.DataFrame:
    """Return the table with a column `id` that holds training ids alone."""
    wanted = set(ids)
    columns = [name for name in table if name not in (fold_column, "repeat")]
    held = {name: table[name].isin(wanted).sum() for name in columns}
    best = max(columns, key=lambda name: held[name], default=None)
    if best is None:
        raise FoldwiseError(f"{path}: there is no column of ids next to {fold_column!r}")
    if held[best] == 0:
        for name in columns:
            if mapped := repaired_ids(table[name].unique(), ids):
                theirs, mine = next(iter(mapped.items()))
                _log_once(f"{path}: its ids differ from ours: {theirs!r} is read as {mine!r}")
                best, table = name, table.assign(**{name: table[name].replace(mapped)})
                break
        else:
            best = "id" if "id" in columns else columns[0]
    given = table.drop(columns="id") if "id" in table and best != "id" else table
    given = given.rename(columns={best: "id"})
    unknown = set(given["id"]) - wanted
    if unknown:
        theirs, mine = likely_pair(unknown, wanted)
        raise FoldwiseError(
            f"{path}: {len(unknown)} ids of the column {best!r} are not in the training data: "
            f"{_first(sorted(unknown))}; the nearest to {theirs!r} there is {mine!r}; expected each training id once "
            "and no other"
        )
    return given


@cache
def _log_once(text: str) -> None:
    """Log what every reading of a file finds; a command reads it several times."""
    log.warning(text)


def _numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """Return a column as whole numbers."""
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = ~(numbers % 1 == 0) | (numbers < NEVER)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise FoldwiseError(
            f"{path}, row {row + 1}: {column!r} of {table['id'].iloc[row]!r} is {table[column].iloc[row]!r}, expected "
            f"a whole number from 0, or -1 for a row that is never held out ({int(wrong.sum())} rows are wrong)"
        )
    return numbers.astype(np.int64)


def _first(some: list[str]) -> str:
    """Return the first few of several ids as text.

    >>> _first(["a", "b", "c", "d"])
    "'a', 'b', 'c', ..."
    """
    return ", ".join([*map(repr, some[:3]), *(["..."] if len(some) > 3 else [])])
