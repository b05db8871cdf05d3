"""What the installed client sends: another release that sends something else fails here first."""

from pathlib import Path

import pytest
from helpers.archives import zipped
from helpers.kaggle_server import PREDICTIONS, SLUG, KaggleServer

from foldwise.kaggle.cli import run_cli


@pytest.mark.slow
def test_downloads(server: KaggleServer, tmp_path: Path) -> None:
    server.archive, server.data = zipped({"a.csv": b"1"}), {"train/b.csv": b"2"}
    run_cli(["competitions", "files", SLUG, "--format=json", "--page-size=200"], SLUG, 60.0)
    run_cli(["competitions", "download", SLUG, f"--path={tmp_path}", "--quiet"], SLUG, 60.0)
    run_cli(["competitions", "download", SLUG, "--file=train/b.csv", f"--path={tmp_path}", "--quiet"], SLUG, 60.0)
    assert server.received == [
        ("ListDataFiles", {"competitionName": SLUG, "pageSize": 200, "pageToken": ""}),
        ("DownloadDataFiles", {"competitionName": SLUG}),
        ("archive", None),
        ("DownloadDataFile", {"competitionName": SLUG, "fileName": "train/b.csv"}),
        ("archive", None),
    ]
    assert (tmp_path / "train" / "b.csv").read_bytes() == b"2"
    assert not list(tmp_path.rglob("*.kaggle-partial"))


@pytest.mark.slow
def test_submissions(server: KaggleServer, csv_file: Path) -> None:
    run_cli(["competitions", "submit", SLUG, f"--file={csv_file}", "--message=m", "--quiet"], SLUG, 60.0)
    run_cli(["competitions", "submissions", SLUG, "--format=json", "--page-size=50", "--quiet"], SLUG, 60.0)
    start, upload, create, listed = server.received
    assert start[0] == "StartSubmissionUpload"
    modified = start[1].pop("lastModifiedEpochSeconds")
    assert abs(modified - csv_file.stat().st_mtime) < 2
    assert start[1] == {"competitionName": SLUG, "contentLength": len(PREDICTIONS), "fileName": csv_file.name}
    assert upload == ("upload", PREDICTIONS)
    assert create == (
        "CreateSubmission",
        {"competitionName": SLUG, "blobFileTokens": "token-0", "submissionDescription": "m"},
    )
    page = {"page": 1, "pageSize": 50, "pageToken": ""}
    assert listed == ("ListSubmissions", {"competitionName": SLUG, **page})
