"""Files of predictions that were made elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.ids import likely_pair, repaired_ids
from foldwise.data.parquet_files import read_parquet
from foldwise.errors import FoldwiseError
from foldwise.settings import ONE_CLASS, Task
from foldwise.storage import check_is_file, check_widths, clear_csv_errors

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".parquet")
SUM_TOLERANCE = 1e-3  # of the sum of a multiclass row, which files round


def read_predictions(
    path: Path,
    ids: pd.Series,
    targets: list[str],
    task: Task,
    *,
    repair: str | None = None,
    repair_key: str = "imports.ids",
    never_held_out: frozenset[str] = frozenset(),
) -> pd.DataFrame:
    """Read a CSV or parquet of predictions: id first, the targets, and `fold` where it is there; in the order of ids.

    repair: "repaired" for ids that may lack zeros before a number, have a suffix or a folder more or less, or lie in
        another column than `id` or the first; each is repaired where that is certain.
    repair_key: of the setting that `repair` comes from, for messages.
    never_held_out: ids whose rows are left out.

    Raises FoldwiseError, naming the file, where it is not one prediction for each of the ids: in [0, 1], or a finite
    number in a regression.
    """
    most = 2 * (len(ids) + len(never_held_out)) + 1000  # else they are not for these ids, and are not read
    table = _table(path, most)
    key = _id_column(path, table, ids, targets)
    if key not in (table.columns[0], "id"):
        table = _table(path, most, key)
    table = table.drop(columns="id") if key != "id" and "id" in table else table
    table = table.rename(columns={key: "id"})
    table["id"] = table["id"].astype(str).fillna("")
    values = [name for name in table if name not in ("id", "fold", "repeat") and not _is_index(name, table)]
    if len(targets) == 1 and targets[0] not in table and len(values) == 1:
        table = table.rename(columns={values[0]: targets[0]})
    absent = [target for target in targets if target not in table]
    if absent:
        raise FoldwiseError(
            f"{path}: the column {absent[0]!r} is missing; expected id, {', '.join(targets)}; it has {', '.join(table)}"
        )
    if never_held_out:
        table = table[~table["id"].isin(never_held_out)]
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise FoldwiseError(f"{path}: duplicate id {twice.iloc[0]!r}")
    table = _with_our_ids(path, table, ids, repair, repair_key)
    table = table.set_index("id", drop=False).loc[ids].reset_index(drop=True)
    numbers = table[targets].apply(_as_numbers)
    p = numbers.to_numpy()
    wrong = ~np.isfinite(p).all(axis=1) if task == "regression" else ~((p >= 0) & (p <= 1)).all(axis=1)
    if task in ONE_CLASS:
        wrong |= abs(p.sum(axis=1) - 1) > SUM_TOLERANCE
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        expected = "probabilities in [0, 1]" + (" that sum to 1" if task in ONE_CLASS else "")
        expected = "finite numbers" if task == "regression" else expected
        raise FoldwiseError(
            f"{path}: the prediction for {table['id'].iloc[row]!r} is {p[row].tolist()}, expected {expected} and none "
            f"missing{_likely_cause(p, task)}"
        )
    if task in ONE_CLASS:
        numbers = numbers.div(numbers.sum(axis=1), axis=0)
    table[targets] = numbers
    return table


def _as_numbers(column: pd.Series) -> pd.Series:
    """Return a column as float64, NaN where it is no number; dates are none."""
    if column.dtype.kind in "mM":
        return pd.Series(np.nan, index=column.index)
    return pd.to_numeric(column, errors="coerce").astype(np.float64)


def _id_column(path: Path, table: pd.DataFrame, ids: pd.Series, targets: list[str]) -> str:
    """Return the column of the ids: `id` or the first one, or else one that holds our ids, or nearly."""
    usual = "id" if "id" in table else str(table.columns[0])
    wanted = set(ids.to_list())  # the items of a series of text, one after the other, take ten times as long
    if not wanted.isdisjoint(table[usual].astype(str).to_list()):
        return usual
    text = (
        pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else table.astype(str).fillna("")
    )
    names = [name for name in table if name not in (*targets, "fold", "repeat") and not _is_index(name, table)]
    held = {name: text[name].isin(wanted).sum() for name in names}
    best = max(names, key=lambda name: held[name], default=usual)
    if held.get(best):
        return best
    return next((name for name in names if repaired_ids(text[name].unique(), ids)), usual)


def _with_our_ids(path: Path, table: pd.DataFrame, ids: pd.Series, repair: str | None, repair_key: str) -> pd.DataFrame:
    """Return the table with our ids, each once; raise FoldwiseError where it has others or lacks some."""
    wanted, given = set(ids.to_list()), set(table["id"].to_list())
    if wanted == given:
        return table
    mapped = repaired_ids(table["id"], ids) or {}
    if repair == "repaired" and mapped.keys() >= given and set(mapped.values()) == wanted:
        changed = {theirs: ours for theirs, ours in mapped.items() if theirs != ours}
        theirs, ours = next(iter(changed.items()))
        log.info("%s: %d ids repaired, such as %r to %r", path, len(changed), theirs, ours)
        return table.assign(id=table["id"].map(mapped))
    if given - wanted:
        example = min(given - wanted)
        if example in mapped:
            near = f", which may mean {mapped[example]!r}"
            near += f"; {repair_key}=repaired reads it so" if repair != "repaired" else ""
        else:
            near = f"; the nearest there is {likely_pair(given - wanted, wanted)[1]!r}"
        raise FoldwiseError(
            f"{path}: {len(given - wanted)} of its ids are not in the data, for example {example!r}{near}"
        )
    raise FoldwiseError(f"{path}: {len(wanted - given)} ids are missing, for example {min(wanted - given)!r}")


def _likely_cause(p: np.ndarray, task: str) -> str:
    """Return what values outside [0, 1] probably are, where they have a pattern."""
    if task == "regression" or not np.isfinite(p).all():
        return ""
    if p.min() < 0:
        return "; they look like logits: give 1 / (1 + exp(-x)), or the softmax of a row"
    is_of_hundred = p.max() <= 100 + 100 * SUM_TOLERANCE and p.max() > 2
    if task in ONE_CLASS:
        is_of_hundred &= bool((abs(p.sum(axis=1) - 100) < 100 * SUM_TOLERANCE).all())
    return "; they look like per cent: divide them by 100" if is_of_hundred else ""


def _is_index(name: str, table: pd.DataFrame) -> bool:
    """Tell whether a column is an index that pandas wrote: without a name, with the numbers of the rows."""
    return str(name).startswith("Unnamed: ") and list(table[name].astype(str)) == [str(i) for i in range(len(table))]


def _table(path: Path, most_rows: int, *text: str) -> pd.DataFrame:
    """Read a file of at most so many rows; the first column, `id` and the columns `text` are read as text."""
    if path.suffix == ".parquet":
        return read_parquet(path, most_rows)
    if path.suffix != ".csv":
        raise FoldwiseError(f"{path}: expected a .csv or a .parquet file")
    check_is_file(path)
    with clear_csv_errors(str(path)):
        names: list[int | str] = [0, "id", *text]
        table = pd.read_csv(path, converters=dict.fromkeys(names, str), nrows=most_rows + 1)
    check_widths(table, str(path))
    if len(table) > most_rows:
        raise FoldwiseError(f"{path}: it has more than {most_rows:,} rows, many more than the data")
    return table
