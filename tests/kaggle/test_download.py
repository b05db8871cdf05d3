"""Downloads by the real client from a local server that speaks Kaggle's protocol."""

import contextlib
import hashlib
import os
import random
import signal
import threading
from pathlib import Path

import pytest
from helpers.archives import seven_zipped, zipped
from helpers.kaggle_server import RULES, SLUG, KaggleServer, Refusal

from foldwise.errors import FoldwiseError
from foldwise.kaggle import download


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(download, "TRIES", 2)


def leftovers(raw_dir: Path) -> list[str]:
    """What lies where raw folders are, locks aside."""
    there = raw_dir.parent.iterdir() if raw_dir.parent.exists() else []
    return sorted(path.name for path in there if not path.name.endswith(".lock"))


MIB = 2**20  # the client writes so many bytes at once
RECORD, STORE = f".{SLUG}.downloaded.json", f".{SLUG}.download"


def test_download_is_unpacked_whole(server: KaggleServer, raw_dir: Path) -> None:
    server.archive = zipped(
        {
            "sample_submission.csv": b"id,is_iceberg\n",
            "images/b/1.png": b"\x89PNG",
            "train.json.7z": seven_zipped({"data/processed/train.json": b"[]" * 5000}),
        }
    )
    raw_dir.mkdir(parents=True)  # an empty folder is no obstacle
    files = download.download(SLUG, raw_dir)
    names = ["data/processed/train.json", "images/b/1.png", "sample_submission.csv"]
    assert [path.relative_to(raw_dir).as_posix() for path in files] == names
    assert files[0].read_bytes() == b"[]" * 5000
    assert leftovers(raw_dir) == [RECORD, SLUG]
    assert server.received == [("DownloadDataFiles", {"competitionName": SLUG}), ("archive", None)]


def test_what_is_there_is_not_fetched_again(server: KaggleServer, raw_dir: Path) -> None:
    server.archive = zipped({"a.csv": b"1,2\n", "b.csv": b"3\n"})
    download.download(SLUG, raw_dir)
    server.received.clear()
    assert download.complete(raw_dir)
    assert download.download(SLUG, raw_dir) == []
    assert server.received == []
    (raw_dir / "a.csv").unlink()
    assert not download.complete(raw_dir)
    assert download.download(SLUG, raw_dir) == [raw_dir / "a.csv"]
    assert (raw_dir / "a.csv").read_bytes() == b"1,2\n"
    (raw_dir / "b.csv").write_bytes(b"edited\n")
    with pytest.raises(FoldwiseError, match=r"b.csv was changed since it was downloaded \(7 bytes, then 2\)"):
        download.download(SLUG, raw_dir)
    assert (raw_dir / "b.csv").read_bytes() == b"edited\n"


def test_files_of_the_user_are_left_alone(server: KaggleServer, raw_dir: Path) -> None:
    raw_dir.mkdir(parents=True)
    (raw_dir / "mine.csv").write_text("1")
    with pytest.raises(FoldwiseError, match=f"{raw_dir} already holds files"):
        download.download(SLUG, raw_dir)
    assert server.received == []


def test_truncated_archive_is_refused(server: KaggleServer, raw_dir: Path) -> None:
    whole = zipped({"train.csv": os.urandom(5000)})
    server.archive = whole[:4000]
    with pytest.raises(FoldwiseError, match=r"iceberg-or-ship.zip \(4,000 bytes\) could not be unpacked"):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


@pytest.mark.slow
def test_silent_download_ends(server: KaggleServer, raw_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 2.0)
    monkeypatch.setattr(download, "TRIES", 1)
    server.archive, server.stall_after = zipped({"train.csv": os.urandom(3 * MIB)}), 2 * MIB + 100
    with pytest.raises(FoldwiseError, match="timed out: nothing came in 2 s"):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == [STORE]  # the part is kept, and nothing takes it for the raw files
    assert not download.complete(raw_dir)
    server.stall_after = None
    download.download(SLUG, raw_dir)
    assert ("rest", 2 * MIB) in server.received
    assert leftovers(raw_dir) == [RECORD, SLUG]


@pytest.mark.slow
def test_a_cut_answer_is_gone_on_with(server: KaggleServer, raw_dir: Path) -> None:
    """The client asks for the rest by itself, after some seconds."""
    table = os.urandom(3 * MIB)
    server.archive, server.cuts = zipped({"train.csv": table}), [MIB + 5]
    download.download(SLUG, raw_dir)
    assert (raw_dir / "train.csv").read_bytes() == table
    assert server.names == ["DownloadDataFiles", "archive", "rest"]


@pytest.mark.slow
def test_another_version_at_the_host_is_fetched_from_its_start(
    server: KaggleServer, raw_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 2.0)
    monkeypatch.setattr(download, "TRIES", 1)
    server.archive, server.stall_after = zipped({"train.csv": os.urandom(3 * MIB)}), 2 * MIB
    with pytest.raises(FoldwiseError, match="timed out"):
        download.download(SLUG, raw_dir)
    monkeypatch.setattr(download, "STALL_SECONDS", 60.0)  # a busy machine starts the client late
    server.stall_after, server.etag = None, '"v2"'
    server.archive = zipped({"train.csv": b"new"})  # smaller than what there is, and older than it
    download.download(SLUG, raw_dir)
    assert (raw_dir / "train.csv").read_bytes() == b"new"


def kill_client(folder: Path, part: Path, size: int, ended: threading.Event) -> None:
    """Kill the client with SIGKILL, as the system does for want of memory, as soon as it has written so many bytes.

    folder: below which it writes; part: the file; ended: set when the download is over, killed or not.
    """
    while not ended.wait(0.01):
        if not part.is_file() or part.stat().st_size < size:
            continue
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # a process may end meanwhile
                if entry.name.isdigit() and str(folder) in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    os.kill(int(entry.name), signal.SIGKILL)
                    return


@pytest.mark.slow
@pytest.mark.parametrize("validator", [True, False])
def test_killed_at_many_moments(server: KaggleServer, raw_dir: Path, validator: bool) -> None:
    """Three downloads, each killed five times at random, with and without a host that lets one go on."""
    rng = random.Random(int(validator))
    server.etag = '"v1"' if validator else None
    for number in range(3):
        table = rng.randbytes(4 * MIB)
        server.archive, target = zipped({"train.csv": table}), raw_dir / str(number)
        server.slice_seconds = 0.01  # two thirds of a second in all
        for _ in range(5):
            ended, part = threading.Event(), target.parent / f".{target.name}.download" / f"{SLUG}.zip"
            killer = threading.Thread(target=kill_client, args=(raw_dir, part, rng.randrange(4) * MIB, ended))
            killer.start()
            with contextlib.suppress(FoldwiseError):
                download.download(SLUG, target)
            ended.set()
            killer.join()
            if not download.complete(target):
                assert not target.exists()
        server.slice_seconds = 0.0
        download.download(SLUG, target)
        assert hashlib.sha256((target / "train.csv").read_bytes()).digest() == hashlib.sha256(table).digest()
    if validator:
        assert any(name == "rest" for name in server.names)


@pytest.mark.slow
def test_some_files_come_one_by_one(server: KaggleServer, raw_dir: Path) -> None:
    server.data = {
        **{f"train/{i:03}.png": bytes([i]) * 10 for i in range(205)},  # more than a page of the list
        "labels.csv": b"id,label\n" * 500,
        "sample_submission.csv": b"id\n",
    }
    server.packs_larger_than = 1000
    added = download.download_some(SLUG, raw_dir, ["labels.csv", "train/00[0-2].png"])
    assert [path.relative_to(raw_dir).as_posix() for path in added] == [
        "labels.csv",
        *(f"train/00{i}.png" for i in range(3)),
    ]
    assert (raw_dir / "labels.csv").read_bytes() == b"id,label\n" * 500
    assert (raw_dir / "train" / "001.png").read_bytes() == b"\x01" * 10
    assert leftovers(raw_dir) == [SLUG]
    assert server.names.count("ListDataFiles") == 2
    server.received.clear()
    assert download.download_some(SLUG, raw_dir, ["labels.csv", "sample*"]) == [raw_dir / "sample_submission.csv"]
    assert server.names.count("DownloadDataFile") == 1


@pytest.mark.parametrize(
    ("patterns", "most", "expected"),
    [
        (["*.dcm"], None, r"none of the 2 files of iceberg-or-ship matches; there are a.csv, b.csv"),
        (["*.csv"], 1500, r"the 2 files have 2,000 bytes, more than 1,500; the largest is a.csv \(1,500\)"),
    ],
)
def test_what_is_too_much_or_nothing_stops_before_a_file_is_fetched(
    server: KaggleServer, raw_dir: Path, patterns: list[str], most: int | None, expected: str
) -> None:
    server.data = {"a.csv": bytes(1500), "b.csv": bytes(500)}
    with pytest.raises(FoldwiseError, match=expected):
        download.download_some(SLUG, raw_dir, patterns, most)
    assert server.names == ["ListDataFiles"]
    assert leftovers(raw_dir) == []


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(401, "Unauthenticated"), "does not accept the credentials"),
        (Refusal(403), f"Either the name '{SLUG}' is wrong, or its rules are not accepted.*{RULES}"),
        (Refusal(404, "Not found"), f"knows no competition '{SLUG}'"),
        (Refusal(400, "Teapot"), "the kaggle command failed.*\nkaggle printed:\n  Teapot"),
    ],
)
def test_refusals_say_what_to_do(server: KaggleServer, raw_dir: Path, refusal: Refusal, expected: str) -> None:
    server.refusals["DownloadDataFiles"] = refusal
    with pytest.raises(FoldwiseError, match=expected):
        download.download(SLUG, raw_dir)
    assert [name for name in leftovers(raw_dir) if name != STORE] == []
    assert server.names == ["DownloadDataFiles"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(429, "Too many requests, retry after 0.02 seconds"), "too many requests.*: wait 0.02 s, then"),
        (Refusal(503), "unreachable or out of order.*\nkaggle printed:\n"),
    ],
)
def test_a_busy_host_is_tried_again_and_not_for_ever(
    server: KaggleServer, raw_dir: Path, refusal: Refusal, expected: str
) -> None:
    server.archive, server.refusals["DownloadDataFiles"] = zipped({"a.csv": b"1"}), refusal
    with pytest.raises(FoldwiseError, match=expected):
        download.download(SLUG, raw_dir)
    assert server.names == ["DownloadDataFiles"] * 2
    refusal.times = 1
    assert download.download(SLUG, raw_dir) == [raw_dir / "a.csv"]


def test_zip_slip_downloaded(server: KaggleServer, raw_dir: Path) -> None:
    server.archive = zipped({"fine.csv": b"1", "../evil": b"2"})
    with pytest.raises(FoldwiseError, match="would be written outside"):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


@pytest.mark.slow
def test_a_file_of_another_size_than_listed_is_fetched_again(
    server: KaggleServer, raw_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.data = {"a.csv": b"id\n1\n"}
    with monkeypatch.context() as changed:
        changed.setattr(download, "list_files", lambda slug: [download.RemoteFile("a.csv", 99)])
        with pytest.raises(FoldwiseError, match=r"a\.csv: 5 bytes came, and the host lists 99; run the same command"):
            download.download_some(SLUG, raw_dir, ["a.csv"])
    assert not (raw_dir / "a.csv").exists()
    assert download.download_some(SLUG, raw_dir, ["a.csv"]) == [raw_dir / "a.csv"]
    assert (raw_dir / "a.csv").read_bytes() == b"id\n1\n"
