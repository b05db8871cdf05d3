"""The real kaggle command line, run against a local server that speaks its protocol."""

import csv
import io
import os
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import py7zr
import pytest
from helpers.kaggle_server import KEY, TOKEN, USER, KaggleServer, Refusal

from foldwise.__main__ import main
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.kaggle import client
from foldwise.kaggle.archives import unpack
from foldwise.kaggle.cli import run, run_cli

SLUG = "iceberg-or-ship"
RULES = f"https://www.kaggle.com/c/{SLUG}/rules"
PREDICTIONS = b"id,is_iceberg\na1,0.25\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment without anything of the user's Kaggle account or proxies."""
    for name in list(os.environ):
        if name.startswith(("KAGGLE_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def stranger(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """The server, for a user without credentials."""
    monkeypatch.chdir(home)
    with KaggleServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(client, "POLL_SECONDS", 0.05)
        yield server


@pytest.fixture
def server(stranger: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> KaggleServer:
    """The server, for a user with a name and a key."""
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    return stranger


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw" / SLUG


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / f"{SLUG}_0.15_ab12.csv"
    path.write_bytes(PREDICTIONS)
    return path


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def seven_zipped(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as file:
        file.writestr(data, name)
    return stream.getvalue()


def renamed_7z(data: bytes, old: str, new: str) -> bytes:
    """Rename a member to a name that py7zr refuses to write; the header holds UTF-16 and two checksums."""
    offset, size = struct.unpack_from("<QQ", data, 12)
    header = data[32 + offset : 32 + offset + size].replace(old.encode("utf-16-le"), new.encode("utf-16-le"))
    start = struct.pack("<QQI", offset, size, zlib.crc32(header))
    return data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32 : 32 + offset] + header


def leftovers(raw_dir: Path) -> list[str]:
    return [path.name for path in raw_dir.parent.iterdir()] if raw_dir.parent.exists() else []


def test_download_is_unpacked_whole(server: KaggleServer, raw_dir: Path) -> None:
    server.archive = zipped(
        {
            "sample_submission.csv": b"id,is_iceberg\n",
            "images/b/1.png": b"\x89PNG",
            "train.json.7z": seven_zipped("data/processed/train.json", b"[]" * 5000),
        }
    )
    raw_dir.mkdir(parents=True)  # an empty folder is no obstacle
    files = client.download(SLUG, raw_dir)
    names = ["data/processed/train.json", "images/b/1.png", "sample_submission.csv"]
    assert [path.relative_to(raw_dir).as_posix() for path in files] == names
    assert files[0].read_bytes() == b"[]" * 5000
    assert leftovers(raw_dir) == [SLUG]
    assert server.received == [("DownloadDataFiles", {"competitionName": SLUG}), ("archive", None)]
    with pytest.raises(FoldwiseError, match=f"{raw_dir} already holds files"):
        client.download(SLUG, raw_dir)


def test_truncated_archive_is_refused(server: KaggleServer, raw_dir: Path) -> None:
    whole = zipped({"train.csv": os.urandom(5000)})
    server.archive = whole[:4000]
    with pytest.raises(FoldwiseError, match=r"iceberg-or-ship.zip \(4,000 bytes\) could not be unpacked"):
        client.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


def test_silent_download_ends(server: KaggleServer, raw_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STALL_SECONDS", 2.0)
    server.archive, server.stall_after = zipped({"train.csv": os.urandom(5000)}), 100
    with pytest.raises(FoldwiseError, match="timed out: nothing came in 2 s"):
        client.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(401, "Unauthenticated"), "does not accept the credentials"),
        (Refusal(403), f"Either the name '{SLUG}' is wrong, or its rules are not accepted.*{RULES}"),
        (
            Refusal(403, "You must accept this competition's rules before"),
            f"{RULES}\nkaggle printed:\n  You must",
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
        client.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []
    assert server.names == ["DownloadDataFiles"]


def test_without_credentials_nothing_is_sent(stranger: KaggleServer, raw_dir: Path, csv_file: Path) -> None:
    places = ["KAGGLE_API_TOKEN", ".kaggle/access_token", "kaggle/kaggle.json", "KAGGLE_USERNAME"]
    for call in (
        lambda: client.download(SLUG, raw_dir),
        lambda: client.submit(csv_file, SLUG, "x"),
        lambda: client.submit(csv_file, SLUG, "x", dry_run=True),
    ):
        with pytest.raises(FoldwiseError, match="no Kaggle credentials") as caught:
            call()
        assert not [place for place in [*places, "OAuth", "settings/api"] if place not in str(caught.value)]
    assert stranger.received == []
    assert leftovers(raw_dir) == []


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
        client.check_credentials()
    (home / place).write_text(text)
    assert client.check_credentials() == str(home / place)


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

    monkeypatch.setattr(client, "run_cli", run_and_keep)
    row = client.submit(csv_file, SLUG, "-first, & best")
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
    row = client.submit(csv_file, SLUG, "m")
    assert (row["public_score"], row["private_score"]) == (0.2, None)
    assert busy.times == 0


def test_failed_upload_is_an_error(server: KaggleServer, csv_file: Path) -> None:
    server.upload_status = 400  # the client ends with exit status 0
    with pytest.raises(FoldwiseError, match="nothing was submitted:\n  Could not submit to competition"):
        client.submit(csv_file, SLUG, "m")
    assert "CreateSubmission" not in server.names


def test_rejected_submission_gives_the_reason(server: KaggleServer, csv_file: Path) -> None:
    server.verdict = {"status": "ERROR", "errorDescription": "Evaluation Exception: 8424 rows expected"}
    with pytest.raises(FoldwiseError, match=r"rejected .*: Evaluation Exception: 8424 rows expected\nSee "):
        client.submit(csv_file, SLUG, "m")


def test_rivals_are_not_mistaken_for_ours(server: KaggleServer, csv_file: Path) -> None:
    """A team mate's submission, listed since, has the same file name but another message."""
    send = server.submit

    def send_after_rival(name: str, description: str, **fields: str) -> None:
        send(name, description, **fields)
        send(name, "by a team mate", status="COMPLETE", publicScore="9", privateScore="9")
        send("other.csv", description, status="COMPLETE", publicScore="9", privateScore="9")

    server.submit = send_after_rival  # type: ignore[method-assign]
    assert client.submit(csv_file, SLUG, "m")["public_score"] == 0.15113


@pytest.mark.slow
def test_submission_without_a_score_in_time(server: KaggleServer, csv_file: Path) -> None:
    server.pending_lists = 1000
    with pytest.raises(FoldwiseError, match=r"no score after 4 s \(status: PENDING\).*Do not send it again"):
        client.submit(csv_file, SLUG, "m", timeout=4.0)


def test_submission_to_a_closed_door_is_not_uploaded(server: KaggleServer, csv_file: Path) -> None:
    server.refusals["ListSubmissions"] = Refusal(403, "Permission 'competitions.participate' was denied")
    with pytest.raises(FoldwiseError, match=RULES):
        client.submit(csv_file, SLUG, "m")
    assert server.names == ["ListSubmissions"]


def test_dry_run_sends_nothing(server: KaggleServer, csv_file: Path) -> None:
    row = client.submit(csv_file, SLUG, "m", dry_run=True)
    assert row["status"] == "dry run" and row["file"] == csv_file.name and row["public_score"] is None
    assert server.received == []


def test_what_cannot_be_submitted(server: KaggleServer, csv_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FoldwiseError, match=r"none.csv is missing"):
        client.submit(tmp_path / "none.csv", SLUG, "m")
    with pytest.raises(ConfigError, match="expected the last part of https"):
        client.submit(csv_file, f"https://www.kaggle.com/c/{SLUG}", "m")
    csv_file.write_text("")
    with pytest.raises(FoldwiseError, match="is empty"):
        client.submit(csv_file, SLUG, "m")
    assert server.received == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_zip_slip_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"fine.csv": b"1", name: b"2"}))
    (tmp_path / "out").mkdir()
    with pytest.raises(FoldwiseError, match="would be written outside"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "out"]


def test_zip_slip_downloaded(server: KaggleServer, raw_dir: Path) -> None:
    server.archive = zipped({"fine.csv": b"1", "../evil": b"2"})
    with pytest.raises(FoldwiseError, match="would be written outside"):
        client.download(SLUG, raw_dir)
    assert leftovers(raw_dir) == []


def test_hostile_7z_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as file:
        file.set_encoded_header_mode(False)
        file.writestr(b"2", "ab/evil")
    slip = renamed_7z(stream.getvalue(), "ab/evil", "../evil")
    damaged = bytearray(seven_zipped("x", os.urandom(500)))
    damaged[100] ^= 1
    for data, expected in (
        (slip, "would be written outside"),
        (bytes(damaged), "x.7z .* could not be unpacked"),
        (b"7z", "x.7z .* could not be unpacked"),
        (seven_zipped("sub/there", b"2"), "'sub/there' exists already"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "a.zip").write_bytes(zipped({"x.7z": data, "sub/there": b"1"}))
        with pytest.raises(FoldwiseError, match=expected):
            unpack(folder / "a.zip", folder)


def test_damaged_zips_are_refused(tmp_path: Path) -> None:
    damaged = bytearray(zipped({"x.csv": os.urandom(500)}))
    damaged[200] ^= 1
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as file:
        file.writestr(link, "/etc/passwd")
    for data, expected in ((bytes(damaged), "CRC"), (linked.getvalue(), "is a link"), (b"", "not a zip")):
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(FoldwiseError, match=expected):
            unpack(tmp_path / "a.zip", tmp_path)


def test_ledger(tmp_path: Path) -> None:
    log = tmp_path / "submissions" / "log.csv"
    row = {"file": "a.csv", "status": "COMPLETE", "public_score": 0.1 + 0.2, "private_score": None}
    client.log_submission(log, row | {"nested_score": 0.15, "submitted_at": "t", "message": 'two\nlines, "x"'})
    with log.open("a") as file:
        file.write("cut short")
    client.log_submission(log, row)
    lines = log.read_text().splitlines()
    assert lines[0] == "file,nested_score,public_score,private_score,status,submitted_at,message"
    with log.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1] == ["a.csv", "0.15", "0.30000000000000004", "", "COMPLETE", "t", 'two\nlines, "x"']
    assert rows[2:] == [["cut short"], ["a.csv", "", "0.30000000000000004", "", "COMPLETE", "", ""]]
    log.write_text("when,what\n")
    with pytest.raises(FoldwiseError, match="expected the header file,nested_score"):
        client.log_submission(log, row)


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
    client.check_version.cache_clear()
    assert client.check_version().startswith("2.2.")
    client.check_version.cache_clear()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FoldwiseError, match=r"not installed in the folder of .*python. Run: .*pip install kaggle==2.2"):
        client.check_version()
    (tmp_path / "kaggle").write_text("#!/bin/sh\necho Kaggle API 1.6.6\n")
    (tmp_path / "kaggle").chmod(0o755)
    with pytest.raises(FoldwiseError, match=r"2.2.x, found 1.6.6. Run: .*pip install kaggle==2.2"):
        client.check_version()
    (tmp_path / "kaggle").write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'six'\"; exit 1\n")
    with pytest.raises(FoldwiseError, match=r"the kaggle command failed; if it is broken, run: (?s:.*)'six'"):
        client.check_version()


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
