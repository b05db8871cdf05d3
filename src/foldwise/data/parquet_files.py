"""Parquet files of strangers: how much memory the rows take is known before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file

if TYPE_CHECKING:
    import pandas as pd

# Bytes that a table may take: a column of one value shrinks to nothing, so small files have room for a million rows
LEAST_LIMIT, LIMIT_RATIO = 128 * 10**6, 100
ROWS = 2**16  # that are looked at together


def read_parquet(path: Path, most_rows: int | None = None) -> pd.DataFrame:
    """Return the table of a parquet file of plain columns; their names are text.

    most_rows: a file of more is refused before it is read. None: any number.

    Raises FoldwiseError, naming the file, where it is none or damaged, has no column, a name twice, or lists in a
    column, or takes more memory than 100 times its size (but 128 MB at least): a value that is stored once may stand
    for millions of rows.
    """
    import pandas as pd

    check_is_file(path)
    try:
        _check(path, most_rows)
        table = pd.read_parquet(path)
    except (FileNotFoundError, FoldwiseError, MemoryError):
        raise
    except Exception as error:  # of many kinds, as the damage is
        why = " ".join(str(error).split()) or type(error).__name__
        raise FoldwiseError(f"{path}: cannot be read as a parquet: {why[:300]}") from None
    names = [str(name) for name in table.columns]
    if not names:
        raise FoldwiseError(f"{path}: it has no column")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FoldwiseError(f"{path}: the column {twice!r} is there more than once; keep one of them")
    return table.set_axis(names, axis=1)


def _check(path: Path, most_rows: int | None) -> None:
    """Raise FoldwiseError where a file has lists, or its rows are too many or take more memory than allowed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    most = max(LEAST_LIMIT, LIMIT_RATIO * path.stat().st_size)
    with pq.ParquetFile(path) as file:
        about, schema = file.metadata, file.schema_arrow
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise FoldwiseError(f"{path}: the column {nested[0]!r} holds lists or mappings, expected text or numbers")
        if most_rows is not None and about.num_rows > most_rows:
            raise FoldwiseError(f"{path}: it has {about.num_rows:,} rows, expected at most {most_rows:,}")
        stored = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        _refuse(path, max(about.num_rows * sum(map(_width, schema.types)), stored), most)
        texts = [one.name for one in schema if _is_text(one.type)]
    taken = 0
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(ROWS, columns=texts) if texts else ():
            taken += sum(map(_n_bytes, batch.columns))
            _refuse(path, taken, most)


def _refuse(path: Path, n_bytes: int, most: int) -> None:
    if n_bytes > most:
        raise FoldwiseError(
            f"{path}: refused: its rows take {n_bytes:,} bytes and more, of {most:,} allowed for a file of this size; "
            "write it as a CSV if you trust it"
        )


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kinds = pa.types
    tests = (kinds.is_string, kinds.is_large_string, kinds.is_binary, kinds.is_large_binary)
    views = (kinds.is_string_view, kinds.is_binary_view, kinds.is_dictionary)
    return any(test(kind) for test in (*tests, *views))


def _width(kind: Any) -> int:
    """Return the bytes of a value, or of what leads to it where it has no fixed size."""
    try:
        return max(kind.bit_width // 8, 1)
    except ValueError:
        return 8


def _n_bytes(column: Any) -> int:
    """Return the bytes of a column once its values stand in each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return int(pc.sum(lengths).as_py() or 0)
