"""Checkpoints of PyTorch and safetensors files, written byte by byte, so that they can be wrong in any place."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
VALUES = np.arange(4, dtype="<f4")


def text(value: str) -> bytes:
    """The instruction of a text."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: object) -> bytes:
    """The instruction of a number, or of a truth value or None."""
    if isinstance(value, bool) or value is None:
        return {True: b"\x88", False: b"\x89", None: b"N"}[value]
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(encoded)) + encoded


def tuple_of(*parts: bytes) -> bytes:
    """The instructions of a tuple."""
    return b"(" + b"".join(parts) + b"t"


def name(module: str, attribute: str) -> bytes:
    """The instruction of a name."""
    return f"c{module}\n{attribute}\n".encode()


def storage(key="0", kind="FloatStorage", numel: object = 4) -> bytes:
    """The reference of a storage."""
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(numel)) + b"Q"


def tensor(offset: object = 0, shape=(4,), strides=(1,), **of: object) -> bytes:
    """The call that rebuilds a tensor."""
    sizes = [tuple_of(*map(number, sizes)) for sizes in (shape, strides)]
    arguments = tuple_of(storage(**of), number(offset), *sizes, b"\x89", b"}")
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def state_dict(*tensors: bytes, **named: bytes) -> bytes:
    """A pickle of tensors by name: x0, x1, ..., and those with names of their own."""
    every = {f"x{i}": one for i, one in enumerate(tensors)} | named
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in every.items()) + b"u."


def zipped(data: bytes, storages: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A checkpoint in the zip format."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, raw in ({"0": VALUES.tobytes()} if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", raw)
    return buffer.getvalue()


def legacy(data: bytes, keys: bytes | None = None, count: int = 4, raw: bytes = VALUES.tobytes()) -> bytes:
    """A checkpoint in the legacy format."""
    parts = [pickle.dumps(value, protocol=2) for value in (MAGIC, 1001, {"little_endian": True})]
    listed = pickle.dumps(["0"], protocol=2) if keys is None else keys
    return b"".join([*parts, data, listed, struct.pack("<Q", count), raw])


def safetensors(header: dict | bytes, data: bytes = VALUES.tobytes(), length: int | None = None) -> bytes:
    """A safetensors file; length: what it claims of its header."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def entry(shape: object = (4,), offsets: object = (0, 16), dtype: object = "F32") -> dict:
    """What a safetensors header has of a tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}
