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
ROWS, FEW_ROWS = 2**16, 16  # that are looked at together; the second of lists, whose values are not shared in memory


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the table of a parquet file.

    Raises FoldwiseError, which names the file, where it is none, is damaged, or takes more memory than 100 times its
    size (but 128 MB at least): a value that is stored once may stand for millions of rows.
    """
    import pandas as pd
    import pyarrow as pa

    check_is_file(path)
    try:
        _check_size(path)
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        why = " ".join(str(error).split())
        raise FoldwiseError(f"{path}: cannot be read as parquet, is the file complete? {why[:300]}") from None


def _check_size(path: Path) -> None:
    """Raise FoldwiseError where the rows of a file take more memory than allowed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    most = max(LEAST_LIMIT, LIMIT_RATIO * path.stat().st_size)
    with pq.ParquetFile(path) as file:
        about, schema = file.metadata, file.schema_arrow
        stored = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        _refuse(path, max(about.num_rows * sum(map(_width, schema.types)), stored), most)
        texts = [one.name for one in schema if _is_text(one.type)]
        nested = [one.name for one in schema if pa.types.is_nested(one.type)]
    taken = 0
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for names, n_rows in ((texts, ROWS), (nested, FEW_ROWS)):
            for batch in file.iter_batches(n_rows, columns=names) if names else ():
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
