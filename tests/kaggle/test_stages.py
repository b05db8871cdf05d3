"""The stages that talk to Kaggle, from the command line."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.archives import zipped
from helpers.kaggle_server import KaggleServer
from helpers.raw_files import statoil_files, write_files

from foldwise.__main__ import main
from foldwise.errors import FoldwiseError
from foldwise.kaggle import ledger
from foldwise.kaggle import submissions as host
from foldwise.kaggle.cli import TryLater
from foldwise.settings import Settings
from foldwise.stages.prepare import prepare
from foldwise.stages.submissions import show, submissions
from foldwise.stages.submit import submit


@pytest.mark.slow
def test_the_stages_download_submit_and_keep_the_ledger(
    server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # wide enough for all columns of the table, whatever runs the tests
    words = [f"root={tmp_path}", "competition=digit_recognizer", "source=kaggle"]
    server.archive = zipped({"train.csv": b"label,pixel0\n1,2\n", "test.csv": b"pixel0\n3\n"})
    assert main(["download", *words]) == 0
    assert (tmp_path / "data" / "raw" / "digit_recognizer" / "test.csv").read_bytes() == b"pixel0\n3\n"
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "digit_recognizer_0.03_ab.csv").write_bytes(b"ImageId,Label\n1,3\n")
    about = {"competition": "digit_recognizer", "source": "kaggle", "metric": "f1", "nested_score": 0.03125}
    about |= {"nested_score_interval": [0.02, 0.2], "members": [{"run": "mlp-1a"}]}
    (submissions / "digit_recognizer_0.03_ab.json").write_text(json.dumps(about))
    assert main(["submit", *words, "dry_run=true"]) == 0
    assert not (submissions / "log.csv").exists()
    assert "dry run" in capsys.readouterr().out
    assert main(["submit", *words]) == 2  # there is no terminal here
    assert "add yes=true" in capsys.readouterr().err
    assert "CreateSubmission" not in server.names
    server.pending_lists = 0
    assert main(["submit", *words, "yes=true"]) == 0
    (row,) = csv.DictReader((submissions / "log.csv").open())
    assert row["file"] == "digit_recognizer_0.03_ab.csv"
    assert row["nested_score"] == "0.03125"
    assert row["public_score"] == "0.15113"
    assert row["message"] == "nested F1 0.03125; mlp-1a"
    assert "public score 0.15113, private score 0.17022, 3 submissions left today" in capsys.readouterr().out
    server.submit("by_hand.csv", "mine", status="ERROR")
    assert main(["submissions", *words]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[1:3] == [
        ["by_hand.csv", "(*)", "-", "-", "-", "error", "-", "2026-11-23", "20:15"],
        [
            "digit_recognizer_0.03_ab.csv",
            "0.0312",
            "0.1511",
            "0.1702",
            "complete",
            "0.020-0.200",
            "2026-11-23",
            "20:15",
        ],
    ]
    assert ["nested", "and", "public:", "too", "few", "to", "tell:", "1"] in [line[:8] for line in shown]
    assert main(["submissions", *words, "format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [one["elsewhere"] for one in result["submissions"]] == [True, False]
    assert (result["trust"]["public_score"]["n_inside"], result["trust"]["private_score"]["n"]) == (1, 1)


@pytest.mark.parametrize(("answer", "sent"), [("y\n", True), ("n\n", False), ("", False)])
def test_the_question(
    answer: str, sent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(*_: object, confirm: Callable[[int | None], None], **more: object) -> dict[str, Any]:
        confirm(4)
        return {"file": "s.csv", "status": "COMPLETE", "nested_score": more["nested"]}

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(host, "submit", answered)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "s.csv").write_text("id,is_iceberg\na,0.5\n")
    assert main(["submit", "source=kaggle", "submission=s.csv", f"root={tmp_path}"]) == (0 if sent else 1)
    printed = capsys.readouterr()
    assert printed.out == ("s.csv: complete\n" if sent else "")
    assert "Send s.csv to statoil-iceberg-classifier-challenge? [y/N]" in printed.err
    assert ("nothing was sent" in printed.err) == (not sent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,is_iceberg\na0000000,0.25\na0000001,0.5\n", "'a0000002' is 0 times in the submission"),
        ("id,is_iceberg\na0000000,0.25\na0000001,\na0000002,1.5\n", "2 of 3 values .* 'a0000001': .*, found ''"),
        ("id,is_iceberg\na0000000,0.25\na0000001,0.5\na0000002,0.", None),
    ],
)
def test_a_file_is_checked_again(
    text: str,
    message: str | None,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "submit", lambda entry, *_, **__: {"file": entry.name})
    one = settings("source=kaggle", "submission=s.csv", "submit.yes=true")
    write_files(one.raw_dir, statoil_files())
    prepare(one)
    write_files(one.submissions_dir, {"s.csv": text})
    if message is None:
        assert submit(one) == {"file": "s.csv"}
        digest = hashlib.sha256(f"{text}5\n".encode()).hexdigest()  # before it was cut short
        write_files(one.submissions_dir, {"s.json": json.dumps({"sha256": digest})})
        message = "s.csv was changed since foldwise wrote it: expected the SHA-256"
    with pytest.raises(FoldwiseError, match=message):
        submit(one)


def test_submissions_without_a_network_are_those_of_the_log(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(*_: object) -> None:
        raise TryLater("Kaggle is unreachable")

    monkeypatch.setattr(host, "refresh", unreachable)
    one = settings("source=kaggle")
    for number in range(8):  # ranks 1 to 8 against 2 1 3 4 5 6 7 8: 1 - 12 / 504
        scores = {"nested_score": number / 10, "public_score": (number + (1.5 if number == 0 else 0)) / 10}
        ledger.record(one.submissions_dir / "log.csv", {"file": f"statoil_{number}.csv", **scores})
    result = submissions(one)
    assert not result["refreshed"] and "the log is shown as it is" in caplog.text
    trust = result["trust"]["public_score"]
    assert (trust["n"], trust["spearman"]) == (8, pytest.approx(1 - 12 / 504))
    assert trust["mean_difference"] == pytest.approx(0.15 / 8)
    lines = show(result, 60).splitlines()
    assert max(map(len, lines[:9])) <= 60
    assert lines[0].split() == ["submission", "nested", "public", "private", "status"]
    assert "can be trusted to choose" in lines[10]
    assert lines[11].startswith("  rank correlation 0.98 (95 % interval 0.8")


def test_a_competition_that_is_not_on_kaggle_cannot_be_sent_there(
    server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", f"root={tmp_path}", "competition=faces", "source=kaggle"]) == 2
    assert "competition.slug" in capsys.readouterr().err
    assert server.names == []
