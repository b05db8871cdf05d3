"""Damaged and hostile checkpoints end in one line, in little memory; FOLDWISE_FUZZ=600 goes on for 600 seconds."""

import os
import time
import tracemalloc

import numpy as np
import pytest
from helpers import checkpoints as c
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from foldwise.errors import FoldwiseError
from foldwise.models.pretrained.checkpoints import read_checkpoint

SECONDS = float(os.environ.get("FOLDWISE_FUZZ", "0"))  # 0: one round
MOST = 32 * 2**20  # bytes that reading a small file may take

WHOLE = {
    "zip.pth": c.zipped(c.state_dict(c.tensor(), c.tensor(1, (2,), (1,)))),
    "legacy.pth": c.legacy(c.state_dict(c.tensor(), c.tensor(1, (2,), (1,)))),
    "a.safetensors": c.safetensors({"x": c.entry((2, 2)), "__metadata__": {"format": "pt"}}),
}
SIZES = st.one_of(
    st.integers(-2, 5), st.sampled_from([2**31, 2**40, 2**62, 2**63, 2**64]), st.booleans(), st.none(), st.just(1.5)
)
SHAPES = st.lists(SIZES, max_size=4)
TENSORS = st.builds(
    c.tensor,
    SIZES,
    SHAPES,
    SHAPES,
    key=st.sampled_from(["0", "1", ""]),
    kind=st.sampled_from(["FloatStorage", "BoolStorage", "BFloat16Storage", "DoubleStorage"]),
    numel=SIZES,
)
CODES = b"(.0123FIJKLMNQRSTUVX]abcdeghijloprstuq}" + bytes(range(0x80, 0x92))
PARTS = st.one_of(
    TENSORS,
    st.builds(c.text, st.text(max_size=3)),
    st.builds(c.number, SIZES),
    st.builds(lambda code, rest: bytes([code]) + rest, st.sampled_from(CODES), st.binary(max_size=5)),
    st.sampled_from([b"2", b"(", b"t", b"u", b"R", b"b", b"Q", b"]", b"}", b"e", b"s", b"d", b"r\xff\xff\xff\x7f"]),
    st.sampled_from([c.name("collections", "OrderedDict"), c.name("torch", "Size"), c.name("torch", "FloatStorage")]),
    st.sampled_from([c.name("torch._utils", "_rebuild_parameter"), c.name("os", "system")]),
)
PICKLES = st.lists(PARTS, max_size=12).map(lambda parts: b"\x80\x02" + b"".join(parts) + b".")
JSON = st.recursive(
    st.one_of(SIZES, st.text(max_size=4), st.sampled_from(["F32", "BF16", "F8_E4M3", "BOOL"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
ENTRIES = st.builds(c.entry, st.one_of(SHAPES, JSON), st.one_of(SHAPES, JSON), st.one_of(st.just("F32"), JSON))
FILES = st.one_of(
    st.tuples(st.just("a.pth"), st.lists(TENSORS, min_size=1, max_size=3).map(lambda all_: c.state_dict(*all_))),
    st.tuples(st.just("a.pth"), PICKLES),
).flatmap(lambda made: st.sampled_from([(made[0], c.zipped(made[1])), (made[0], c.legacy(made[1])), made]))
HEADERS = st.one_of(st.dictionaries(st.text(max_size=3), st.one_of(ENTRIES, JSON), max_size=3), JSON)
TABLES = st.builds(lambda header, data: ("a.safetensors", c.safetensors(header, data)), HEADERS, st.binary(max_size=40))


@st.composite
def changed(draw):
    """A whole file of which some bytes are others, or are missing."""
    name, whole = draw(st.sampled_from(sorted(WHOLE.items())))
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        match draw(st.sampled_from(["byte", "cut", "word", "insert", "remove"])):
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del data[at + 1 :]
            case "word":
                data[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)]))
            case "insert":
                data[at:at] = draw(PARTS)
            case "remove":
                del data[at : at + draw(st.integers(1, 20))]
    return name, bytes(data)


def check_file(file, folder):
    """Read a file: arrays of numbers, or one line that names it; in little memory."""
    name, data = file
    path = folder / name
    path.write_bytes(data)
    tracemalloc.start()
    try:
        found = read_checkpoint(path)
        assert all(type(array) is np.ndarray for array in found.values())
        assert sum(array.nbytes for array in found.values()) <= MOST
    except FoldwiseError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 2000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST


@pytest.mark.parametrize("files", [FILES, TABLES, changed()], ids=["pickles", "safetensors", "changed"])
def test_no_file_ends_in_a_traceback_or_takes_much_memory(files, tmp_path):
    started, number = time.monotonic(), 0
    while number == 0 or time.monotonic() - started < SECONDS / 3:

        @seed(number)
        @settings(max_examples=150 if SECONDS == 0 else 2000, database=None)
        @given(files)
        def each(file):
            check_file(file, tmp_path)

        each()
        number += 1
    if SECONDS:
        print(f"{number} rounds of 2,000 files")
