"""Read the pickle of a PyTorch checkpoint without unpickling it.

Unpickling runs any function that the file names, and lets it overwrite the fields of any object. Here the standard
library's `pickletools.genops` splits the pickle into its instructions, and the few that a state_dict needs build
numbers, texts, tuples, lists and dictionaries; each other one is refused. No function of the file's choice is called,
and what stands for a storage or a tensor is a tuple, which nothing can change once it is checked.
"""

from __future__ import annotations

import pickletools
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeGuard

from foldwise.errors import FoldwiseError

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
LARGEST = 2**63  # of a size, a stride or an offset: they are int64 in PyTorch
MOST_AXES = 32
# what a pickle may name, and what calling it means
CALLS = {
    "collections.OrderedDict": "dictionary",
    "torch._utils._rebuild_tensor": "tensor",
    "torch._utils._rebuild_tensor_v2": "tensor",
    "torch._utils._rebuild_parameter": "parameter",
    "torch.Size": "size",
    **{f"torch.{name}": "storage" for name in TYPES},
}
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# instructions whose argument is the value
NUMBERS = ("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT")
TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
OLD_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # of Python 2


class Storage(NamedTuple):
    """The memory of one tensor or several: its key in the file, the type and the number of its elements."""

    key: str
    type: str
    numel: int


class Tensor(NamedTuple):
    """Which elements of a storage a tensor has; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """A function or a class that the pickle names."""

    name: str


class _Mark(NamedTuple):
    """Where the items of a list, a tuple or a dictionary begin on the stack."""


class BoundedFile:
    """The rest of a file: a read of more bytes than it has gets what is there, and no memory for more."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, n: int) -> bytes:
        """Read n bytes, or as many as there are."""
        return self._file.read(min(max(n, 0), max(self._size - self._file.tell(), 0)))

    def readline(self) -> bytes:
        """Read until the end of a line."""
        return self._file.readline(self._size)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()


def read_pickle(file: BinaryIO, size: int, path: Path) -> Any:
    """Return the value of the pickle that begins at the place of `file`, whose end becomes the place.

    size: of the whole file in bytes.
    path: for messages.

    Raises FoldwiseError, which names the file, for a pickle that is damaged, or holds what a state_dict does not.
    """
    try:
        return _Reader(path, size).read(BoundedFile(file, size))
    except FoldwiseError:
        raise
    except (LookupError, StopIteration):
        raise FoldwiseError(
            f"{path}: the pickle cannot be read: it uses a value that it does not hold. Is the file complete, and a "
            "checkpoint?"
        ) from None
    except Exception as error:  # damaged bytes make pickletools raise nearly anything
        raise FoldwiseError(
            f"{path}: the pickle cannot be read: {shown(error)}. Is the file complete, and a checkpoint?"
        ) from None


def shown(value: Any) -> str:
    """Return a value of a file in a few words of one line, however long or deeply nested it is."""
    try:
        if isinstance(value, Exception):
            text = str(value) or type(value).__name__
        else:
            text = repr(value[:200]) if isinstance(value, str) else reprlib.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list that holds itself
        text = type(value).__name__
    text = " ".join(text.split())
    return text if len(text) <= 210 else f"{text[:210]}..."


class _Reader:
    """The stack and the memory of a pickle while it is read."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.copied = size  # items that dictionaries and sizes may be made of: each takes a byte in a usual file
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, file: BoundedFile) -> Any:
        for code, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]
            if code.name == "STOP":
                return self.pop()
            self.step(code.name, argument)
        raise FoldwiseError(f"{self.path}: the pickle has no end. Is the file complete, and a checkpoint?")

    def step(self, code: str, argument: Any) -> None:
        """Follow one instruction."""
        stack = self.stack
        match code:
            case "PROTO" | "FRAME":
                pass
            case _ if code in CONSTANTS:
                stack.append(CONSTANTS[code])
            case _ if code in NUMBERS or code in TEXTS:
                stack.append(argument)
            case _ if code in OLD_TEXTS:
                stack.append(argument.encode("latin-1").decode("utf-8"))
            case "MARK":
                stack.append(_Mark())
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.items()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_LIST" | "EMPTY_TUPLE" | "EMPTY_DICT":
                stack.append({"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}[code]())
            case "LIST":
                stack.append(self.items())
            case "TUPLE":
                stack.append(tuple(self.items()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                parts = [self.pop() for _ in range(int(code[-1]))]
                stack.append(tuple(parts[::-1]))
            case "DICT":
                stack.append(self.dictionary(_pairs(self.items())))
            case "APPEND" | "APPENDS":
                items = [self.pop()] if code == "APPEND" else self.items()
                self.last(list, code).extend(items)
            case "SETITEM" | "SETITEMS":
                items = [self.pop(), self.pop()][::-1] if code == "SETITEM" else self.items()
                self.last(dict, code).update(self.dictionary(_pairs(items)))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(self.named(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                stack.append(self.named(f"{shown(module).strip(chr(39))}.{shown(name).strip(chr(39))}"))
            case "BINPERSID":
                stack.append(self.storage(self.pop()))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                stack.append(self.called(function, arguments))
            case "BUILD":  # the attributes of a state_dict, such as its versions, which are of no use here
                self.pop()
                self.last(dict, code)
            case _:
                raise FoldwiseError(
                    f"{self.path}: refused: its pickle uses {code}, which no state_dict needs. Ask its author for a "
                    "state_dict or a .safetensors file"
                )

    def pop(self) -> Any:
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise ValueError("a value is missing")
        return value

    def items(self) -> list[Any]:
        """Take what lies above the last mark."""
        stack = self.stack
        at = next(i for i in range(len(stack) - 1, -1, -1) if isinstance(stack[i], _Mark))
        taken = stack[at + 1 :]
        del stack[at:]
        return taken

    def last(self, kind: type, code: str) -> Any:
        """Return the value on top of the stack, which an instruction changes."""
        value = self.stack[-1]
        if type(value) is not kind:
            raise FoldwiseError(
                f"{self.path}: refused: its pickle changes a value of type {type(value).__name__.strip('_')} ({code}), "
                "which no state_dict needs. Ask its author for a state_dict or a .safetensors file"
            )
        return value

    def named(self, name: str) -> _Name:
        if name not in CALLS:
            raise FoldwiseError(
                f"{self.path}: refused: the file names {shown(name).strip(chr(39))}, which is no part of a tensor and "
                "could run anything. Ask its author for a state_dict or a .safetensors file"
            )
        return _Name(name)

    def called(self, function: Any, arguments: Any) -> Any:
        """Return what a function of the table gives for the arguments; none of the file's is called."""
        meaning = CALLS[function.name] if isinstance(function, _Name) else None
        if type(arguments) is tuple:
            match meaning, arguments:
                case "dictionary", ():
                    return {}
                case "dictionary", ([*pairs],):
                    return self.dictionary(pairs)
                case "parameter", (data, *_):
                    return data
                case "size", ([*sizes],):
                    self.count(sizes)
                    return tuple(sizes)
                case "tensor", (storage, offset, shape, strides, *_):
                    return self.tensor(storage, offset, shape, strides)
        what = function.name if isinstance(function, _Name) else shown(function)
        raise FoldwiseError(f"{self.path}: refused: {what} is called with {shown(arguments)}, which gives no tensor")

    def dictionary(self, pairs: Sequence[Any]) -> dict[Any, Any]:
        self.count(pairs)
        found: dict[Any, Any] = {}
        for pair in pairs:
            if type(pair) not in (tuple, list) or len(pair) != 2:
                raise FoldwiseError(f"{self.path}: refused: expected a key and a value, found {shown(pair)}")
            key, value = pair
            if not _is_key(key):
                raise FoldwiseError(
                    f"{self.path}: refused: a key of a dictionary is a {type(key).__name__.strip('_')}, expected a name"
                )
            found[key] = value
        return found

    def count(self, items: Sequence[Any]) -> None:
        """Refuse what the file repeats by reference until the memory is full."""
        self.copied -= len(items)
        if self.copied < 0:
            raise FoldwiseError(f"{self.path}: refused: its pickle repeats the same items more often than it has bytes")

    def storage(self, pid: Any) -> Storage:
        match pid:
            case ("storage", _Name(name), str(key), _, numel, *_) if CALLS[name] == "storage" and _is_size(numel):
                return Storage(key, TYPES[name.removeprefix("torch.")], numel)
        raise FoldwiseError(f"{self.path}: refused: the reference {shown(pid)} names no storage of a tensor")

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
        if not (
            isinstance(storage, Storage)
            and _is_size(offset)
            and _are_sizes(shape)
            and _are_sizes(strides)
            and len(shape) == len(strides)
        ):
            raise FoldwiseError(
                f"{self.path}: invalid tensor: shape {shown(shape)}, strides {shown(strides)}, offset {shown(offset)}; "
                f"expected integers from 0 on, for at most {MOST_AXES} axes"
            )
        return Tensor(storage, offset, tuple(shape), tuple(strides))


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _is_key(value: Any) -> bool:
    """Tell whether a value may be a key: the hash of a deep tuple ends Python, and those of huge integers collide."""
    if type(value) is tuple:
        return len(value) <= MOST_AXES and all(type(one) is not tuple and _is_key(one) for one in value)
    if type(value) is int:
        return abs(value) < 2**60
    return type(value) in (str, float, bool, bytes, type(None))


def _is_size(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < LARGEST


def _are_sizes(value: Any) -> bool:
    return type(value) in (tuple, list) and len(value) <= MOST_AXES and all(map(_is_size, value))
