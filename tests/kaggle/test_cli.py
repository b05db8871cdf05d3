"""The installed client: its credentials, its version, what its failures mean."""

import sys
import traceback
from pathlib import Path

import pytest
from helpers.archives import zipped
from helpers.kaggle_server import KEY, SLUG, TOKEN, USER, KaggleServer, Refusal

from foldwise.__main__ import main
from foldwise.errors import FoldwiseError
from foldwise.kaggle import download, submissions
from foldwise.kaggle.cli import TryLater, check_credentials, check_version, run
from foldwise.kaggle.submission_calls import Entry


def test_without_credentials_nothing_is_sent(stranger: KaggleServer, raw_dir: Path, csv_file: Path) -> None:
    places = ["KAGGLE_API_TOKEN", ".kaggle/access_token", "kaggle/kaggle.json", "KAGGLE_USERNAME"]
    entry, book = Entry(csv_file.name, csv_file), raw_dir / "log.csv"
    for call in (
        lambda: download.download(SLUG, raw_dir),
        lambda: submissions.submit(entry, SLUG, "x", book),
        lambda: submissions.submit(entry, SLUG, "x", book, dry_run=True),
    ):
        with pytest.raises(FoldwiseError, match="no Kaggle credentials") as caught:
            call()
        assert not [place for place in [*places, "OAuth", "settings/api"] if place not in str(caught.value)]
    assert stranger.received == []
    assert not raw_dir.exists()


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


@pytest.mark.slow
def test_a_slow_download_goes_on_while_it_grows(tmp_path: Path) -> None:
    script = (
        f"import time, pathlib; path = pathlib.Path({str(tmp_path / 'a.zip')!r})\n"
        "for n in range(1, 8): path.write_bytes(bytes(n)); time.sleep(0.3)\nprint('done')"
    )
    archive = tmp_path / "a.zip"
    grown = lambda: archive.stat().st_size if archive.exists() else 0  # noqa: E731
    assert run([sys.executable, "-c", script], SLUG, 1.2, grown=grown) == "done\n"


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
    for version in ("1.6.6", "2.2.4", "2.3.0", "3.0"):
        (tmp_path / "kaggle").write_text(f"#!/bin/sh\necho Kaggle API {version}\n")
        (tmp_path / "kaggle").chmod(0o755)
        with pytest.raises(FoldwiseError, match=rf"2.2.5 to 2.2.x, found {version}. Run: .*pip install kaggle==2.2"):
            check_version()
    (tmp_path / "kaggle").write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'six'\"; exit 1\n")
    with pytest.raises(FoldwiseError, match=r"the kaggle command failed; if it is broken, run: (?s:.*)'six'"):
        check_version()


HINT = (
    "You don't have access to this resource.\nIf this is a competition, you may need to accept its rules first at\n"
    "  https://www.kaggle.com/competitions/<competition>/rules\n"
)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [  # as the client 2.2.5 prints what the host answers
        (f"403 Client Error: Forbidden for url: https://x\n\n{HINT}", "name 'a' is wrong, or its rules"),
        (
            f"You must accept this competition's rules before you'll be able to download files.\n\n{HINT}",
            "rules of a are",
        ),
        (f"Permission 'competitions.participate' was denied\n\n{HINT}", "you have not entered a"),
        ("Authentication required to call the Kaggle API.", "does not accept the credentials"),
        ("404 Client Error: Not Found for url: https://x\n\nThe resource was not found.", "knows no competition 'a'"),
        ("429 Client Error: Too Many Requests for url: https://x\n\nYou have been rate limited.", "wait some minutes"),
        ("500 Server Error: Internal Server Error for url: https://x\n\nThis is a problem on", "unreachable or out of"),
        (
            "ConnectionError: HTTPConnectionPool(host='x', port=80): Max retries exceeded",
            "unreachable or out of",
        ),
        ("The host's own words\n\nThis is a problem on Kaggle's side, not with your command.", "unreachable or out of"),
        ("Downloaded file size (10) does not match expected size (12)", "unreachable or out of"),
        ("Submission not allowed: Your team has used its daily Submission allowance (5) today", "0:00 UTC"),
        ("Submission not allowed: this competition has ended", "takes no submissions any more"),
        ("something new", "if it is broken, run: python -m pip install kaggle==2.2.5"),
    ],
)
def test_what_is_printed_has_a_meaning(tmp_path: Path, printed: str, expected: str) -> None:
    (tmp_path / "printed").write_text(printed)
    program = f"import sys; print(open({str(tmp_path / 'printed')!r}).read(), file=sys.stderr); sys.exit(1)"
    with pytest.raises(FoldwiseError, match=expected) as caught:
        run([sys.executable, "-S", "-c", program], "a", 20.0)
    waits = expected in ("wait some minutes", "unreachable or out of")
    assert isinstance(caught.value, TryLater) == waits


def test_a_key_that_others_can_read_is_warned_of(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(f'{{"username": "{USER}", "key": "{KEY}"}}')
    path.chmod(0o600)
    check_credentials()
    assert caplog.text == ""
    path.chmod(0o644)
    check_credentials()
    assert f"run: chmod 600 {path}" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("place", ["KAGGLE_KEY", "KAGGLE_API_TOKEN", ".kaggle/kaggle.json", ".kaggle/access_token"])
def test_credentials_appear_nowhere(
    stranger: KaggleServer,
    home: Path,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = TOKEN if "token" in place.lower() else KEY
    if place.startswith("KAGGLE_"):
        monkeypatch.setenv("KAGGLE_USERNAME", USER)
        monkeypatch.setenv(place, secret)
    else:
        (home / place).parent.mkdir()
        (home / place).write_text(secret if secret == TOKEN else f'{{"username": "{USER}", "key": "{KEY}"}}')
    monkeypatch.setenv("VERBOSE", "1")  # with it the client prints its headers
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
    root = tmp_path / "root"
    words = [f"root={root}", "competition=digit_recognizer", "source=kaggle"]
    stranger.refusals["DownloadDataFiles"] = Refusal(503, f"refused {secret}", times=1)
    stranger.archive = zipped({"train.csv": b"label,pixel0\n1,2\n"})
    assert main(["download", *words]) == 0
    stranger.refusals["ListDataFiles"] = Refusal(403, f"Bearer {secret} was denied")
    with pytest.raises(FoldwiseError, match=r"have not entered(?s:.*)Bearer \*\*\* was denied") as caught:
        main(["download", *words, "files=[x]"])
    trace = "".join(traceback.format_exception(caught.value))
    seen = capfd.readouterr()
    written = "".join(path.read_text() for path in root.rglob("*") if path.is_file())
    assert secret not in trace + seen.out + seen.err + caplog.text + written
