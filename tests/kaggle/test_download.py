"""Downloads by the real client from a local server that speaks Kaggle's protocol."""

import os
from pathlib import Path

import pytest
from helpers.archives import seven_zipped, zipped
from helpers.kaggle_server import RULES, SLUG, KaggleServer, Refusal

from foldwise.errors import FoldwiseError
from foldwise.kaggle import download


def leftovers(raw_dir: Path) -> list[str]:
    return [path.name for path in raw_dir.parent.iterdir()] if raw_dir.parent.exists() else []


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
    assert leftovers(raw_dir) == [SLUG]
    assert server.received == [("DownloadDataFiles", {"competitionName": SLUG}), ("archive", None)]
    with pytest.raises(FoldwiseError, match=f"{raw_dir} already holds files"):
        download.download(SLUG, raw_dir)


def test_truncated_archive_is_refused(server: KaggleServer, raw_dir: Path) -> None:
    whole = zipped({"train.csv": os.urandom(5000)})
    server.archive = whole[:4000]
    with pytest.raises(FoldwiseError, match=r"iceberg-or-ship.zip \(4,000 bytes\) could not be unpacked"):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


def test_silent_download_ends(server: KaggleServer, raw_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 2.0)
    server.archive, server.stall_after = zipped({"train.csv": os.urandom(5000)}), 100
    with pytest.raises(FoldwiseError, match="timed out: nothing came in 2 s"):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(401, "Unauthenticated"), "does not accept the credentials"),
        (Refusal(403), f"Either the name '{SLUG}' is wrong, or its rules are not accepted.*{RULES}"),
        (
            Refusal(403, "You must accept this competition's rules before"),
            f"{RULES}\nkaggle printed:\n  You don't have access",
        ),
        (Refusal(403, "Permission 'competitions.participate' was denied"), RULES),
        (Refusal(404, "Not found"), f"knows no competition '{SLUG}'"),
        (Refusal(429, headers={"Retry-After": "7"}), "too many requests.*: wait some minutes"),
        (Refusal(429, "Too many requests, retry after 7 seconds"), "too many requests.*: wait 7 s, then"),
        (Refusal(500), "unreachable or out of order.*\nkaggle printed:\n  500 Server Error"),
        (Refusal(400, "Teapot"), "the kaggle command failed.*\nkaggle printed:\n  Teapot"),
    ],
)
def test_refusals_say_what_to_do(server: KaggleServer, raw_dir: Path, refusal: Refusal, expected: str) -> None:
    server.refusals["DownloadDataFiles"] = refusal
    with pytest.raises(FoldwiseError, match=expected):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []
    assert server.names == ["DownloadDataFiles"]


def test_zip_slip_downloaded(server: KaggleServer, raw_dir: Path) -> None:
    server.archive = zipped({"fine.csv": b"1", "../evil": b"2"})
    with pytest.raises(FoldwiseError, match="would be written outside"):
        download.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []
