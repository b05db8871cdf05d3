"""Archives that are damaged, hostile or made to fill the disk: one line each, and nothing outside the folder."""

import bz2
import io
import lzma
import os
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile

import py7zr
import pytest
from helpers.archives import renamed_7z, seven_zipped, tarred, zipped
from helpers.malformed import Case, check

from foldwise.kaggle.leaderboard import read_leaderboard

COMMAND = "download competition=faces competition.slug=faces"
TRAIN = {"1.png": b"one", "2.png": b"two"}


def case(what, name, data, message, options=""):
    """A row of the table: an archive that lies in the raw folder; data: bytes, or a function that makes them."""

    def write(root):
        folder = root / "data" / "raw" / "faces"
        folder.mkdir(parents=True)
        (folder / "train.csv").write_bytes(b"id")
        (folder / name).write_bytes(data() if callable(data) else data)

    return Case(f"archive: {what}", write, f"{COMMAND} {options}", f"error: {message}")


def changed(data, place, form, *values):
    """Bytes in which others are written at a place behind the header of the last member in the table of contents."""
    found = bytearray(data)
    struct.pack_into(form, found, found.rindex(b"PK\x01\x02") + place, *values)
    return bytes(found)


def linked():
    member = zipfile.ZipInfo("1.png")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(member, b"/etc/passwd")
    return stream.getvalue()


def twice():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for data in TRAIN.values():
            file.writestr("1.png", data)
    return stream.getvalue()


def pipe():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        about = tarfile.TarInfo("1.png")
        about.type = tarfile.FIFOTYPE
        file.addfile(about)
    return stream.getvalue()


def header(size):
    """The header of a member of a tar that claims a size."""
    about = tarfile.TarInfo("1.png")
    about.size = size
    return about.tobuf()


def squeezed(packer, n_blocks):
    """A tar of 64 MiB blocks of zeros, packed: a thousandth and less of them."""
    stream = io.BytesIO()
    with packer(stream, "w") as file:
        file.write(header(n_blocks * 2**26))
        for _ in range(n_blocks):
            file.write(bytes(2**26))
    return stream.getvalue()


def slip():
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as file:
        file.set_encoded_header_mode(False)
        file.writestr(b"2", "ab/evil")
    return renamed_7z(stream.getvalue(), "ab/evil", "../evil")


def nested(n):
    data = b"no archive"
    for _ in range(n):
        data = zipped({"a/again.zip": data})
    return data


def at_most(sizes):
    return f"and more, of {sizes} allowed; if you trust it, set download.max_unpacked=SIZE, such as 500GB"


SEVEN = seven_zipped(TRAIN)
OUTSIDE = "would be written outside the folder"
CASES = [
    case(
        "a zip that claims 2 GB",
        "x.zip",
        changed(zipped({"1.png": bytes(1000)}), 24, "<I", 2_000_000_000),
        f"x.zip: refused, it unpacks to 2,000,000,000 bytes {at_most('1,073,741,824')}",
    ),
    case(
        "a tar that claims 2**40 bytes",
        "x.tar",
        header(2**40) + bytes(1024),
        f"x.tar: refused, it unpacks to 1,099,511,627,776 bytes {at_most('1,073,741,824')}",
    ),
    case(
        "a tar that claims 2**40 bytes (bz2)",
        "x.tar.bz2",
        lambda: bz2.compress(header(2**40) + bytes(2**24)),
        f"x.tar.bz2: refused, it unpacks to 1,099,511,627,776 bytes {at_most('1,073,741,824')}",
    ),
    case(
        "a tar of 64 MB (xz) where 1 MB is allowed",
        "x.tar.xz",
        lambda: squeezed(lzma.LZMAFile, 1),
        f"x.tar.xz: refused, it unpacks to 67,108,864 bytes {at_most('1,000,000')}",
        "download.max_unpacked=1MB",
    ),
    case(
        "100,000 bytes where 1 kB is allowed",
        "x.7z",
        seven_zipped({"1.png": bytes(100_000)}),
        f"x.7z: refused, it unpacks to 100,000 bytes {at_most('1,000')}",
        "download.max_unpacked=1KB",
    ),
    case(
        "a member named ../evil", "x.zip", zipped({"../evil": b""}), f"x.zip: refused, its member '../evil' {OUTSIDE}"
    ),
    case("a member named /evil", "x.tgz", tarred({"/evil": b""}), f"x.tgz: refused, its member '/evil' {OUTSIDE}"),
    case(
        "a member named a\\..\\..\\evil",
        "x.zip",
        zipped({"a\\..\\..\\evil": b""}),
        f"x.zip: refused, its member 'a\\\\..\\\\..\\\\evil' {OUTSIDE}",
    ),
    case(
        "a member named C:evil",
        "x.zip",
        zipped({"C:evil": b""}),
        f"x.zip: refused, its member 'C:evil' {OUTSIDE}",
    ),
    case(
        "a member of a 7z named ../evil",
        "x.7z",
        slip(),
        f"x.7z: refused, its member '../evil' {OUTSIDE}",
    ),
    case("a link", "x.zip", linked(), "x.zip: refused, its member '1.png' is a link"),
    case(
        "a link of a tar",
        "x.tar.gz",
        tarred(TRAIN, link="/etc/passwd"),
        "x.tar.gz: refused, its member 'linked' is a link",
    ),
    case("a named pipe", "x.tar", pipe(), "x.tar: refused, its member '1.png' is a link"),
    case("two members of one name", "x.zip", twice(), "x.zip: refused, two of its members have the same name"),
    case("encrypted", "x.7z", seven_zipped(TRAIN, "secret"), "x.7z: refused, it is encrypted; unpack it by hand"),
    case(
        "archives 12 deep",
        "x.zip",
        zipped({"b/x.zip": nested(12)}),
        "again.zip: refused, it lies more than 8 archives deep",
    ),
    case("cut off", "x.zip", zipped(TRAIN)[:50], "x.zip (50 bytes) could not be unpacked, download it again: "),
    case("cut off (7z)", "x.7z", SEVEN[:60], "x.7z (60 bytes) could not be unpacked, download it again: "),
    case(
        "cut off (tar)",
        "x.tar.gz",
        tarred(TRAIN)[:60],
        "x.tar.gz (60 bytes) could not be unpacked, download it again: ",
    ),
    case("empty", "x.zip", b"", "x.zip (0 bytes) could not be unpacked, download it again: File is not a zip file"),
    case(
        "a checksum that differs",
        "x.zip",
        changed(zipped(TRAIN), 16, "<I", 1),
        "x.zip (204 bytes) could not be unpacked, download it again: Bad CRC-32 for file '2.png'",
    ),
]


LEADERBOARDS = [
    Case(
        f"leaderboard: {what}",
        lambda root, data=data: (root / "l.zip").write_bytes(data() if callable(data) else data),
        "grade competition=faces leaderboard={root}/l.zip",
        message,
        reader=lambda root: read_leaderboard(root / "l.zip", True),
    )
    for what, data, message in (
        (
            "a CSV of 200 MB in a zip of 200 kB",
            lambda: zipped({"l.csv": bytes(200_000_000)}),
            "l.zip: refused, its CSV takes more than 100,000,000 bytes, which no leaderboard has; unpack it by hand",
        ),
        (
            "a checksum that differs",
            changed(zipped({"l.csv": b"team,score\n"}), 16, "<I", 1),
            "l.zip: cannot be unpacked, download it again: Bad CRC-32 for file 'l.csv'",
        ),
        ("two CSVs", zipped({"a.csv": b"", "b.csv": b""}), "l.zip: expected one CSV in it, found a.csv, b.csv"),
    )
]


@pytest.mark.parametrize("case", LEADERBOARDS, ids=lambda case: case.name)
def test_malformed_leaderboards(case, tmp_path, capsys):
    check(case, tmp_path, capsys)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_archives(case, tmp_path, capsys):
    started = time.monotonic()
    tracemalloc.start()
    try:
        check(case, tmp_path, capsys)
        assert tracemalloc.get_traced_memory()[1] < 300 * 10**6
    finally:
        tracemalloc.stop()
    raw = tmp_path / "root" / "data" / "raw" / "faces"
    assert len(os.listdir(raw)) == 2  # noqa: PTH208  # the archive and the table, as they were
    assert time.monotonic() - started < 60
