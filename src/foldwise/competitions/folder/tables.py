"""The tables of a folder competition: rows of text with ids, columns from further tables, and what is wrong by row."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foldwise.data.csv_files import read_csv
from foldwise.errors import ConfigError, FoldwiseError, choices

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MISSING = ("", "na", "NA", "n/a", "N/A", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>")
ID = ":id"  # the column of ids, whatever the file calls it; a file may have another one called `id`
SHOWN = 5  # faulty rows that a message lists


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV as text; log what is unusual about the file.

    The index is the number of the row below the header, from 0.

    Raises FoldwiseError, naming the file, where it has no row or lacks one of the columns.
    """
    table, form = read_csv(path)
    if form.notes:
        log.info("%s: %s", path.name, "; ".join(form.notes))
    if table.empty:
        raise FoldwiseError(f"{path.name}: there is no row below the header")
    for column in columns:
        if column not in table:
            raise FoldwiseError(f"{path.name}: the column {column!r} is missing; {choices(column, table.columns)}")
        if column in form.twice:
            raise FoldwiseError(f"{path.name}: the column {column!r} is there more than once; keep one of them")
    return table


def refuse_rows(
    table: pd.DataFrame, wrong: pd.Series | np.ndarray, name: str, what: str | Callable[[int], str], more: str = ""
) -> None:
    """Raise FoldwiseError where a row is wrong: it names the first, counts them, and lists a few.

    wrong: bool (n,). what: what is wrong, or a function of the position of a row that says it.
    """
    positions = np.flatnonzero(np.asarray(wrong))
    if not len(positions):
        return
    rows = [int(table.index[position]) + 1 for position in positions]
    text = what if isinstance(what, str) else what(int(positions[0]))
    count = ""
    if len(rows) > 1:
        listed = ", ".join(map(str, rows[:SHOWN])) + (", ..." if len(rows) > SHOWN else "")
        count = f" ({len(rows)} such rows: {listed})"
    raise FoldwiseError(f"{name}, row {rows[0]}: {text}{count}{more}")


def check_classes(table: pd.DataFrame, column: str, valid: Sequence[str], name: str, hint: str = "") -> None:
    """Raise FoldwiseError where a cell of the label column is none of the valid classes."""
    cells = table[column]
    refuse_rows(
        table,
        ~cells.isin(valid),
        name,
        lambda row: (
            f"the label {column!r} is {cells.iloc[row]!r}, which is no class; {choices(cells.iloc[row], valid)}{hint}"
        ),
    )


def check_ids(table: pd.DataFrame, name: str, split: str, other: pd.Series | None = None) -> None:
    """Raise FoldwiseError where an id of the column `ID` is empty, given twice, or among the training ids `other`."""
    ids = table[ID]
    refuse_rows(table, ids == "", name, "the id is missing")
    refuse_rows(table, ids.duplicated(), name, lambda row: f"duplicate id {ids.iloc[row]!r} in {split}")
    if other is not None:
        hint = "; if these are other images, competition.options.train_prefix=train_ keeps them apart"
        taken = set(other.tolist())  # ten times as fast as `isin` for a million texts
        also = np.fromiter((id_ in taken for id_ in ids.tolist()), bool, len(ids))
        refuse_rows(table, also, name, lambda row: f"the {split} id {ids.iloc[row]!r} is also in train", hint)


def numbers(table: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """Return a column as float64 (n,), NaN where it is missing; a comma may be the decimal sign.

    Raises FoldwiseError, naming the first row, where a cell is no number.
    """
    import pandas as pd

    cells = table[column].where(~table[column].isin(MISSING), "")
    commas = cells.str.extract(r"^[+-]?\d+,(\d+)$")[0].dropna()
    if (commas.str.len() != 3).any():  # else they may separate thousands
        cells = cells.str.replace(r"^([+-]?\d+),(\d+)$", r"\1.\2", regex=True)
    values = np.array(pd.to_numeric(cells.where(cells != "", "nan"), errors="coerce"), np.float64)
    wrong = (np.isnan(values) & (cells != "")) | np.isinf(values)
    refuse_rows(table, wrong, name, lambda row: f"{column} is {table[column].iloc[row]!r}, expected a number")
    return values


def categories(train: pd.Series, test: pd.Series) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return two columns of names as numbers from 1, and the names in that order."""
    names = sorted({*train, *test})
    number = {name: i + 1 for i, name in enumerate(names)}
    return train.map(number).to_numpy(np.int64), test.map(number).to_numpy(np.int64), names


def groups(table: pd.DataFrame, column: str | None, pattern: str | None, name: str) -> pd.Series | None:
    """Return the group of each row: the value of a column, or what a regular expression finds in the id.

    pattern: its first bracket is the group, or all that it finds. With a column it is searched in that column.

    Raises FoldwiseError where a row has none, and ConfigError where the pattern is no regular expression.
    """
    if column is None and pattern is None:
        return None
    cells = table[column or ID]
    if pattern is not None:
        try:
            found = cells.map(re.compile(pattern).search)
        except re.error as error:
            raise ConfigError(f"competition.options.group_pattern={pattern}: no regular expression: {error}") from None
        refuse_rows(
            table,
            found.isna(),
            name,
            lambda row: f"competition.options.group_pattern={pattern} finds nothing in {cells.iloc[row]!r}",
        )
        cells = found.map(lambda match: match.group(1 if match.re.groups else 0))
    refuse_rows(
        table,
        cells.isna() | (cells == ""),
        name,
        lambda row: f"the group {column or pattern!r} of {table[ID].iloc[row]!r} is missing",
    )
    return cells


def weights(table: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """Return the weights of the rows, float64 (n,).

    Raises FoldwiseError, naming the first row, where one is missing or not above 0.
    """
    values = numbers(table, column, name)
    refuse_rows(
        table,
        ~(values > 0),
        name,
        lambda row: f"the weight {column!r} is {table[column].iloc[row]!r}, expected a number above 0",
    )
    return values


def side_columns(
    train: pd.DataFrame,
    test: pd.DataFrame,
    auxiliary: Sequence[str],
    category_columns: Sequence[str],
    train_name: str,
    test_name: str,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, list[str]]]:
    """Return the auxiliary numbers and the categories of the training and the test rows, and the categories' names."""
    of_train = {column: numbers(train, column, train_name) for column in auxiliary}
    of_test = {column: numbers(test, column, test_name) for column in auxiliary}
    names: dict[str, list[str]] = {}
    for column in category_columns:
        of_train[column], of_test[column], names[column] = categories(train[column], test[column])
        log.info("%s: the category %s has the names %s", train_name, column, ", ".join(map(repr, names[column])))
    return of_train, of_test, names
