"""Submissions by the real client to a local server that speaks Kaggle's protocol."""

import csv
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers.kaggle_server import PREDICTIONS, RULES, SLUG, TOKEN, KaggleServer, Refusal

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.kaggle import ledger, submission_calls, submissions
from foldwise.kaggle.cli import TryLater, run_cli
from foldwise.kaggle.submission_calls import Entry

SHA256 = "e3bdb7a730cbe04388ac4ff49c4f1fe27dc1604f003827540fda788ef8a95525"  # of PREDICTIONS


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "submissions" / "log.csv"


@pytest.fixture
def send(csv_file: Path, book: Path) -> Callable[..., dict[str, Any]]:
    """Submit the file with a message."""

    def submit(message: str = "m", path: Path = csv_file, slug: str = SLUG, **options: Any) -> dict[str, Any]:
        return submissions.submit(Entry(path.name, path), slug, message, book, **options)

    return submit


def lines(book: Path) -> list[dict[str, str]]:
    with book.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_submission_is_scored(
    server: KaggleServer, csv_file: Path, book: Path, send: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An earlier submission of the same file; the client would print its credentials and more under VERBOSE.
    server.submit(csv_file.name, "-first, & best", status="COMPLETE", publicScore="9", privateScore="9")
    monkeypatch.setenv("VERBOSE", "1")
    server.unlisted_lists = 1
    printed: list[str] = []

    def run_and_keep(arguments: list[str], slug: str, timeout: float) -> str:
        printed.append(run_cli(arguments, slug, timeout))
        return printed[-1]

    monkeypatch.setattr(submission_calls, "run_cli", run_and_keep)
    shown: list[int | None] = []
    row = send("-first, & best", nested=0.15, again=True, confirm=shown.append)
    assert row == {
        "file": csv_file.name,
        "nested_score": 0.15,
        "public_score": 0.15113,
        "private_score": 0.17022,
        "status": "COMPLETE",
        "submitted_at": "2026-11-23T20:15:30+00:00",
        "message": "-first, & best",
        "competition": SLUG,
        "ref": "1001",
        "sha256": SHA256,
        "kernel": None,
        "version": None,
        "error": None,
        "left_today": 3,
    }
    assert shown == [4]
    assert "Authorization" not in "".join(printed)
    assert ("upload", PREDICTIONS) in server.received
    upload = ["StartSubmissionUpload", "upload", "CreateSubmission"]
    assert server.names == ["ListSubmissions", "GetSubmissionLimits", *upload, *["ListSubmissions"] * 3]
    (line,) = lines(book)
    assert (line["ref"], line["status"], line["public_score"], line["nested_score"]) == (
        "1001",
        "COMPLETE",
        "0.15113",
        "0.15",
    )


@pytest.mark.slow
def test_submission_with_a_token_rides_out_a_busy_host(stranger: KaggleServer, home: Path, send: Callable) -> None:
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
    row = send()
    assert (row["public_score"], row["private_score"]) == (0.2, None)
    assert busy.times == 0


@pytest.mark.slow
def test_failed_upload_is_an_error_and_leaves_no_line(server: KaggleServer, send: Callable, book: Path) -> None:
    server.upload_status = 400
    with pytest.raises(FoldwiseError, match="nothing was submitted"):
        send()
    assert "CreateSubmission" not in server.names
    assert lines(book) == []


@pytest.mark.slow
def test_rejected_submission_gives_the_reason(server: KaggleServer, send: Callable, book: Path) -> None:
    server.verdict = {"status": "ERROR", "errorDescription": "Evaluation Exception:\n8424 rows expected"}
    with pytest.raises(FoldwiseError, match=r"rejected .*: Evaluation Exception: 8424 rows expected\nSee "):
        send()
    (line,) = lines(book)
    assert (line["status"], line["error"]) == ("ERROR", "Evaluation Exception: 8424 rows expected")
    with pytest.raises(FoldwiseError, match=r"was sent on .* \(ERROR, Evaluation Exception.*again=true"):
        send()


@pytest.mark.slow
def test_rivals_are_not_mistaken_for_ours(server: KaggleServer, send: Callable) -> None:
    """A team mate's submission, listed since, has the same file name but another message."""
    submit = server.submit

    def send_after_rival(name: str, description: str, **fields: str) -> None:
        submit(name, "by a team mate", status="COMPLETE", publicScore="9", privateScore="9")
        submit("other.csv", description, status="COMPLETE", publicScore="9", privateScore="9")
        submit(name, description, **fields)

    server.submit = send_after_rival  # type: ignore[method-assign]
    assert send()["public_score"] == 0.15113


@pytest.mark.slow
def test_a_command_that_ran_out_of_time_is_taken_up(
    server: KaggleServer, send: Callable, book: Path, csv_file: Path
) -> None:
    server.pending_lists = 1000
    with pytest.raises(FoldwiseError, match=r"no score after 4 s \(status: PENDING\).*Do not send it again"):
        send(timeout=4.0)
    (line,) = lines(book)
    assert (line["status"], line["ref"]) == ("PENDING", "1000")
    assert send(dry_run=True)["status"] == "PENDING"
    server.pending_lists = 0
    assert send("another message")["public_score"] == 0.15113
    assert server.names.count("upload") == 1
    assert len(lines(book)) == 1
    with pytest.raises(FoldwiseError, match=r"was sent on 2026-11-23T20:15:30\+00:00 \(COMPLETE, public score 0.15113"):
        send()
    copy = csv_file.with_name("copy.csv")
    copy.write_bytes(PREDICTIONS)
    with pytest.raises(FoldwiseError, match=rf"copy.csv was sent on .*, as {csv_file.name} "):
        send(path=copy)


@pytest.mark.slow
def test_a_command_killed_while_it_sent_is_taken_up_or_sends_again(
    server: KaggleServer, send: Callable, book: Path, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(submission_calls, "send", killed)
        with pytest.raises(KeyboardInterrupt):
            send()
    (line,) = lines(book)
    assert (line["status"], line["ref"], line["sha256"]) == ("SENDING", "", SHA256)
    with pytest.raises(FoldwiseError, match=r"Kaggle does not list it yet\. Run the same command in 5 minutes"):
        send()
    monkeypatch.setattr(submissions, "MAY_ARRIVE", 0.0)
    assert send(timeout=0)["status"] == "PENDING"  # it never arrived
    assert [line["ref"] for line in lines(book)] == ["1000"]
    server.submissions.clear()
    ledger.record(book, lines(book)[0] | {"status": "SENDING", "ref": ""}, lines(book)[0])
    server.submit(csv_file.name, "m", status="COMPLETE", publicScore="0.3")
    assert send()["public_score"] == 0.3  # it had arrived
    assert server.names.count("upload") == 1


def test_what_kaggle_lists_already_is_not_sent(server: KaggleServer, send: Callable, csv_file: Path) -> None:
    server.submit(csv_file.name, "from another machine", status="COMPLETE", publicScore="0.4")
    with pytest.raises(FoldwiseError, match=r"lists a submission .*'from another machine', COMPLETE, public score 0.4"):
        send()
    assert server.names == ["ListSubmissions"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "message", "status"),
    [
        (Refusal(400, "Submission limit reached: 5 daily submissions"), "today's submissions are used up", None),
        (Refusal(400, "This competition has ended and takes no late submissions"), "takes no submissions any", None),
        (Refusal(503), "It may have arrived", "SENDING"),
    ],
)
def test_a_submission_that_the_host_does_not_take(
    server: KaggleServer, send: Callable, book: Path, refusal: Refusal, message: str, status: str | None
) -> None:
    server.refusals["CreateSubmission"] = refusal
    with pytest.raises(FoldwiseError, match=message):
        send()
    assert [line["status"] for line in lines(book)] == [status] * (status is not None)


def test_no_submission_is_left_today(server: KaggleServer, send: Callable, book: Path) -> None:
    server.limits = {"numToday": 5, "numTotal": 7, "numAllowedNow": 0, "limitedByTotal": False}
    with pytest.raises(FoldwiseError, match="today's are used up, nothing was sent"):
        send()
    assert "upload" not in server.names and not book.exists()


@pytest.mark.slow
def test_a_notebook_is_submitted_once(server: KaggleServer, book: Path) -> None:
    server.limits = {}  # Kaggle does not tell
    entry = Entry("submission.csv", kernel="alice/predict", version=3)
    server.pending_lists = 0
    row = submissions.submit(entry, SLUG, "m", book)
    assert (row["kernel"], row["version"], row["public_score"], row["left_today"]) == (
        "alice/predict",
        "3",
        0.15113,
        None,
    )
    assert server.received[2] == (
        "CreateCodeSubmission",
        {
            "competitionName": SLUG,
            "kernelOwner": "alice",
            "kernelSlug": "predict",
            "kernelVersion": 3,
            "fileName": "submission.csv",
            "submissionDescription": "m",
        },
    )
    with pytest.raises(FoldwiseError, match="version 3 of alice/predict was sent on"):
        submissions.submit(entry, SLUG, "m", book)
    server.refusals["CreateCodeSubmission"] = Refusal(404, "Not found")
    with pytest.raises(FoldwiseError, match="Kaggle finds no version 4 of alice/predict, or no competition"):
        submissions.submit(Entry("submission.csv", kernel="alice/predict", version=4), SLUG, "n", book)
    assert len(lines(book)) == 1


def test_submission_to_a_closed_door_is_not_uploaded(server: KaggleServer, send: Callable) -> None:
    server.refusals["ListSubmissions"] = Refusal(403, "Permission 'competitions.participate' was denied")
    with pytest.raises(FoldwiseError, match=RULES):
        send()
    assert server.names == ["ListSubmissions"]


def test_dry_run_sends_nothing(server: KaggleServer, send: Callable, book: Path, csv_file: Path) -> None:
    row = send(dry_run=True)
    assert row["status"] == "dry run" and row["file"] == csv_file.name and row["public_score"] is None
    assert row["left_today"] == 4
    assert server.names == ["ListSubmissions", "GetSubmissionLimits"]  # which change nothing
    assert not book.exists()


def test_dry_run_without_a_network_warns(
    server: KaggleServer, send: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(*_: object) -> list[dict[str, Any]]:
        raise TryLater("Kaggle is unreachable")

    monkeypatch.setattr(submission_calls, "listed", unreachable)
    with caplog.at_level(logging.WARNING):
        assert send(dry_run=True)["left_today"] is None
    assert "was not compared with the submissions on Kaggle" in caplog.text
    with pytest.raises(TryLater):
        send()
    assert server.received == []


def test_what_cannot_be_submitted(server: KaggleServer, send: Callable, csv_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FoldwiseError, match=r"none.csv is missing"):
        send(path=tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="expected the last part of https"):
        send(slug=f"https://www.kaggle.com/c/{SLUG}")
    csv_file.write_text("")
    with pytest.raises(FoldwiseError, match="is empty"):
        send()
    assert server.received == []


@pytest.mark.slow
def test_refresh_reads_all_pages(server: KaggleServer, book: Path) -> None:
    for number in range(53):
        server.submit(f"{number}.csv", "m", status="COMPLETE", publicScore=f"0.{number:03}")
    ledger.record(book, {"file": "2.csv", "message": "m", "nested_score": 0.5, "status": "SENDING"})
    rows, elsewhere = submissions.refresh(SLUG, book)
    assert [(row["file"], row["ref"], row["public_score"], row["nested_score"]) for row in rows] == [
        ("2.csv", "1002", "0.002", "0.5")
    ]
    assert lines(book) == rows
    assert len(elsewhere) == 52 and elsewhere[-1]["fileName"] == "0.csv"


def test_log(tmp_path: Path) -> None:
    log = tmp_path / "submissions" / "log.csv"
    row = {"file": "a.csv", "status": "COMPLETE", "public_score": 0.1 + 0.2, "private_score": None}
    ledger.record(log, row | {"nested_score": 0.15, "submitted_at": "t", "message": 'two\nlines, "x"'})
    with log.open("a") as file:
        file.write("cut short")
    ledger.record(log, row)
    header = "file,nested_score,public_score,private_score,status,submitted_at,message"
    assert log.read_text().splitlines()[0] == f"{header},competition,ref,sha256,kernel,version,error"
    with log.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1] == ["a.csv", "0.15", "0.30000000000000004", "", "COMPLETE", "t", 'two\nlines, "x"', *[""] * 6]
    assert [row[:7] for row in rows[2:]] == [
        ["cut short", *[""] * 6],
        ["a.csv", "", "0.30000000000000004", "", "COMPLETE", "", ""],
    ]
    ledger.record(log, row | {"status": "PENDING"}, old=row)
    assert [one["status"] for one in ledger.read(log)] == ["COMPLETE", "", "PENDING"]
    ledger.remove(log, row | {"status": "PENDING"})
    assert [one["status"] for one in ledger.read(log)] == ["COMPLETE", ""]
    log.write_text("when,what\n")
    with pytest.raises(FoldwiseError, match="expected a header that begins with file,nested_score"):
        ledger.record(log, row)
    assert log.read_text() == "when,what\n"


def test_commands_at_once_lose_no_line(book: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ledger.record(book, {"ref": number}), range(40)))
    assert sorted(int(line["ref"]) for line in lines(book)) == list(range(40))
    assert [path.name for path in book.parent.iterdir()] == ["log.csv"]


def test_the_log_of_an_earlier_version_is_read_and_extended(server: KaggleServer, send: Callable, book: Path) -> None:
    book.parent.mkdir()
    header = "file,nested_score,public_score,private_score,status,submitted_at,message"
    name = f"{SLUG}_0.15_ab12.csv"
    book.write_text(f"{header}\n{name},0.15,0.16,,COMPLETE,2026-10-01T00:00:00+00:00,m\n")
    with pytest.raises(FoldwiseError, match=r"was sent on 2026-10-01T00:00:00\+00:00 \(COMPLETE, public score 0.16\)"):
        send()
    ledger.record(book, {"file": "b.csv", "ref": 7})
    assert [(line["file"], line["ref"], line["public_score"]) for line in lines(book)] == [
        (name, "", "0.16"),
        ("b.csv", "7", ""),
    ]
