"""Weights that are damaged or hostile: one line, nothing runs, no memory outside the file's own, and little of it."""

import io
import os
import struct
import tracemalloc
import zipfile

import h5py
import pytest
from helpers import checkpoints as c
from helpers.malformed import Case, check

from foldwise.models.pretrained.checkpoints import read_checkpoint
from foldwise.models.pretrained.keras_files import check_keras_file

COMMAND = "train competition=digits model=densenet161 model.options.weights={root}/"
MOST = 64 * 2**20  # bytes of memory; each file here is smaller than 1 MB
GIB = 2**30


def case(what, data, message, name="a.pth"):
    """A row of the table whose file has these bytes."""
    return Case(
        what,
        lambda root: (root / name).write_bytes(data),
        COMMAND + name,
        message,
        reader=lambda root: read_checkpoint(root / name),
    )


def built(function, state):
    """What a pickle makes of a value whose state it overwrites with the instruction BUILD."""
    return function + b"}(" + b"".join(c.text(key) + value for key, value in state.items()) + b"ub"


def nested(depth):
    """A tuple in a tuple in a tuple, as a key of a dictionary."""
    return b"\x80\x02})" + b"\x85" * depth + b"Ns."


def repeated(n):
    """A list of n items that is copied n times."""
    return b"\x80\x02]q\x00(" + b"N" * n + b"e" + (c.name("torch", "Size") + b"h\x00\x85R") * n + b"."


def claiming(file_size):
    """A zip whose table of contents claims another size of its tensor."""
    data = bytearray(one(numel=file_size // 4, shape=(file_size // 4,)))
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", file_size, file_size)
    return bytes(data)


def overlapping(n):
    """A safetensors file with n tensors at the same bytes."""
    return c.safetensors({f"x{i}": c.entry((25_000,), (0, 100_000)) for i in range(n)}, bytes(100_000))


def one(*tensor, **of):
    """A checkpoint of one tensor."""
    return c.zipped(c.state_dict(c.tensor(*tensor, **of)))


def table(shape=(4,), offsets=(0, 16), dtype="F32"):
    """A safetensors file of one tensor."""
    return c.safetensors({"x": c.entry(shape, offsets, dtype)})


def keras_case(what, name, fill, message):
    """A row of the table of a file of Keras: a function fills its HDF5."""

    def write(root):
        target = root / name
        path = target.with_suffix(".h5") if target.suffix == ".keras" else target
        if fill is None:
            path.write_bytes(b"\x89HDF\r\n\x1a\n")
        else:
            with h5py.File(path, "w") as file:
                fill(file)
        if path != target:
            with zipfile.ZipFile(target, "w") as archive:
                archive.write(path, "model.weights.h5")

    return Case(
        f"weights of Keras: {what}",
        write,
        COMMAND + name,
        message,
        reader=lambda root: check_keras_file(root / name),
    )


def bomb(file):
    file.create_dataset("layers/dense/vars/0", (30_000, 30_000), "f4", chunks=(100, 100), compression="gzip")


def outside(file):
    file.create_dataset("layers/dense/vars/0", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/other.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


def linked(file):
    file["layers"] = h5py.ExternalLink("/other.h5", "x")


def compressed():
    return c.zipped(c.state_dict(c.tensor()), compression=zipfile.ZIP_DEFLATED)


def other_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/readme.txt", "")
    return buffer.getvalue()


SHARED = c.state_dict(*[c.tensor(shape=(25_000,), numel=25_000) for _ in range(300)])
NO_ANSWER = "cannot be read as safetensors, is the file complete?"
OUTSIDE = "reaches beyond its storage"
CASES = [
    case(
        "weights: fields of a tensor overwritten",
        c.zipped(c.state_dict(built(c.tensor(), {"offset": c.number(-2)}))),
        "a.pth: refused: its pickle changes a value of type Tensor (BUILD), which no state_dict needs",
    ),
    case(
        "weights: fields of a storage overwritten",
        c.zipped(b"\x80\x02" + built(c.storage(), {"numel": c.number(2**40)}) + b"."),
        "a.pth: refused: its pickle changes a value of type Storage (BUILD), which no state_dict needs",
    ),
    case(
        "weights: attributes of a function overwritten",
        c.zipped(b"\x80\x02" + built(c.name("torch._utils", "_rebuild_tensor_v2"), {"x": b"N"}) + b"."),
        "a.pth: refused: its pickle changes a value of type Name (BUILD), which no state_dict needs",
    ),
    case(
        "weights: a function of the system",
        c.zipped(b"\x80\x02" + c.name("posix", "system") + c.text("true") + b"\x85R."),
        "a.pth: refused: the file names posix.system, which is no part of a tensor and could run anything. Ask its "
        "author for a state_dict or a .safetensors file",
    ),
    case(
        "weights: an object made without its constructor",
        c.zipped(b"\x80\x02" + c.name("collections", "OrderedDict") + b")\x81."),
        "a.pth: refused: its pickle uses NEWOBJ, which no state_dict needs",
    ),
    *[
        case(f"weights: {what}", one(*of), f"{message}; expected integers from 0 on, for at most 32 axes")
        for what, of, message in (
            ("offset -1", [-1], "invalid tensor: shape (4,), strides (1,), offset -1"),
            ("stride -1", [3, (4,), (-1,)], "invalid tensor: shape (4,), strides (-1,), offset 3"),
            ("shape -1", [0, (-1,)], "invalid tensor: shape (-1,), strides (1,), offset 0"),
            ("shape 1.5", [0, (1.5,)], "invalid tensor: shape (1.5,), strides (1,), offset 0"),
            ("shape true", [0, (True,)], "invalid tensor: shape (True,), strides (1,), offset 0"),
            ("shape 2**63", [0, (2**63,)], "invalid tensor: shape (9223372036854775808,), strides (1,), offset 0"),
            ("40 axes", [0, (1,) * 40, (1,) * 40], "offset 0"),
            ("more strides than axes", [0, (4,), (1, 1)], "invalid tensor: shape (4,), strides (1, 1), offset 0"),
        )
    ],
    case(
        "weights: an offset beyond the storage",
        one(4, (1,)),
        f"a.pth: the tensor 'x0' of shape (1,) {OUTSIDE}: offset 4, strides (1,), 4 elements",
    ),
    case(
        "weights: a stride beyond the storage",
        c.legacy(c.state_dict(c.tensor(0, (2, 2), (3, 2)))),
        f"a.pth: the tensor 'x0' of shape (2, 2) {OUTSIDE}: offset 0, strides (3, 2), 4 elements",
    ),
    case("weights: a stride of 2**62", one(0, (2,), (2**62,)), f"of shape (2,) {OUTSIDE}"),
    case(
        "weights: 371 bytes that ask for 3.8 GB by stride 0",
        one(0, (1_000_000_000,), (0,)),
        "a.pth: refused: its tensors take more than 1,048,576 bytes, which is the most that is read from a file of "
        "this size (8 times its own). Ask its author for a .safetensors file",
    ),
    case(
        "weights: a huge empty tensor",
        one(0, (0, 2**62), (1, 1)),
        "a.pth: refused: its tensors take more than 1,048,576 bytes",
    ),
    case(
        "weights: 300 tensors on one storage",
        c.zipped(SHARED, {"0": bytes(100_000)}),
        "a.pth: refused: its tensors take more than ",
    ),
    case(
        "weights: 300 tensors on one storage (legacy)",
        c.legacy(SHARED, count=25_000, raw=bytes(100_000)),
        "a.pth: refused: its tensors take more than ",
    ),
    case(
        "weights: a memory index of 2**31 (LONG_BINPUT)",
        c.zipped(b"\x80\x02}r\xff\xff\xff\x7f."),
        "a.pth: expected tensors by name (a state_dict), found dict",
    ),
    case(
        "weights: a text that claims 4 GB",
        c.legacy(b"\x80\x02X\xff\xff\xff\xffab"),
        "a.pth: the pickle cannot be read: expected 4294967295 bytes in a unicodestring4, but only ",
    ),
    case(
        "weights: a list copied a thousand times",
        c.zipped(repeated(1_000)),
        "a.pth: refused: its pickle repeats the same items more often than it has bytes",
    ),
    case(
        "weights: a deep tuple as a key", c.zipped(nested(20_000)), "a.pth: refused: a key of a dictionary is a tuple"
    ),
    case("weights: a list as a key", c.zipped(b"\x80\x02}]Ns."), "a.pth: refused: a key of a dictionary is a list"),
    case("weights: a pickle without an end", c.zipped(b"\x80\x02}"), "a.pth: the pickle cannot be read: "),
    case(
        "weights: a pickle that takes from an empty stack",
        c.zipped(b"\x80\x02u."),
        "a.pth: the pickle cannot be read: it uses a value that it does not hold. Is the file complete, and a "
        "checkpoint?",
    ),
    case(
        "weights: no tensors", c.zipped(b"\x80\x02K\x05."), "a.pth: expected tensors by name (a state_dict), found int"
    ),
    case(
        "weights: a storage of no known kind",
        one(kind="Size"),
        "names no storage of a tensor",
    ),
    case("weights: a storage of -4 elements", one(numel=-4), "names no storage of a tensor"),
    case(
        "weights: storages listed by numbers",
        c.legacy(c.state_dict(c.tensor()), b"\x80\x02](]]e."),
        "a.pth: the storage [] belongs to no tensor, so its size is not known",
    ),
    case(
        "weights: a storage that claims 2**64 elements",
        c.legacy(c.state_dict(c.tensor(numel=8, shape=(8,))), count=2**64 - 1),
        "a.pth: the file ends within the tensor 'x0': 16 of its 32 bytes are there",
    ),
    case(
        "weights: a member that claims 3 GB",
        claiming(3 * GIB),
        "a.pth: refused: its tensors take more than 1,048,576 bytes",
    ),
    case(
        "weights: a member that claims 100 kB",
        claiming(100_000),
        "a.pth: the tensor 'x0' cannot be read: the archive claims 100,000 bytes for it",
    ),
    case(
        "weights: a compressed archive",
        compressed(),
        "a.pth: refused: PyTorch compresses nothing in its archives, this one does",
    ),
    case(
        "weights: another zip archive", other_zip(), "a.pth: a zip archive without data.pkl is no checkpoint of PyTorch"
    ),
    case(
        "safetensors: 5,000 tensors at the same bytes",
        overlapping(5_000),
        f"a.safetensors: {NO_ANSWER} Error while deserializing header: invalid offset for tensor",
        "a.safetensors",
    ),
    *[
        case(
            f"safetensors: {what}",
            table(*of),
            f"{NO_ANSWER} Error while deserializing header: {message}",
            "a.safetensors",
        )
        for what, of, message in (
            ("shape -1", [(-4,)], "invalid JSON in header: invalid value: integer `-4`, expected usize"),
            ("shape 1.5", [(1.5,)], "invalid JSON in header: invalid type: floating point `1.5`, expected usize"),
            ("shape true", [(True,)], "invalid JSON in header: invalid type: boolean `true`, expected usize"),
            ("shape 2**62 x 4", [(2**62, 4)], "overflow computing buffer size"),
            ("bytes beyond the end", [(8,), (0, 32)], "incomplete metadata, file not fully covered"),
            (
                "a kind that is a list",
                [(4,), (0, 16), []],
                "invalid JSON in header: invalid type: sequence, expected string or map",
            ),
        )
    ],
    case(
        "safetensors: a header 100,000 deep",
        c.safetensors(b"[" * 100_000),
        f"{NO_ANSWER} Error while deserializing header: invalid JSON in header: invalid type: sequence",
        "a.safetensors",
    ),
    case(
        "safetensors: a header of 2**63 bytes",
        c.safetensors(b"{}", length=2**63),
        f"{NO_ANSWER} Error while deserializing header: header too large",
        "a.safetensors",
    ),
    case(
        "safetensors: an empty file",
        b"",
        f"{NO_ANSWER} Error while deserializing header: header too small",
        "a.safetensors",
    ),
    keras_case(
        "a dataset that claims 4 GB",
        "a.weights.h5",
        bomb,
        "a.weights.h5: refused: its weights take 3,600,000,000 bytes and more, of 16,777,216 that are read from a file",
    ),
    keras_case(
        "a dataset that claims 4 GB (.keras)",
        "a.keras",
        bomb,
        "a.keras: refused: its weights take 3,600,000,000 bytes and more, of 16,777,216 that are read from a file",
    ),
    keras_case(
        "numbers in a file of the system",
        "a.weights.h5",
        outside,
        "a.weights.h5: refused: the numbers of layers/dense/vars/0 lie in other files",
    ),
    keras_case(
        "numbers in another HDF5", "a.weights.h5", virtual, "a.weights.h5: refused: the numbers of x lie in other"
    ),
    keras_case(
        "a link to another HDF5",
        "a.weights.h5",
        linked,
        "a.weights.h5: refused: layers is no part of the file, but a ExternalLink",
    ),
    keras_case(
        "cut off",
        "a.weights.h5",
        None,
        "a.weights.h5: cannot be read as weights of Keras, is the file complete? ",
    ),
    Case(
        "weights: a named pipe",
        lambda root: os.mkfifo(root / "a.pth"),
        COMMAND + "a.pth",
        "a.pth: expected a file, found a named pipe; remove it, or put the file there",
        reader=lambda root: read_checkpoint(root / "a.pth"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_weights(case, tmp_path, capsys):
    tracemalloc.start()
    try:
        check(case, tmp_path, capsys)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
