"""Images that are damaged, made to fill the memory, or lie elsewhere: one line, and little memory."""

import functools
import gzip
import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from helpers.malformed import Case, check

COMMAND = "prepare competition=faces source=kaggle"
GREY = np.tile(np.arange(12, dtype=np.uint8) * 20, (12, 1))


def png(image=GREY):
    return cv2.imencode(".png", image)[1].tobytes()


def raw(root, images, ids=("a", "b", "c", "d"), test=("t",)):
    """Write a folder competition whose images are whole, but for those given: bytes, or a function of the path."""
    folder = root / "data" / "raw" / "faces"
    (folder / "images").mkdir(parents=True)
    for name in {*(f"{id_}.png" for id_ in (*ids, *test) if "/" not in id_), *images}:
        path = folder / "images" / name
        given = images.get(name, png())
        if callable(given):
            given(path)
        elif given is not None:
            path.write_bytes(given)
    pd.DataFrame({"id": ids, "is_face": [i % 2 for i in range(len(ids))]}).to_csv(folder / "train.csv", index=False)
    pd.DataFrame({"id": test, "is_face": 0.5}).to_csv(folder / "sample_submission.csv", index=False)
    return folder


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width=30_000, height=30_000, colour=0):
    """A PNG of zeros: a thousandth of its pixels."""
    data = zlib.compress(bytes((1 + width * {0: 1, 2: 3}[colour]) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def huge_jpeg():
    """A JPEG that claims 65,000 x 65,000 pixels, of which 144 are there."""
    data = bytearray(cv2.imencode(".jpg", GREY)[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(data)


def huge_tiff():
    """A TIFF that claims 40,000 x 40,000 pixels in one strip of 4 bytes."""
    tags = [(256, 40_000), (257, 40_000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 40_000), (279, 4)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 12) + bytes(4) + struct.pack("<H", len(tags)) + entries + bytes(4)


def huge_bmp():
    return b"BM" + struct.pack("<IHHI", 60, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 8, *[0] * 6)


def huge_gif():
    return b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + bytes([0x80, 0, 0]) + bytes(6) + b";"


def npy(shape, data=b""):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(n_bytes, name="image.npy"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, npy((1, n_bytes), bytes(n_bytes)))
        if name != "image.npy":
            archive.writestr("0.png", png())
    return buffer.getvalue()


def dicom(rows, columns, frames):
    """An uncompressed DICOM image of 4 bytes with the sizes given."""

    def element(group, number, kind, value):
        length = struct.pack("<HI", 0, len(value)) if kind in (b"OB", b"OW") else struct.pack("<H", len(value))
        return struct.pack("<HH", group, number) + kind + length + value

    syntax = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")
    body = b"".join(
        [
            element(0x28, 2, b"US", struct.pack("<H", 1)),
            element(0x28, 4, b"CS", b"MONOCHROME2 "),
            element(0x28, 8, b"IS", f"{frames}".encode().ljust(10)),
            element(0x28, 0x10, b"US", struct.pack("<H", rows)),
            element(0x28, 0x11, b"US", struct.pack("<H", columns)),
            element(0x28, 0x100, b"US", struct.pack("<H", 8)),
            element(0x28, 0x101, b"US", struct.pack("<H", 8)),
            element(0x28, 0x102, b"US", struct.pack("<H", 7)),
            element(0x28, 0x103, b"US", struct.pack("<H", 0)),
            element(0x7FE0, 0x10, b"OW", bytes(4)),
        ]
    )
    return bytes(128) + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(syntax))) + syntax + body


def deflated_dicom(n_bytes):
    data = dicom(2, 2, 1).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    data = data.replace(b"UI\x14\x00", b"UI\x16\x00")
    data = data[:140] + struct.pack("<I", 30) + data[144:]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return data[:174] + squeeze.compress(data[174:] + bytes(n_bytes)) + squeeze.flush()


def gzipped(n_bytes):
    return gzip.compress(bytes(n_bytes))


def nifti(sides):
    header = bytearray(352)
    header[0:4] = struct.pack("<i", 348)
    header[40:56] = struct.pack("<8h", 3, *sides, 1, 1, 1, 1)
    header[70:74] = struct.pack("<hh", 2, 8)
    header[108:112] = struct.pack("<f", 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(4)


def parquet(values):
    """A file with one image in each row; equal ones are stored once."""
    table = pd.DataFrame({"id": [str(i) for i in range(len(values))], "image": values})
    return lambda path: table.to_parquet(path, index=False, row_group_size=len(values))


def written(make, *arguments):
    """Write what takes seconds to make: not where the tests are only collected."""
    return lambda path: path.write_bytes(made(make, *arguments))


@functools.cache
def made(make, *arguments):
    return make(*arguments)


def hdf5(fill):
    def write(path):
        with h5py.File(path, "w") as file:
            fill(file, path)

    return write


def claiming(file, path):
    file["0"] = GREY
    file.create_dataset("a", (60_000, 60_000), "u1", chunks=(9, 9))


def linked(file, path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["a"] = GREY
    file["0"] = GREY
    file["a"] = h5py.ExternalLink("other.h5", "a")


def virtual(file, path):
    layout = h5py.VirtualLayout((12, 12), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "a", (12, 12))
    file["0"] = GREY
    file.create_virtual_dataset("a", layout)


def one(what, name, data, message, options=""):
    """A row of the table whose first image is another one."""
    images = {name: data} | ({} if name == "a.png" else {"a.png": None})
    return Case(f"image: {what}", lambda root: raw(root, images), f"{COMMAND} {options}", f"{TRAIN}{message}")


def held(what, name, write, message, ids=("a", "0")):
    """A row of the table whose images lie in one file."""
    options = f"competition.options.images={name} competition.options.test=none"
    images = {f"../{name}": write}
    return Case(f"image: {what}", lambda root: raw(root, images, ids), f"{COMMAND} {options}", message)


NO_IMAGE = "does not decode as an image"
TRAIN = "error: train.csv, row 1: "
MORE = "if you trust it, set competition.options.max_decoded=SIZE, such as 2GB); competition.options.broken=skip"
LEAST = f"of 128,000,000 allowed; {MORE}"
FULL = [  # those that would fill the memory
    one(
        "a PNG of 30,000 x 30,000 pixels",
        "a.png",
        written(huge_png),
        f"a.png {NO_IMAGE} (874852 bytes: refused: decoded it takes 900,000,000 bytes, of 174,970,400 allowed; {MORE}",
    ),
    *[
        one(what, name, data, f"{name} {NO_IMAGE} ({size} bytes: refused: decoded it takes {takes} bytes, {LEAST}")
        for what, name, data, size, takes in (
            (
                "a PNG in colour of 10,000 x 10,000",
                "a.png",
                written(huge_png, 10_000, 10_000, 2),
                291_662,
                "300,000,000",
            ),
            (
                "a PNG with a chunk that claims 2 GB",
                "a.png",
                png()[:33] + b"\x7f\xff\xff\xff" + png()[37:],
                94,
                "2,147,483,647",
            ),
            ("a JPEG that claims 65,000 x 65,000", "a.jpg", huge_jpeg(), 377, "12,675,000,000"),
            ("a TIFF that claims 40,000 x 40,000", "a.tif", huge_tiff(), 126, "1,600,000,000"),
            ("a BMP that claims 30,000 x 30,000", "a.bmp", huge_bmp(), 54, "3,600,000,000"),
            ("a GIF that claims 60,000 x 60,000", "a.gif", huge_gif(), 20, "14,400,000,000"),
            ("an NPZ of 300 MB in 292 kB", "a.npz", written(npz, 300_000_000), 291_789, "300,000,128"),
            ("a DICOM that claims 60,000 x 60,000", "a.dcm", dicom(60_000, 60_000, 1), 296, "3,600,000,000"),
            ("a DICOM of 300 MB in 292 kB", "a.dcm", written(deflated_dicom, 300_000_000), 291_845, "128,974,848"),
            ("a NIfTI that claims 7 TB", "a.nii", nifti((30_000, 30_000, 1_000)), 356, "7,200,000,000,000"),
            ("a compressed NIfTI of 300 MB", "a.nii.gz", written(gzipped, 300_000_000), 291_608, "128,974,848"),
        )
    ],
    one(
        "a DICOM that claims 2,000,000,000 frames",
        "a.dcm",
        dicom(2, 2, 2_000_000_000),
        f"a.dcm {NO_IMAGE} (296 bytes: refused: decoded it takes 8,000,000,000 bytes, {LEAST}",
        "competition.options.pages=all",
    ),
    one(
        "an NPY that claims 60,000 x 60,000",
        "a.npy",
        npy((60_000, 60_000)),
        f"a.npy {NO_IMAGE} (128 bytes: its header claims the shape (60000, 60000), which takes 3,600,000,000 bytes)",
    ),
    held(
        "a dataset of HDF5 that claims 4 GB",
        "x.h5",
        hdf5(claiming),
        f"x.h5[a] {NO_IMAGE} (0 bytes: refused: decoded it takes 3,600,000,000 bytes, {LEAST}",
    ),
    held(
        "an image of 300 MB in a zip of 292 kB",
        "x.zip",
        written(npz, 300_000_000, "a.npy"),
        f"x.zip[a.npy] {NO_IMAGE} (0 bytes: refused: decoded it takes 300,000,128 bytes, {LEAST}",
    ),
    held(
        "a parquet in which one image stands for 300",
        "x.parquet",
        lambda path: parquet([bytes(10**6)] * 300)(path),
        f"x.parquet[0] {NO_IMAGE} (0 bytes: refused: decoded it takes 128,000,512 bytes, {LEAST}",
        ("0", "1"),
    ),
]
CASES = [
    *FULL,
    one("an NPY of a negative side", "a.npy", npy((-4, 4)), f"a.npy {NO_IMAGE} (128 bytes: its header claims"),
    one("an NPY of objects", "a.npy", npy((1,)).replace(b"|u1", b"|O "), f"a.npy {NO_IMAGE} (128 bytes: "),
    one("an empty file", "a.png", b"", f"a.png {NO_IMAGE} (0 bytes)"),
    one("a web page", "a.png", b"<!DOCTYPE html>", f"a.png {NO_IMAGE} (15 bytes)"),
    one("a PNG that is cut off", "a.png", png()[:40], f"a.png {NO_IMAGE} (40 bytes)"),
    one(
        "a PostScript program",
        "a.png",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
        f"a.png {NO_IMAGE} (76 bytes: PostScript is a program, and is not run)",
    ),
    one("a named pipe", "a.png", os.mkfifo, "{root}/data/raw/faces/images/a.png: expected a file, found a named pipe"),
    one(
        "a device that never ends",
        "a.png",
        lambda path: path.symlink_to("/dev/zero"),
        "{root}/data/raw/faces/images/a.png: expected a file, found a device; remove it, or put the file there",
    ),
    one("a link to nowhere", "a.png", lambda path: path.symlink_to("nowhere"), "a.png cannot be read: "),
    held(
        "a link of HDF5 to another file",
        "x.h5",
        hdf5(linked),
        f"x.h5[a] {NO_IMAGE} (0 bytes: refused: it is a link to another file)",
    ),
    held(
        "a dataset of HDF5 whose numbers lie elsewhere",
        "x.h5",
        hdf5(virtual),
        f"x.h5[a] {NO_IMAGE} (0 bytes: refused: its numbers lie in other files)",
    ),
    held("a zip that is none", "x.zip", lambda path: path.write_bytes(b"PK"), "x.zip: cannot be read: "),
    held("a named pipe in place of a zip", "x.zip", os.mkfifo, "x.zip: expected a file, found a named pipe"),
    Case(
        "option: a limit of images that is no size",
        lambda root: raw(root, {}),
        f"{COMMAND} competition.options.max_decoded=much",
        "error: competition.options.max_decoded=much: expected a size such as 20GB, 500MB or a number of bytes",
        2,
    ),
]


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case in FULL else case for case in CASES],
    ids=lambda case: case.name,
)
def test_malformed_images(case, tmp_path, capsys):
    check(case._replace(message=case.message.replace("{root}", str(tmp_path / "root"))), tmp_path, capsys)


def test_what_is_trusted_is_read(tmp_path, capsys):
    """A PNG of 300 MB in colour is read where the option allows it; here it is one of 7 MB that is not."""
    folder = raw(tmp_path, {f"{name}.png": huge_png(1_600, 1_600, 2) for name in "abcdt"})
    assert folder.is_dir()
    from foldwise.__main__ import main

    words = [*COMMAND.split(), f"root={tmp_path}"]
    assert main([*words, "competition.options.max_decoded=7MB"]) == 1
    assert "decoded it takes 7,680,000 bytes, of 7,000,000 allowed" in capsys.readouterr().err
    assert main([*words, "competition.options.max_decoded=8MB"]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux counts the memory of a process there")
def test_no_image_of_one_megabyte_takes_a_gigabyte(tmp_path):
    """The most memory of a process that meets all images that would fill it, as Linux counts it."""
    for number, case in enumerate(FULL):
        (tmp_path / str(number)).mkdir()
        case.write(tmp_path / str(number))
    commands = [[*case.command.split(), f"root={tmp_path / str(number)}"] for number, case in enumerate(FULL)]
    code = (
        "from foldwise.__main__ import main\n"
        f"assert all(main(words) == 1 for words in {commands!r})\n"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) * 1024 < 10**9, found.stdout
    assert all(path.stat().st_size < 10**6 for path in Path(tmp_path).rglob("images/*"))
