"""Parquet files from elsewhere: refused in one line where they are damaged."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file


def read_parquet(path: Path, most_rows: int | None = None) -> pd.DataFrame:
    """Read a parquet file of plain columns; their names are text.

    most_rows: a file of more is refused before it is read, since a small one can hold a billion. None: any number.

    Raises FoldwiseError, naming the file, where it is damaged, has no column, a name twice, or lists in a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_is_file(path)
    try:
        about = pq.ParquetFile(path)
        n_rows, schema = about.metadata.num_rows, about.schema_arrow
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        table = None if nested or (most_rows is not None and n_rows > most_rows) else pd.read_parquet(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # of many kinds, as the damage is
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise FoldwiseError(f"{path}: cannot be read as a parquet: {first}") from None
    if nested:
        raise FoldwiseError(f"{path}: the column {nested[0]!r} holds lists or mappings, expected text or numbers")
    if table is None:
        raise FoldwiseError(f"{path}: it has {n_rows:,} rows, expected at most {most_rows:,}")
    names = [str(name) for name in table.columns]
    if not names:
        raise FoldwiseError(f"{path}: it has no column")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FoldwiseError(f"{path}: the column {twice!r} is there more than once; keep one of them")
    return table.set_axis(names, axis=1)
