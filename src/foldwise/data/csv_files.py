"""CSV files as hosts and spreadsheets write them: encoding, separator and line ends are recognised."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file, clear_csv_errors

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
LINE_ENDS = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
HEAD = 1 << 16  # characters that the form is recognised by


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written.

    twice: columns whose name the header has more than once.
    skipped: lines before the header: comments, and the line `sep=;` of spreadsheets.
    index_name: the header of a first column that only counts the rows, as pandas and R write it; None: there is none.
    notes: what is unusual, in words.
    """

    encoding: str = "utf-8"
    separator: str = ","
    line_end: str = "\n"
    skipped: int = 0
    index_name: str | None = None
    notes: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()


def read_csv(path: Path) -> tuple[pd.DataFrame, CsvForm]:
    """Read a CSV file as text without blanks around cells and names, and say how it is written.

    No cell is taken for a number or for missing: `007`, `1e5` and `NA` stay what they are. A column that only counts
    the rows and rows without any text are left out. The index of the table is the number of the row below the header,
    from 0.

    Raises FoldwiseError, naming the file, where it is empty, is no text, or has a row longer than the header.
    """
    check_is_file(path)
    data = path.read_bytes()
    text, encoding = _decoded(data, path.name)
    separator, skipped = _separator(text[:HEAD])
    with clear_csv_errors(path.name):
        table = _parsed(text, separator, skipped, path.name)
    notes = [] if encoding in ("utf-8", "utf-8-sig") else [f"the encoding is {encoding}"]
    notes += [] if separator == "," else [f"cells are separated by {SEPARATORS[separator]}"]
    line_end = next((found.group() for found in [re.search(r"\r\n|\n|\r", text)] if found), "\n")
    notes += ["lines end with CR"] if line_end == "\r" else []
    notes += [f"{skipped} lines before the header are left out"] if skipped else []
    table, counted = _without_index(table)
    index_name = None if not counted else "Unnamed: 0" if "Unnamed: 0" in text[:HEAD] else ""
    notes += [] if index_name is None else ["a first column that only counts the rows is left out"]
    table, stripped, empty = _stripped(table)
    notes += [f"blanks around {stripped} cells are removed"] if stripped else []
    notes += [f"{empty} rows without any text are left out"] if empty else []
    twice = _twice(text[:HEAD], separator, skipped)
    return table, CsvForm(encoding, separator, line_end, skipped, index_name, tuple(notes), twice)


def to_csv(table: pd.DataFrame, path: Path, form: CsvForm) -> None:
    """Write a table as UTF-8 with the separator, the line ends and the counting column of `form`."""
    index = form.index_name is not None
    table = table.reset_index(drop=True) if index else table
    table.to_csv(path, index=index, index_label=form.index_name, sep=form.separator, lineterminator=form.line_end)


def _decoded(data: bytes, name: str) -> tuple[str, str]:
    """Return the text of a file and its encoding."""
    encoding = next((encoding for mark, encoding in MARKS.items() if data.startswith(mark)), None)
    if encoding is None and (zeros := data[:HEAD].count(0)):  # every second byte of plain text in UTF-16 is 0
        little = data[1:HEAD:2].count(0)
        encoding = "utf-16-le" if little == zeros else "utf-16-be" if little == 0 else None
        if encoding is None:
            kind = "a zip archive or a spreadsheet" if data.startswith(b"PK") else "binary data"
            raise FoldwiseError(f"{name}: cannot be read as a CSV: it is {kind}; export it as text")
    for tried in (encoding or "utf-8", "cp1252", "latin-1"):
        try:
            return data.decode(tried), tried
        except UnicodeDecodeError as error:
            if encoding:
                raise FoldwiseError(f"{name}: cannot be read as a CSV: {error}") from None
    raise AssertionError("latin-1 decodes every byte")


def _separator(head: str) -> tuple[str, int]:
    """Return the character that separates the header into the most cells, and the lines before the header."""
    lines = io.StringIO(head, newline=None).read().splitlines()
    skipped = 0
    if lines and (named := re.fullmatch(r'"?sep=(.)"?', lines[0])):  # spreadsheets write and read this line
        return named.group(1), 1
    widths = [max(line.count(one) for one in SEPARATORS) for line in lines[:50]]
    while skipped < len(lines) - 1 and lines[skipped].startswith("#") and widths[skipped : skipped + 1] != widths[-1:]:
        skipped += 1
    best, most = ",", 1
    for separator in SEPARATORS:
        rows = csv.reader(io.StringIO("\n".join(lines[skipped:])), delimiter=separator, skipinitialspace=True)
        try:
            header = next((row for row in islice(rows, 1)), [])
        except csv.Error:
            continue
        if len(header) > most:
            best, most = separator, len(header)
    return best, skipped


def _twice(head: str, separator: str, skipped: int) -> tuple[str, ...]:
    """Return the names that the header has more than once, of which pandas changes the second."""
    lines = islice(io.StringIO(head, newline=None), skipped, None)
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    with contextlib.suppress(csv.Error):
        names = [name.strip() for name in next(rows, [])]
        return tuple(sorted({name for name in names if name and names.count(name) > 1}))
    return ()


def _parsed(text: str, separator: str, skipped: int, name: str) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(
        io.StringIO(text.removeprefix("\ufeff")),
        dtype=str,
        keep_default_na=False,
        sep=separator,
        skiprows=skipped,
        skipinitialspace=True,
    )
    if isinstance(table.index, pd.RangeIndex):
        return table
    # every row has a cell more than the header: R writes the rows' numbers so, others end each row with a separator
    last = table.iloc[:, -1]
    if isinstance(table.index, pd.MultiIndex) or not ((last == "").all() or _counts(table.index)):
        raise FoldwiseError(
            f"{name}: cannot be read as a CSV: the header has {table.shape[1]} cells, the rows "
            f"{table.shape[1] + table.index.nlevels}"
        )
    names = list(table.columns)
    if (last == "").all():
        table = table.reset_index().iloc[:, :-1]
    table.columns = pd.Index(names)
    return table.reset_index(drop=True)


def _without_index(table: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Leave out a first column without a name that counts the rows, where ids follow it; tell whether there is one."""
    if (
        str(table.columns[0]) != "Unnamed: 0"  # what pandas calls a column without a name
        or table.shape[1] < 3
        or not _counts(table.iloc[:, 0])
        or not table.iloc[:, 1].is_unique
    ):
        return table, False
    return table.iloc[:, 1:], True


def _counts(values: pd.Series | pd.Index) -> bool:
    """Tell whether values are the texts 0, 1, 2, ... or 1, 2, 3, ..."""
    given = [str(value) for value in values]
    return any(given == [str(i) for i in range(start, start + len(given))] for start in (0, 1))


def _stripped(table: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """Remove blanks around cells and names, and rows without text; return how many cells and rows these were."""
    import pandas as pd

    table = table.rename(columns=lambda name: str(name).strip())
    columns = {name: table.iloc[:, i].fillna("").str.strip() for i, name in enumerate(table.columns)}
    if len(columns) < table.shape[1]:  # two columns have one name, such as `a` and `a ` here
        return table, 0, 0
    changed = sum(int((columns[name] != table[name]).sum()) for name in columns)
    result = pd.DataFrame(columns, index=table.index)
    empty = (result == "").all(axis=1)
    return result[~empty], changed, int(empty.sum())
