"""Archives inside archives are unpacked, a folder that holds some is repaired, and nothing hostile is written."""

import io
import os
import stat
import zipfile
from pathlib import Path

import py7zr
import pytest
from helpers.archives import renamed_7z, seven_zipped, tarred, written, zipped
from helpers.raw_files import contents, folder_files, left_in, write_folder

from foldwise.__main__ import main
from foldwise.errors import FoldwiseError
from foldwise.kaggle.archives import packed, repair, unpack
from foldwise.stages import download
from foldwise.stages.prepare import prepare

TRAIN = {"1.png": b"one", "2.png": b"two"}


PACKERS = {"zip": zipped, "7z": seven_zipped, "tar": lambda m: tarred(m, "w"), "tar.gz": tarred, "TGZ": tarred}


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_inner_archive_is_unpacked_where_it_lies(tmp_path: Path, suffix: str) -> None:
    inner = PACKERS[suffix]({f"train/{name}": data for name, data in TRAIN.items()})
    loose = PACKERS[suffix](TRAIN)
    one = PACKERS[suffix]({"labels.csv": b"id"})
    members = {f"a/images.{suffix}": inner, f"test.{suffix}": loose, f"labels.csv.{suffix}": one, "sample.csv": b"id"}
    written(tmp_path, {"all.zip": zipped(members)})
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "all.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {
        "a/train/1.png": b"one",
        "a/train/2.png": b"two",
        "labels.csv": b"id",
        "sample.csv": b"id",
        "test/1.png": b"one",
        "test/2.png": b"two",
    }


def test_archives_may_lie_in_archives_and_foreign_members_are_left_out(tmp_path: Path) -> None:
    deep = zipped({"b/3.png": b"three", "__MACOSX/b/._3.png": b"x", ".DS_Store": b"x"})
    written(tmp_path, {"all.zip": zipped({"a.tar.gz": tarred({"train/b.zip": deep}), "train.csv": b"id"})})
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "all.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {"train/b/3.png": b"three", "train.csv": b"id"}


def test_the_same_file_twice_is_no_conflict(tmp_path: Path) -> None:
    written(tmp_path, {"all.zip": zipped({"train.csv": b"id", "train.csv.zip": zipped({"train.csv": b"id"})})})
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "all.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {"train.csv": b"id"}


def hostile_zip(**changes: int) -> bytes:
    member = zipfile.ZipInfo("train/1.png")
    for name, value in changes.items():
        setattr(member, name, value)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(member, b"/etc/passwd")
    return stream.getvalue()


ENCRYPTED_ZIP = zipped(TRAIN).replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("x.zip", zipped({"../evil": b""}), "would be written outside"),
        ("x.tar", tarred({"../evil": b""}, "w"), "would be written outside"),
        ("x.tgz", tarred({"/evil": b""}), "would be written outside"),
        ("x.tar.gz", tarred(TRAIN, link="/etc/passwd"), "'linked' is a link"),
        ("x.zip", hostile_zip(external_attr=(stat.S_IFLNK | 0o777) << 16), "is a link"),
        ("x.zip", ENCRYPTED_ZIP, "x.zip: refused, it is encrypted; unpack it by hand"),
        ("x.7z", seven_zipped(TRAIN, "secret"), "x.7z: refused, it is encrypted; unpack it by hand"),
        ("x.zip", zipped({"train.csv": b"other"}), "'train.csv' exists already in .*, with other contents"),
        ("x.tar.gz", tarred({"1.png": b"1" * 5000})[:60], r"x.tar.gz \(60 bytes\) could not be unpacked"),
        ("x.zip", b"PK", r"x.zip \(2 bytes\) could not be unpacked"),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else value,  # a tar holds the time
)
def test_what_an_inner_archive_must_not_do(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    written(tmp_path, {"all.zip": zipped({"train.csv": b"id", name: data}), "out/here": b""})
    with pytest.raises(FoldwiseError, match=expected):
        unpack(tmp_path / "all.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zip", "out"]
    assert not list(tmp_path.rglob("*evil*"))
    raw = written(tmp_path / "raw" / "x", {"train.csv": b"id", name: data})  # the same by hand
    with pytest.raises(FoldwiseError, match=expected):
        repair(raw)
    assert contents(raw) == {"train.csv": b"id", name: data}
    assert left_in(raw.parent) == [".x.lock", "x"]


def test_an_archive_of_itself_ends(tmp_path: Path) -> None:
    data = b"no archive"
    for _ in range(12):
        data = zipped({"a/again.zip": data})
    written(tmp_path, {"all.zip": data})
    (tmp_path / "out").mkdir()
    with pytest.raises(FoldwiseError, match="more than 8 archives deep"):
        unpack(tmp_path / "all.zip", tmp_path / "out")


def test_a_packed_archive_in_a_download_is_unpacked_and_stays(tmp_path: Path) -> None:
    raw = written(tmp_path / "x", {"train.csv": b"id", "train.zip": zipped(TRAIN), "test.7z": seven_zipped(TRAIN)})
    assert packed(raw) == [raw / "test.7z", raw / "train.zip"]
    assert repair(raw) == [raw / name for name in ("test/1.png", "test/2.png", "train/1.png", "train/2.png")]
    assert (raw / "train" / "2.png").read_bytes() == b"two"
    assert (raw / "train.zip").is_file()
    assert packed(raw) == repair(raw) == []
    (raw / "test" / "1.png").unlink()
    assert repair(raw) == [raw / "test/1.png"]
    (raw / "test" / "1.png").write_bytes(b"mine")
    with pytest.raises(FoldwiseError, match=r"test.7z: refused, its member '1.png' exists already"):
        repair(raw)
    assert (raw / "test" / "1.png").read_bytes() == b"mine"


def test_an_archive_that_is_alone_is_the_whole_download(tmp_path: Path) -> None:
    whole = zipped({"train.csv": b"id", "sample.csv": b"id", "images.zip": zipped(TRAIN)})
    raw = written(tmp_path / "x", {"x.zip": whole, ".DS_Store": b""})
    assert len(repair(raw)) == 4
    expected = ["images/1.png", "images/2.png", "sample.csv", "train.csv"]
    assert sorted(contents(raw).keys() - {"x.zip", ".DS_Store"}) == expected
    assert packed(raw) == repair(raw) == []  # although it is not alone any more


FACES = ("competition=faces", "source=kaggle", "competition.options.label_columns=[label]")


@pytest.mark.parametrize("whole", [True, False], ids=["the download", "images.zip in it"])
def test_prepare_names_the_command_that_unpacks_what_was_put_there_by_hand(
    settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, whole: bool
) -> None:
    one = settings(*FACES)
    source = write_folder(tmp_path / "source", folder_files())
    files = contents(source)
    images = {name.removeprefix("images/"): files.pop(name) for name in list(files) if name.startswith("images/")}
    files["images.zip"] = zipped(images)
    written(one.raw_dir, {"faces.zip": zipped(files)} if whole else files)
    with pytest.raises(FoldwiseError, match=r"not unpacked: `foldwise download competition=faces` unpacks it"):
        prepare(one)
    with caplog.at_level("INFO"):
        assert main(["download", f"root={tmp_path}", *FACES]) == 0  # without a slug, credentials or a network
    assert "files unpacked from" in caplog.text
    data = prepare(one)
    assert data.train.images[:, 0, 0, 0].tolist() == [5, 15, 25, 35]
    assert download.download(one) == one.raw_dir  # a second time


def test_another_error_of_a_folder_without_packed_archives_stays_as_it_is(settings, tmp_path: Path) -> None:
    one = settings(*FACES)
    write_folder(one.raw_dir, folder_files((0, 2, 1)))
    written(one.raw_dir, {"old.zip": zipped({"train.csv": (one.raw_dir / "train.csv").read_bytes()})})
    with pytest.raises(FoldwiseError) as caught:
        prepare(one)
    assert "unpack" not in str(caught.value)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_zip_slip_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"fine.csv": b"1", name: b"2"}))
    (tmp_path / "out").mkdir()
    with pytest.raises(FoldwiseError, match="would be written outside"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "out"]


def test_hostile_7z_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as file:
        file.set_encoded_header_mode(False)
        file.writestr(b"2", "ab/evil")
    slip = renamed_7z(stream.getvalue(), "ab/evil", "../evil")
    damaged = bytearray(seven_zipped({"x": os.urandom(500)}))
    damaged[100] ^= 1
    for data, expected in (
        (slip, "would be written outside"),
        (bytes(damaged), "x.7z .* could not be unpacked"),
        (b"7z", "x.7z .* could not be unpacked"),
        (seven_zipped({"sub/there": b"2"}), "'sub/there' exists already"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "a.zip").write_bytes(zipped({"x.7z": data, "sub/there": b"1"}))
        with pytest.raises(FoldwiseError, match=expected):
            unpack(folder / "a.zip", folder)


def test_damaged_zips_are_refused(tmp_path: Path) -> None:
    damaged = bytearray(zipped({"x.csv": os.urandom(500)}))
    damaged[200] ^= 1
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as file:
        file.writestr(link, "/etc/passwd")
    for data, expected in ((bytes(damaged), "CRC"), (linked.getvalue(), "is a link"), (b"", "not a zip")):
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(FoldwiseError, match=expected):
            unpack(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("pack", [zipped, seven_zipped])
def test_a_bomb_is_refused_before_a_byte_is_written(tmp_path: Path, pack) -> None:
    inner = pack({"zeros.csv": bytes(2_000_000)})
    (tmp_path / "bomb.zip").write_bytes(zipped({"inner.zip" if pack is zipped else "inner.7z": inner}))
    (tmp_path / "out").mkdir()
    with pytest.raises(FoldwiseError, match=r"inner.* refused, it unpacks to .* bytes and more, of 1,000,000 allowed"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", 1_000_000)
    assert not list(tmp_path.rglob("zeros.csv"))
