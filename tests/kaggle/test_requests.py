"""What the installed client sends: another release that sends something else fails here first."""

import json
import re
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


@pytest.mark.slow
def test_what_is_read_about_a_competition_and_a_submission(server: KaggleServer) -> None:
    server.submit("a.csv", "m", status="ERROR", errorDescription="two\nlines")
    listed = run_cli(["competitions", "list", f"--search={SLUG}", "--format=json"], SLUG, 60.0)
    left = run_cli(["competitions", "submission-limits", SLUG, "--json", "--quiet"], SLUG, 60.0)
    one = run_cli(["competitions", "submission", "1000"], SLUG, 60.0)
    search, limits, ref = server.received
    assert search[0] == "ListCompetitions" and search[1]["search"] == SLUG
    assert limits == ("GetSubmissionLimits", {"competitionName": SLUG})
    assert ref == ("GetSubmission", {"ref": 1000})
    (competition,) = json.loads(listed)
    assert (competition["ref"], competition["userHasEntered"]) == (f"https://www.kaggle.com/competitions/{SLUG}", True)
    assert json.loads(left) == {"numToday": 1, "numTotal": 7, "numAllowedNow": 4}
    assert re.search(r"^Error: +two\n +lines\nPublic Score:", one, re.MULTILINE)
