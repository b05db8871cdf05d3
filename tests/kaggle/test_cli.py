"""The installed client: its credentials, its version, what its failures mean."""

import sys
from pathlib import Path

import pytest
from helpers.kaggle_server import KEY, SLUG, TOKEN, USER, KaggleServer

from foldwise.errors import FoldwiseError
from foldwise.kaggle import download, submissions
from foldwise.kaggle.cli import check_credentials, check_version, run


def test_without_credentials_nothing_is_sent(stranger: KaggleServer, raw_dir: Path, csv_file: Path) -> None:
    places = ["KAGGLE_API_TOKEN", ".kaggle/access_token", "kaggle/kaggle.json", "KAGGLE_USERNAME"]
    for call in (
        lambda: download.download(SLUG, raw_dir),
        lambda: submissions.submit(csv_file, SLUG, "x"),
        lambda: submissions.submit(csv_file, SLUG, "x", dry_run=True),
    ):
        with pytest.raises(FoldwiseError, match="no Kaggle credentials") as caught:
            call()
        assert not [place for place in [*places, "OAuth", "settings/api"] if place not in str(caught.value)]
    assert stranger.received == []
    assert not raw_dir.parent.exists()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (".kaggle/access_token", TOKEN),
        (".config/kaggle/kaggle.json", f'{{"username": "{USER}", "key": "{KEY}"}}'),
        (".kaggle/kaggle.json", f'{{"username": "{USER}", "key": "{KEY}"}}'),
        (".kaggle/credentials.json", '{"refresh_token": "x"}'),
    ],
)
def test_credentials_are_found(home: Path, place: str, text: str) -> None:
    (home / place).parent.mkdir(parents=True)
    (home / place).write_text(" ")
    with pytest.raises(FoldwiseError, match="no Kaggle credentials"):
        check_credentials()
    (home / place).write_text(text)
    assert check_credentials() == str(home / place)


def test_a_slow_download_goes_on_while_it_grows(tmp_path: Path) -> None:
    script = (
        f"import time, pathlib; path = pathlib.Path({str(tmp_path / 'a.zip')!r})\n"
        "for n in range(6): path.write_bytes(bytes(n)); time.sleep(0.3)\nprint('done')"
    )
    assert run([sys.executable, "-c", script], SLUG, 1.0, growing=tmp_path) == "done\n"


def test_an_interrupt_is_not_success() -> None:
    # What the client prints on Ctrl-C before it ends with exit status 0.
    with pytest.raises(FoldwiseError, match="\n  User cancelled operation"):
        run([sys.executable, "-c", "print('User cancelled operation')"], SLUG, 10.0)


@pytest.mark.usefixtures("home")
def test_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_version.cache_clear()
    assert check_version().startswith("2.2.")
    check_version.cache_clear()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FoldwiseError, match=r"not installed in the folder of .*python. Run: .*pip install kaggle==2.2"):
        check_version()
    (tmp_path / "kaggle").write_text("#!/bin/sh\necho Kaggle API 1.6.6\n")
    (tmp_path / "kaggle").chmod(0o755)
    with pytest.raises(FoldwiseError, match=r"2.2.x, found 1.6.6. Run: .*pip install kaggle==2.2"):
        check_version()
    (tmp_path / "kaggle").write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'six'\"; exit 1\n")
    with pytest.raises(FoldwiseError, match=r"the kaggle command failed; if it is broken, run: (?s:.*)'six'"):
        check_version()
