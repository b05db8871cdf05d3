"""The stages that talk to Kaggle, from the command line."""

import csv
from pathlib import Path

import pytest
from helpers.archives import zipped
from helpers.kaggle_server import KaggleServer

from foldwise.__main__ import main


@pytest.mark.slow
def test_the_stages_download_submit_and_keep_the_ledger(
    server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"root={tmp_path}", "competition=digit_recognizer", "source=kaggle"]
    server.archive = zipped({"train.csv": b"label,pixel0\n1,2\n", "test.csv": b"pixel0\n3\n"})
    assert main(["download", *words]) == 0
    assert (tmp_path / "data" / "raw" / "digit_recognizer" / "test.csv").read_bytes() == b"pixel0\n3\n"
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "digit_recognizer_0.03_ab.csv").write_bytes(b"ImageId,Label\n1,3\n")
    about = '{"competition": "digit_recognizer", "source": "kaggle", "metric": "f1", "nested_score": 0.03125}'
    (submissions / "digit_recognizer_0.03_ab.json").write_text(about)
    assert main(["submit", *words, "dry_run=true"]) == 0
    assert not (submissions / "log.csv").exists()
    assert "dry run" in capsys.readouterr().out
    assert main(["submit", *words]) == 0
    (row,) = csv.DictReader((submissions / "log.csv").open())
    assert row["file"] == "digit_recognizer_0.03_ab.csv"
    assert row["nested_score"] == "0.03125"
    assert row["public_score"] == "0.15113"
    assert row["message"] == "nested F1 0.03125"
    assert "public score 0.15113" in capsys.readouterr().out


def test_a_competition_that_is_not_on_kaggle_cannot_be_sent_there(
    server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", f"root={tmp_path}", "competition=faces", "source=kaggle"]) == 2
    assert "competition.slug" in capsys.readouterr().err
    assert server.names == []
