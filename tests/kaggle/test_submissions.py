"""Submissions by the real client to a local server that speaks Kaggle's protocol."""

import csv
from pathlib import Path

import pytest
from helpers.kaggle_server import PREDICTIONS, RULES, SLUG, TOKEN, KaggleServer, Refusal

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.kaggle import submissions
from foldwise.kaggle.cli import run_cli


@pytest.mark.slow
def test_submission_is_scored(server: KaggleServer, csv_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An earlier submission of the same file; the client would print its credentials and more under VERBOSE.
    server.submit(csv_file.name, "-first, & best", status="COMPLETE", publicScore="9", privateScore="9")
    monkeypatch.setenv("VERBOSE", "1")
    server.unlisted_lists = 1
    printed: list[str] = []

    def run_and_keep(arguments: list[str], slug: str, timeout: float) -> str:
        printed.append(run_cli(arguments, slug, timeout))
        return printed[-1]

    monkeypatch.setattr(submissions, "run_cli", run_and_keep)
    row = submissions.submit(csv_file, SLUG, "-first, & best")
    assert row == {
        "file": csv_file.name,
        "status": "COMPLETE",
        "public_score": 0.15113,
        "private_score": 0.17022,
        "submitted_at": "2026-11-23T20:15:30+00:00",
    }
    assert "Authorization" not in "".join(printed)
    assert ("upload", PREDICTIONS) in server.received
    upload = ["StartSubmissionUpload", "upload", "CreateSubmission"]
    assert server.names == ["ListSubmissions", *upload, *["ListSubmissions"] * 3]


def test_submission_with_a_token_rides_out_a_busy_host(stranger: KaggleServer, home: Path, csv_file: Path) -> None:
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "access_token").write_text(TOKEN)
    stranger.verdict = {"status": "COMPLETE", "publicScore": "0.2", "privateScore": ""}
    stranger.pending_lists = 0
    # The first list, before the upload, is answered.
    created = stranger.submit
    busy = Refusal(429, "Too many requests", times=1)
    stranger.submit = lambda *args, **kwargs: (  # type: ignore[method-assign, assignment]
        created(*args, **kwargs),
        stranger.refusals.update(ListSubmissions=busy),
    )
    row = submissions.submit(csv_file, SLUG, "m")
    assert (row["public_score"], row["private_score"]) == (0.2, None)
    assert busy.times == 0


def test_failed_upload_is_an_error(server: KaggleServer, csv_file: Path) -> None:
    server.upload_status = 400
    with pytest.raises(FoldwiseError, match="nothing was submitted"):
        submissions.submit(csv_file, SLUG, "m")
    assert "CreateSubmission" not in server.names


def test_rejected_submission_gives_the_reason(server: KaggleServer, csv_file: Path) -> None:
    server.verdict = {"status": "ERROR", "errorDescription": "Evaluation Exception: 8424 rows expected"}
    with pytest.raises(FoldwiseError, match=r"rejected .*: Evaluation Exception: 8424 rows expected\nSee "):
        submissions.submit(csv_file, SLUG, "m")


def test_rivals_are_not_mistaken_for_ours(server: KaggleServer, csv_file: Path) -> None:
    """A team mate's submission, listed since, has the same file name but another message."""
    send = server.submit

    def send_after_rival(name: str, description: str, **fields: str) -> None:
        send(name, description, **fields)
        send(name, "by a team mate", status="COMPLETE", publicScore="9", privateScore="9")
        send("other.csv", description, status="COMPLETE", publicScore="9", privateScore="9")

    server.submit = send_after_rival  # type: ignore[method-assign]
    assert submissions.submit(csv_file, SLUG, "m")["public_score"] == 0.15113


@pytest.mark.slow
def test_submission_without_a_score_in_time(server: KaggleServer, csv_file: Path) -> None:
    server.pending_lists = 1000
    with pytest.raises(FoldwiseError, match=r"no score after 4 s \(status: PENDING\).*Do not send it again"):
        submissions.submit(csv_file, SLUG, "m", timeout=4.0)


def test_submission_to_a_closed_door_is_not_uploaded(server: KaggleServer, csv_file: Path) -> None:
    server.refusals["ListSubmissions"] = Refusal(403, "Permission 'competitions.participate' was denied")
    with pytest.raises(FoldwiseError, match=RULES):
        submissions.submit(csv_file, SLUG, "m")
    assert server.names == ["ListSubmissions"]


def test_dry_run_sends_nothing(server: KaggleServer, csv_file: Path) -> None:
    row = submissions.submit(csv_file, SLUG, "m", dry_run=True)
    assert row["status"] == "dry run" and row["file"] == csv_file.name and row["public_score"] is None
    assert server.received == []


def test_what_cannot_be_submitted(server: KaggleServer, csv_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FoldwiseError, match=r"none.csv is missing"):
        submissions.submit(tmp_path / "none.csv", SLUG, "m")
    with pytest.raises(ConfigError, match="expected the last part of https"):
        submissions.submit(csv_file, f"https://www.kaggle.com/c/{SLUG}", "m")
    csv_file.write_text("")
    with pytest.raises(FoldwiseError, match="is empty"):
        submissions.submit(csv_file, SLUG, "m")
    assert server.received == []


def test_ledger(tmp_path: Path) -> None:
    log = tmp_path / "submissions" / "log.csv"
    row = {"file": "a.csv", "status": "COMPLETE", "public_score": 0.1 + 0.2, "private_score": None}
    submissions.log_submission(log, row | {"nested_score": 0.15, "submitted_at": "t", "message": 'two\nlines, "x"'})
    with log.open("a") as file:
        file.write("cut short")
    submissions.log_submission(log, row)
    lines = log.read_text().splitlines()
    assert lines[0] == "file,nested_score,public_score,private_score,status,submitted_at,message"
    with log.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1] == ["a.csv", "0.15", "0.30000000000000004", "", "COMPLETE", "t", 'two\nlines, "x"']
    assert rows[2:] == [["cut short"], ["a.csv", "", "0.30000000000000004", "", "COMPLETE", "", ""]]
    log.write_text("when,what\n")
    with pytest.raises(FoldwiseError, match="expected the header file,nested_score"):
        submissions.log_submission(log, row)
