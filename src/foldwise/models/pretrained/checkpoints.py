"""Read the tensors of a checkpoint: .safetensors, and PyTorch's .pth in its zip and its legacy format.

A file of a stranger may claim anything. Nothing in it is run (see `pickled_tensors`), every bound is checked where
memory is touched, and a file expands to a few times its own size at most.
"""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from foldwise.errors import FoldwiseError
from foldwise.models.pretrained.pickled_tensors import BFLOAT16, Storage, Tensor, read_pickle, shown
from foldwise.storage import check_is_file

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys of the tensors in checkpoints of training scripts
# What the tensors of a file may take: tensors share memory where weights are tied, and bfloat16 becomes float32
LEAST_LIMIT, LIMIT_RATIO = 2**20, 8
LONGEST_NAME = 4096  # bytes of the name of a member of a zip archive

# returns the bytes of a storage that the file holds, given what is taken of a limit for them first
Numbers = Callable[[Storage, "Limit"], bytes]


class Limit:
    """The bytes that the tensors of a file may still take."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.most = self.left = max(LEAST_LIMIT, LIMIT_RATIO * size)

    def take(self, n_bytes: int) -> None:
        """Count bytes before memory is asked for; raise FoldwiseError where that is too much."""
        self.left -= n_bytes
        if self.left < 0:
            raise FoldwiseError(
                f"{self.path}: refused: its tensors take more than {self.most:,} bytes, which is the most that is read "
                f"from a file of this size ({LIMIT_RATIO} times its own). Ask its author for a .safetensors file"
            )


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint by name, in the order of the file; bfloat16 comes as float32.

    Raises FoldwiseError, which names the file, for one that is no checkpoint, holds anything but tensors in its place,
    or is cut off; of PyTorch's formats it names the first tensor that is not complete.
    """
    check_is_file(path)
    if not path.is_file():
        raise FoldwiseError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(9)
        file.seek(0)
        if path.suffix == ".safetensors" or start[8:9] == b"{":
            return _read_safetensors(path)
        if start[:4] == b"PK\x03\x04":
            return _read_zip(file, path)
        if start[:1] == b"\x80":
            return _read_legacy(file, path)
    raise FoldwiseError(
        f"{path}: not a checkpoint: expected PyTorch's zip or legacy format, or safetensors; "
        f"the file begins with {start[:8]!r}"
    )


def _read_zip(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise FoldwiseError(_describe_cut(file, path)) from None
    except Exception as error:  # damaged bytes make zipfile raise nearly anything
        raise FoldwiseError(f"{path}: the archive cannot be read: {shown(error)}") from None
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        raise FoldwiseError(f"{path}: refused: PyTorch compresses nothing in its archives, this one does")
    members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
    if "data.pkl" not in members:
        raise FoldwiseError(f"{path}: a zip archive without data.pkl is no checkpoint of PyTorch")
    size = path.stat().st_size

    def held(name: str) -> bytes:
        member = members[name]
        if not member.file_size == member.compress_size <= size - member.header_offset:  # else zipfile asks for memory
            raise zipfile.BadZipFile(f"the archive claims {member.file_size:,} bytes for it")
        return archive.read(member)

    def numbers(storage: Storage, limit: Limit) -> bytes:
        limit.take(members[f"data/{storage.key}"].file_size)
        return held(f"data/{storage.key}")

    try:
        order = held("byteorder") if "byteorder" in members else b"little"
        pickled = held("data.pkl")
    except Exception as error:  # as above
        raise FoldwiseError(f"{path}: the archive cannot be read: {shown(error)}") from None
    if order != b"little":
        raise FoldwiseError(f"{path}: big-endian checkpoints are not read")
    named = _find_tensors(read_pickle(io.BytesIO(pickled), len(pickled), path), path)
    return _read_arrays(named, numbers, Limit(path, size), path)


def _describe_cut(file: BinaryIO, path: Path) -> str:
    """Return the message for a zip archive without its end; it names the first incomplete tensor.

    PyTorch writes the pickle, which lists all tensors, before their numbers.
    """
    file.seek(0)
    whole = file.read()
    lacks = "its table of contents"
    begin = 30 + int.from_bytes(whole[26:28], "little") + int.from_bytes(whole[28:30], "little")
    with contextlib.suppress(FoldwiseError):
        held = _members_of_cut(whole)
        for name, tensor in _find_tensors(read_pickle(io.BytesIO(whole[begin:]), len(whole), path), path).items():
            if held.get(f"data/{tensor.storage.key}".encode(), 0) < _n_bytes(tensor.storage):
                lacks = f"the tensor {shown(name)}"
                break
    return f"{path}: the archive is cut off; the first incomplete part is {lacks}"


def _members_of_cut(whole: bytes) -> dict[bytes, int]:
    """Return the bytes between the header of each member of a zip archive and its end, by the member's name."""
    found: dict[bytes, int] = {}
    at = whole.find(b"PK\x03\x04")
    while at >= 0:
        n_name, n_more = (int.from_bytes(whole[i : i + 2], "little") for i in (at + 26, at + 28))
        if n_name <= LONGEST_NAME:
            name = whole[at + 30 : at + 30 + n_name].partition(b"/")[2]
            found.setdefault(name, len(whole) - at - 30 - n_name - n_more)
        at = whole.find(b"PK\x03\x04", at + 4)
    return found


def _read_legacy(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    if read_pickle(file, size, path) != LEGACY_MAGIC:
        raise FoldwiseError(f"{path}: a pickle, but no checkpoint of PyTorch")
    for _ in ("protocol", "system"):
        read_pickle(file, size, path)
    named = _find_tensors(read_pickle(file, size, path), path)
    keys = read_pickle(file, size, path)
    sizes = {tensor.storage.key: tensor.storage for tensor in named.values()}
    places: dict[str, tuple[int, int]] = {}
    if not isinstance(keys, list):
        raise FoldwiseError(f"{path}: expected the list of storages after the tensors, found {type(keys).__name__}")
    for key in keys:  # each storage: its number of elements, and they
        count = int.from_bytes(file.read(8), "little")
        if not isinstance(key, str) or key not in sizes:
            raise FoldwiseError(f"{path}: the storage {shown(key)} belongs to no tensor, so its size is not known")
        start = file.tell()
        places[key] = start, min(count * _itemsize(sizes[key].type), size - start)
        file.seek(sum(places[key]))

    def numbers(storage: Storage, limit: Limit) -> bytes:
        start, n_bytes = places[storage.key]
        limit.take(n_bytes)
        file.seek(start)
        return file.read(n_bytes)

    return _read_arrays(named, numbers, Limit(path, size), path)


def _find_tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors of an unpickled state_dict, or of one under a usual key."""
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    named = loaded.items() if _has_names(loaded) else ()
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise FoldwiseError(f"{path}: expected tensors by name (a state_dict), found {type(loaded).__name__}")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _has_names(loaded: Any) -> bool:
    return isinstance(loaded, dict) and all(isinstance(name, str) for name in loaded)


def _read_arrays(named: dict[str, Tensor], numbers: Numbers, limit: Limit, path: Path) -> dict[str, np.ndarray]:
    """Return each tensor's array; of the storages, the last one alone is kept in memory."""
    arrays = {}
    last: str | None = None
    raw = b""
    for name, tensor in named.items():
        storage, needed = tensor.storage, _n_bytes(tensor.storage)
        itemsize = 4 if storage.type == BFLOAT16 else _itemsize(storage.type)  # bfloat16 becomes float32
        limit.take(math.prod(max(size, 1) for size in tensor.shape) * itemsize)
        if storage.key != last:
            try:
                last, raw = storage.key, numbers(storage, limit)
            except FoldwiseError:
                raise
            except Exception as error:  # damaged bytes make zipfile raise nearly anything
                raise FoldwiseError(f"{path}: the tensor {shown(name)} cannot be read: {shown(error)}") from None
        if len(raw) < needed:
            raise FoldwiseError(
                f"{path}: the file ends within the tensor {shown(name)}: {len(raw)} of its {needed} bytes are there"
            )
        found = _strided(raw[:needed], tensor)
        if found is None:
            raise FoldwiseError(
                f"{path}: the tensor {shown(name)} of shape {tensor.shape} reaches beyond its storage: offset "
                f"{tensor.offset}, strides {tensor.strides}, {storage.numel} elements"
            )
        arrays[name] = found
    return arrays


def _strided(raw: bytes, tensor: Tensor) -> np.ndarray | None:
    """Return the elements of a tensor out of the bytes of its storage; None where one lies outside them."""
    dtype = np.dtype("<u2" if tensor.storage.type == BFLOAT16 else tensor.storage.type)
    flat = np.frombuffer(raw, dtype)
    if not math.prod(tensor.shape):
        view = np.empty(tensor.shape, dtype)
    else:
        strides = [stride if n > 1 else 0 for n, stride in zip(tensor.shape, tensor.strides, strict=True)]
        last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, strides, strict=True))
        if min(tensor.offset, *tensor.shape, *strides, 0) < 0 or last >= len(flat):
            return None
        steps = [stride * dtype.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)
    array = np.ascontiguousarray(view).reshape(tensor.shape)
    if tensor.storage.type == BFLOAT16:  # the upper half of a float32
        array = (array.astype("<u4") << 16).view("<f4").reshape(tensor.shape)
    return array


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file."""
    import ml_dtypes  # noqa: F401  # teaches NumPy bfloat16
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except Exception as error:  # besides SafetensorError, types that NumPy lacks end in an error of its own
        raise FoldwiseError(f"{path}: cannot be read as safetensors, is the file complete? {shown(error)}") from None
    return {name: array.astype(np.float32) if array.dtype == BFLOAT16 else array for name, array in tensors.items()}


def _itemsize(type_: str) -> int:
    return 2 if type_ == BFLOAT16 else np.dtype(type_).itemsize


def _n_bytes(storage: Storage) -> int:
    return storage.numel * _itemsize(storage.type)
