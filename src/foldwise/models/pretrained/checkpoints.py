"""Read the tensors of a checkpoint: .safetensors, and PyTorch's .pth in its zip and its legacy format.

A .pth holds a pickle, and unpickling runs any function that the file names. Here only the few names that
a pickled tensor needs are known, they lead to our own functions, and any other is refused before anything runs.
"""

from __future__ import annotations

import contextlib
import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from foldwise.errors import FoldwiseError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys of the tensors in checkpoints of training scripts
BFLOAT16 = "bfloat16"
TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint by name, in the order of the file; bfloat16 comes as float32.

    Raises FoldwiseError, which names the file, for one that is no checkpoint, holds anything but tensors in its place,
    or is cut off; of PyTorch's formats it names the first tensor that is not complete.
    """
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


@dataclass(frozen=True)
class _Storage:
    """The memory of one tensor or several, read after the pickle."""

    key: str
    type: str
    numel: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if (module, name) == ("torch", "Size"):
            return tuple
        if module == "torch" and name in TYPES:
            return name
        raise FoldwiseError(
            f"{self.path}: refused: the file names {module}.{name}, which is no part of a tensor and could run "
            "anything. Ask its author for a state_dict or a .safetensors file"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str(type_), str(key), _, int(numel), *_) if type_ in TYPES and numel >= 0:
                return _Storage(key, TYPES[type_], numel)
        raise FoldwiseError(f"{self.path}: refused: the reference {pid!r} names no storage of a tensor")


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    tensor = _Tensor(storage, offset, tuple(shape), tuple(strides))
    numbers = (offset, *tensor.shape, *tensor.strides)
    if not isinstance(storage, _Storage) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise FoldwiseError(f"invalid tensor: shape {tensor.shape}, strides {tensor.strides}, offset {offset!r}")
    return tensor


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _read_zip(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise FoldwiseError(_describe_cut(file, path)) from None
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        raise FoldwiseError(f"{path}: refused: PyTorch compresses nothing in its archives, this one does")
    members = {name.partition("/")[2]: name for name in archive.namelist()}
    if "data.pkl" not in members:
        raise FoldwiseError(f"{path}: a zip archive without data.pkl is no checkpoint of PyTorch")
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        raise FoldwiseError(f"{path}: big-endian checkpoints are not read")
    named = _find_tensors(_unpickle(io.BytesIO(archive.read(members["data.pkl"])), path), path)

    def numbers(storage: _Storage) -> bytes:
        return archive.read(members[f"data/{storage.key}"])

    return _read_arrays(named, numbers, path)


def _describe_cut(file: BinaryIO, path: Path) -> str:
    """Return the message for a zip archive without its end; it names the first incomplete tensor.

    PyTorch writes the pickle, which lists all tensors, before their numbers.
    """
    file.seek(0)
    whole = file.read()
    lacks = "its table of contents"
    begin = 30 + int.from_bytes(whole[26:28], "little") + int.from_bytes(whole[28:30], "little")
    with contextlib.suppress(FoldwiseError):
        for name, tensor in _find_tensors(_unpickle(io.BytesIO(whole[begin:]), path), path).items():
            label = f"/data/{tensor.storage.key}".encode()
            found = re.search(rb"PK\x03\x04.{22}(..)(..)[^/]*" + re.escape(label), whole, re.DOTALL)
            lengths = sum(int.from_bytes(part, "little") for part in found.groups()) if found else 0
            held = len(whole) - found.start() - 30 - lengths if found else 0
            if held < tensor.storage.numel * _itemsize(tensor.storage.type):
                lacks = f"the tensor {name!r}"
                break
    return f"{path}: the archive is cut off; the first incomplete part is {lacks}"


def _read_legacy(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    if _unpickle(file, path) != LEGACY_MAGIC:
        raise FoldwiseError(f"{path}: a pickle, but no checkpoint of PyTorch")
    for _ in ("protocol", "system"):
        _unpickle(file, path)
    named = _find_tensors(_unpickle(file, path), path)
    keys = _unpickle(file, path)
    sizes = {tensor.storage.key: tensor.storage for tensor in named.values()}
    places: dict[str, tuple[int, int]] = {}
    if not isinstance(keys, list):
        raise FoldwiseError(f"{path}: expected the list of storages after the tensors, found {type(keys).__name__}")
    for key in keys:  # each storage: its number of elements, and they
        count = int.from_bytes(file.read(8), "little")
        if key not in sizes:
            raise FoldwiseError(f"{path}: the storage {key!r} belongs to no tensor, so its size is not known")
        places[key] = file.tell(), count
        file.seek(count * _itemsize(sizes[key].type), io.SEEK_CUR)

    def numbers(storage: _Storage) -> bytes:
        start, count = places[storage.key]
        file.seek(start)
        return file.read(count * _itemsize(storage.type))

    return _read_arrays(named, numbers, path)


def _unpickle(file: BinaryIO, path: Path) -> Any:
    try:
        return _Unpickler(file, path).load()
    except FoldwiseError:
        raise
    except Exception as error:  # a broken pickle raises nearly anything
        raise FoldwiseError(
            f"{path}: the pickle cannot be read: {error}. Is the file complete, and a checkpoint?"
        ) from None


def _find_tensors(loaded: Any, path: Path) -> dict[str, _Tensor]:
    """Return the tensors of an unpickled state_dict, or of one under a usual key."""
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    named = loaded.items() if _has_names(loaded) else ()
    tensors = {name: value for name, value in named if isinstance(value, _Tensor)}
    if not tensors:
        raise FoldwiseError(f"{path}: expected tensors by name (a state_dict), found {type(loaded).__name__}")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _has_names(loaded: Any) -> bool:
    return isinstance(loaded, dict) and all(isinstance(name, str) for name in loaded)


def _read_arrays(named: dict[str, _Tensor], numbers: Any, path: Path) -> dict[str, np.ndarray]:
    """Read each tensor's numbers; a storage that several share is read again, not kept in memory."""
    arrays = {}
    for name, tensor in named.items():
        storage = tensor.storage
        try:
            raw = numbers(storage)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise FoldwiseError(f"{path}: the tensor {name!r} cannot be read: {error}") from None
        needed = storage.numel * _itemsize(storage.type)
        if len(raw) < needed:
            raise FoldwiseError(
                f"{path}: the file ends within the tensor {name!r}: {len(raw)} of its {needed} bytes are there"
            )
        flat = _decode(raw[:needed], storage.type)
        extent = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
        if math.prod(tensor.shape) and tensor.offset + sum(extent) >= storage.numel:
            raise FoldwiseError(f"{path}: the tensor {name!r} of shape {tensor.shape} reaches beyond its storage")
        strides = [stride * flat.itemsize for stride in tensor.strides]
        view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides)
        arrays[name] = np.ascontiguousarray(view).reshape(tensor.shape)
    return arrays


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file."""
    import ml_dtypes  # noqa: F401  # teaches NumPy bfloat16
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, AttributeError, TypeError) as error:  # the last two: a type that NumPy lacks
        raise FoldwiseError(f"{path}: cannot be read as safetensors, is the file complete? {error}") from None
    return {name: array.astype(np.float32) if array.dtype == BFLOAT16 else array for name, array in tensors.items()}


def _itemsize(type_: str) -> int:
    return 2 if type_ == BFLOAT16 else np.dtype(type_).itemsize


def _decode(raw: bytes, type_: str) -> np.ndarray:
    if type_ == BFLOAT16:  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, type_)
