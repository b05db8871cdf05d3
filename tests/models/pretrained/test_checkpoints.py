"""Checkpoints are read to the bit, and nothing in them is run."""

import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from foldwise.errors import FoldwiseError
from foldwise.models.pretrained.checkpoints import LEGACY_MAGIC, read_checkpoint
from foldwise.models.pretrained.fetch import published_path

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.array([0.5, -1.5], np.float32),
    "bn.num_batches_tracked": np.array(7, np.int64),
}


@pytest.fixture
def pickled(monkeypatch):
    """Pickle arrays as PyTorch pickles tensors; return the bytes and the storages."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module in (torch, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2

    class Storage:
        def __init__(self, key, array):
            self.key, self.array = key, array

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            strides = tuple(s // self.array.itemsize for s in self.array.strides)
            args = (Storage(self.key, self.array), 0, self.array.shape, strides, False, OrderedDict())
            return _rebuild_tensor_v2, args

    def dump(wrap=lambda tensors: tensors, legacy=False):
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=2)

        def persistent_id(value):
            if not isinstance(value, Storage):
                return None
            kind = torch.FloatStorage if value.array.dtype == np.float32 else torch.LongStorage
            return ("storage", kind, value.key, "cpu", value.array.size, *([None] if legacy else []))

        pickler.persistent_id = persistent_id
        tensors = OrderedDict((name, Tensor(str(i), array)) for i, (name, array) in enumerate(ARRAYS.items()))
        pickler.dump(wrap(tensors))
        return buffer.getvalue()

    return dump


def write_zip(path, data, arrays=None):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays or ARRAYS.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def write_legacy(path, data):
    parts = [pickle.dumps(value, protocol=2) for value in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    parts += [data, pickle.dumps([str(i) for i in range(len(ARRAYS))], protocol=2)]
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in ARRAYS.values()]
    path.write_bytes(b"".join(parts))
    return path


def write_header(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def write_safetensors(path, cut=0):
    header, place = {"__metadata__": {"format": "pt"}}, 0
    kinds = {"float32": "F32", "int64": "I64"}
    for name, array in ARRAYS.items():
        kind = kinds[str(array.dtype)]
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    data = b"".join(array.tobytes() for array in ARRAYS.values())
    return write_header(path, header, data[: len(data) - cut])


def assert_read(path):
    found = read_checkpoint(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert (found[name] == array).all()


def test_zip_legacy_and_safetensors_are_read_to_the_bit(tmp_path, pickled):
    assert_read(write_zip(tmp_path / "a.pth", pickled()))
    assert_read(write_legacy(tmp_path / "b.pth", pickled(legacy=True)))
    assert_read(write_safetensors(tmp_path / "c.safetensors"))


def test_bfloat16_of_safetensors_comes_as_float32(tmp_path):
    header = {"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    path = write_header(tmp_path / "a.safetensors", header, bytes.fromhex("803f c0bf 4940"))
    found = read_checkpoint(path)["x"]
    assert found.dtype == np.float32
    assert found.tolist() == [1, -1.5, 3.140625]  # 0x3f80, 0xbfc0, 0x4049: the upper halves of float32


@pytest.mark.parametrize(
    ("dtype", "shape", "reason"),
    [("F32", [3], "invalid shape"), ("Q9", [2], "unknown variant `Q9`"), ("F8_E4M3", [8], "float8_e4m3fn")],
)
def test_safetensors_that_do_not_fit_numpy_name_the_file(tmp_path, dtype, shape, reason):
    path = tmp_path / "a.safetensors"
    write_header(path, {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, 8]}}, bytes(8))
    with pytest.raises(FoldwiseError, match=f"{path}: cannot be read as safetensors.*{reason}"):
        read_checkpoint(path)


def test_a_training_scripts_checkpoint_gives_its_state_dict(tmp_path, pickled):
    def wrap(tensors):
        named = {f"module.{name}": tensor for name, tensor in tensors.items()}
        return {"epoch": 3, "state_dict": named, "lr": 0.1}

    assert_read(write_zip(tmp_path / "a.pth", pickled(wrap)))


class Malicious:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare", "first"])
def test_a_pickle_that_calls_os_system_is_refused_and_nothing_runs(tmp_path, pickled, kind):
    mark = tmp_path / "was_here"
    bad = Malicious(f"touch {mark}")
    data = pickled(lambda tensors: tensors | {"x": bad}, legacy=kind == "legacy")
    path = tmp_path / "a.pth"
    if kind == "zip":
        write_zip(path, data)
    elif kind == "legacy":
        write_legacy(path, data)
    else:
        first = pickle.dumps(bad, protocol=2)
        path.write_bytes(first if kind == "bare" else first + data)
    with pytest.raises(FoldwiseError, match=r"refused: the file names (posix|nt)\.system"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "torch.load", "torch._utils._rebuild_device_tensor_from_numpy"])
def test_other_names_are_refused_too(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02c" + f"{module}\n{attribute}\n".encode() + b".")
    with pytest.raises(FoldwiseError, match=f"the file names {name}"):
        read_checkpoint(path)


def test_what_is_cut_off_names_the_first_tensor(tmp_path, pickled):
    whole = write_legacy(tmp_path / "a.pth", pickled(legacy=True)).read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[: -16 - 2])  # the last tensor takes 8 + 8 bytes
    with pytest.raises(FoldwiseError, match=r"within the tensor 'conv.bias': 6 of its 8 bytes"):
        read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(FoldwiseError, match=r"b.safetensors: .*is the file complete\?.*file not fully covered"):
        read_checkpoint(write_safetensors(tmp_path / "b.safetensors", cut=10))
    whole = write_zip(tmp_path / "c.pth", pickled()).read_bytes()
    (tmp_path / "c.pth").write_bytes(whole[: whole.index(b"archive/data/1") + 16])
    with pytest.raises(FoldwiseError, match=r"incomplete part is the tensor 'conv.bias'"):
        read_checkpoint(tmp_path / "c.pth")
    short = (ARRAYS["conv.weight"], ARRAYS["conv.bias"][:1], ARRAYS["bn.num_batches_tracked"])
    with pytest.raises(FoldwiseError, match=r"within the tensor 'conv.bias': 4 of its 8"):
        read_checkpoint(write_zip(tmp_path / "d.pth", pickled(), short))


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", b"<!DOCTYPE html>", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(FoldwiseError, match=str(tmp_path / "a.pth")):
        read_checkpoint(tmp_path / "a.pth")


def test_real_weights_of_the_package():
    tensors = read_checkpoint(published_path("efficientnet_lite0"))
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    weights = [a.size for name, a in tensors.items() if "running" not in name and "num_batches" not in name]
    assert sum(weights) == 4_652_008


def test_torch_reads_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="`make oracle` installs PyTorch")
    wide = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    given = {"t": wide.T, "part": wide[1:4, 2:], "half": wide.half(), "brain": wide.bfloat16(), "n": torch.arange(3)}
    for new in (True, False):
        path = Path(tmp_path / f"{new}.pth")
        torch.save({"state_dict": given}, path, _use_new_zipfile_serialization=new)
        found = read_checkpoint(path)
        for name, tensor in given.items():
            assert (found[name] == (tensor.float() if name == "brain" else tensor).numpy()).all()
