"""Images inside one file: parquet with a column of bytes, HDF5 with a dataset for each image, zip."""

from __future__ import annotations

import threading
import zipfile
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.competitions.folder.decoded import Undecodable
from foldwise.competitions.folder.decoded_size import check_size, limit_of
from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file

if TYPE_CHECKING:
    import pyarrow.parquet as pq

SUFFIXES = frozenset({".parquet", ".h5", ".hdf5", ".zip"})
# what the libraries raise for damaged files, besides OSError
DAMAGED = (ValueError, TypeError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
ROWS = 16  # of a row group that are read at a time
N_GROUPS = 2  # row groups of a parquet file that are held at a time


def is_container(path: str) -> bool:
    """Return whether a file holds images under names of its own, by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES


def members(path: str, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, member) of each image in a container; `ids` find the column of names of a parquet file.

    Raises FoldwiseError where the file is none of its kind, or a parquet file has no single column of bytes.
    """
    suffix = Path(path).suffix.lower()
    check_is_file(Path(path))
    try:
        if suffix == ".parquet":
            yield from _parquet_members(path, ids)
        elif suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield from ((n, n) for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n)
        else:
            yield from _hdf5_members(path)
    except (OSError, *DAMAGED) as error:
        raise FoldwiseError(f"{Path(path).name}: cannot be read: {error}") from None


def _hdf5_members(path: str) -> Iterator[tuple[str, str]]:
    import h5py

    names: list[str] = []
    with h5py.File(path, "r") as file:
        top = list(file)
        if top and not isinstance(file.get(top[0], getlink=True), h5py.HardLink):
            raise ValueError(f"{top[0]} is no part of the file, but a link to another place")
        if top and isinstance(file[top[0]], h5py.Dataset):
            names = top  # the usual case; looking at every one of a million would take minutes
        else:
            file.visititems(lambda name, one: names.append(name) if isinstance(one, h5py.Dataset) else None)
    return ((name, name) for name in names)


def _parquet_members(path: str, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    bytes_column(file, path)  # refuses a file without one
    schema = file.schema_arrow
    names = [f.name for f in schema if pa.types.is_integer(f.type) or _is_text(f.type)]
    if not names:
        raise FoldwiseError(
            f"{Path(path).name}: there is no column of ids; it has the columns {', '.join(schema.names)}"
        )
    wanted = set(ids)
    values = {name: [str(v) for v in file.read([name]).column(0).to_pylist()] for name in names}
    best = max(names, key=lambda name: len(wanted.intersection(values[name])))
    return ((value, str(row)) for row, value in enumerate(values[best]))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def bytes_column(file: pq.ParquetFile, path: str) -> str:
    """Return the path of the one column of bytes: `image`, or `image.bytes` where it is a struct.

    Raises FoldwiseError where there is none, or more than one.
    """
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)

    found = []
    for field in file.schema_arrow:
        if is_bytes(field.type):
            found.append(field.name)
        elif pa.types.is_struct(field.type):
            found += [f"{field.name}.{inner.name}" for inner in field.type if is_bytes(inner.type)]
    if len(found) != 1:
        columns = ", ".join(f"{f.name} ({f.type})" for f in file.schema_arrow)
        raise FoldwiseError(
            f"{Path(path).name}: expected one column of images as bytes, found {', '.join(found) or 'none'}; "
            f"it has the columns {columns}"
        )
    return found[0]


class OpenContainers:
    """The containers that are being read; each is opened once. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}
        self._groups: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def __enter__(self) -> OpenContainers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._open.values():
            (file[0] if isinstance(file, tuple) else file).close()
        self._open.clear()
        self._groups.clear()

    def read(self, path: str, member: str, most: int | None = None) -> bytes | np.ndarray:
        """Return the bytes of an image file, or the pixels where a dataset holds them.

        most: bytes that one image may take; None: see `decoded_size.limit_of`.

        Raises Undecodable for an image that is damaged or takes more, or whose numbers lie in other files.
        """
        suffix = Path(path).suffix.lower()
        with self._lock:  # neither h5py nor zipfile reads in several threads at once
            if suffix == ".zip":
                if path not in self._open:
                    self._open[path] = zipfile.ZipFile(path)
                try:
                    info = self._open[path].getinfo(member)
                    check_size(info.file_size, limit_of(info.compress_size, most))
                    return self._open[path].read(member)
                except DAMAGED as error:
                    raise Undecodable(str(error)) from None
            try:
                if suffix == ".parquet":
                    return self._read_parquet(path, int(member), most)
                return self._read_hdf5(path, member, most)
            except DAMAGED as error:
                raise Undecodable(f"{type(error).__name__}: {error}") from None

    def _read_hdf5(self, path: str, member: str, most: int | None) -> bytes | np.ndarray:
        import h5py

        if path not in self._open:
            self._open[path] = h5py.File(path, "r")
        if isinstance(self._open[path].get(member, getlink=True), h5py.ExternalLink):
            raise Undecodable("refused: it is a link to another file")
        found = self._open[path][member]
        if found.is_virtual or found.external:
            raise Undecodable("refused: its numbers lie in other files")
        check_size(found.nbytes, limit_of(found.id.get_storage_size(), most))
        value = found[()]
        if isinstance(value, (bytes, np.void)):
            return value.tobytes() if isinstance(value, np.void) else value
        array = np.asarray(value)
        if array.dtype.kind in "SV":
            return array.tobytes()
        return array.tobytes() if array.ndim == 1 and array.dtype == np.uint8 else array

    def _read_parquet(self, path: str, row: int, most: int | None) -> bytes:
        import pyarrow.parquet as pq

        if path not in self._open:
            file = pq.ParquetFile(path)
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            self._open[path] = (file, np.cumsum([0, *sizes]).tolist(), bytes_column(file, path))
        file, starts, column = self._open[path]
        group = bisect_right(starts, row) - 1
        key = (path, group)
        if key not in self._groups:
            n_bytes = file.metadata.row_group(group).total_byte_size
            limit = limit_of(Path(path).stat().st_size, most)
            check_size(n_bytes, limit)
            values = _read_group(file, group, column, limit)
            if "." in column and column not in file.schema_arrow.names:
                values = _inner(values, column)
            self._groups[key] = values
            while len(self._groups) > N_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key][row - starts[group]].as_py() or b""


def _read_group(file: pq.ParquetFile, group: int, column: str, most: int) -> Any:
    """Return a column of a row group, a few rows at a time: one value may stand for thousands of rows."""
    import pyarrow as pa

    batches, n_bytes = [], 0
    for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column]):
        n_bytes += batch.nbytes
        check_size(n_bytes, most)
        batches.append(batch)
    return pa.Table.from_batches(batches).column(0)


def _inner(values: Any, column: str) -> Any:
    """Return the field of a struct column, as a chunked array."""
    import pyarrow as pa

    return pa.chunked_array([chunk.field(column.rpartition(".")[2]) for chunk in values.chunks])
