"""The doctor: each state of the account is told apart, with what repairs it."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.kaggle_server import SLUG, KaggleServer, Refusal

from foldwise.__main__ import main
from foldwise.errors import FoldwiseError
from foldwise.kaggle import account, cli
from foldwise.kaggle.account import check_account

RULES = f"accept them at https://www.kaggle.com/c/{SLUG}/rules"
JOIN = f"press Join (or Late Submission) at https://www.kaggle.com/c/{SLUG}/rules"


def checked(slug: str | None = SLUG) -> dict[str, tuple[str, str, str]]:
    return {check.name: (check.state, check.found, check.repair) for check in check_account(slug)}


def states(checks: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    return {name: state for name, (state, _, _) in checks.items()}


ALL_WELL = dict.fromkeys(
    ["kaggle client", "credentials", "network", "competition", "entered and rules", "submissions"], "ok"
)


@pytest.mark.slow
def test_all_is_well(server: KaggleServer) -> None:
    checks = checked()
    assert states(checks) == ALL_WELL
    assert checks["competition"][1] == f"{SLUG}; ended on 2018-01-23: submissions are late, and count for no rank"
    assert checks["submissions"][1] == "4 left today, 1 sent"
    assert server.names == ["ListCompetitions", "ListDataFiles", "GetSubmissionLimits"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusals", "entered", "name", "found", "repair"),
    [
        (
            {"ListDataFiles": Refusal(403, "You must accept this competition's rules before you can continue.")},
            {SLUG: False},
            "entered and rules",
            "the rules are not accepted",
            RULES,
        ),
        ({"ListDataFiles": Refusal(403)}, {SLUG: True}, "entered and rules", "the rules are not accepted", RULES),
        ({}, {SLUG: False}, "entered and rules", "you have not entered", JOIN),
        (
            {"ListDataFiles": Refusal(403, "Permission 'competitions.participate' was denied")},
            {},
            "entered and rules",
            "you have not entered",
            JOIN,
        ),
        ({"ListDataFiles": Refusal(404, "Not found")}, {SLUG: True}, "competition", f"{SLUG} is gone", "no command"),
        (
            {"ListDataFiles": Refusal(403)},
            {"iceberg-or-whale": True},
            "competition",
            f"Kaggle knows no competition {SLUG!r}",
            "did you mean iceberg-or-whale?",
        ),
        ({"ListDataFiles": Refusal(404, "Not found")}, {}, "competition", "Kaggle knows no", "Set competition.slug"),
        (
            {"ListCompetitions": Refusal(503)},
            {},
            "network",
            "Kaggle is unreachable or out of order",
            "network or proxy",
        ),
    ],
)
def test_states_of_the_account(
    server: KaggleServer, refusals: dict[str, Refusal], entered: dict[str, bool], name: str, found: str, repair: str
) -> None:
    server.refusals, server.competitions = refusals, entered
    checks = checked()
    assert [key for key, (state, _, _) in checks.items() if state == "problem"] == [name]
    assert found in checks[name][1]
    assert repair in checks[name][2]
    assert checks["submissions"][0] == "skipped"


def test_credentials_that_kaggle_refuses(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "another")
    checks = checked()
    assert checks["credentials"] == ("problem", "Kaggle refuses them (401)", "make new ones: kaggle auth login")
    assert states(checks) == {
        "kaggle client": "ok",
        "credentials": "problem",
        "network": "ok",
        "competition": "skipped",
        "entered and rules": "skipped",
        "submissions": "skipped",
    }


def test_no_credentials(stranger: KaggleServer) -> None:
    state, found, repair = checked()["credentials"]
    assert state == "problem" and found.startswith("no Kaggle credentials. Looked for: KAGGLE_API_TOKEN")
    assert "kaggle auth login" in repair
    assert stranger.names == []


def test_a_key_file_that_others_can_read(server: KaggleServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".kaggle").mkdir()
    token = home / ".kaggle" / "access_token"
    token.write_text("KGAT_1")
    token.chmod(0o644)
    assert checked(None)["credentials"] == (
        "warning",
        f"{token} can be read by others",
        f"chmod 600 {token}",
    )


@pytest.mark.parametrize(
    ("version", "found"),
    [("1.7.4", "found 1.7.4"), (None, "the kaggle command is not installed")],
)
def test_the_client(server: KaggleServer, version: str | None, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_version() -> str:
        if version is None:
            raise FoldwiseError("the kaggle command is not installed in the folder of python. Run: pip")
        raise FoldwiseError(f"expected the kaggle command line 2.2.5 to 2.2.x, found {version}. Run: pip")

    monkeypatch.setattr(cli, "check_version", check_version)
    checks = checked()
    assert checks["kaggle client"][0] == "problem" and found in checks["kaggle client"][1]
    assert checks["kaggle client"][2] == "python -m pip install kaggle==2.2.5 six"
    assert server.names == []


def test_the_stage_shows_a_line_a_check_and_fails_where_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from foldwise.stages import doctor

    found: list[account.Check] = [account.Check("competition", "ok", "there")]
    monkeypatch.setattr(doctor, "check_account", lambda slug: found)
    monkeypatch.setattr(doctor, "visible_gpus", lambda: ())
    assert main(["doctor", f"root={tmp_path / 'not' / 'there'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("ok")] == [
        "versions",
        "device",
        "disk",
        "folders",
        "competition",
    ]
    found.append(account.Check("credentials", "problem", "none", "make some"))
    assert main(["doctor", f"root={tmp_path}", "format=json"]) == 1
    printed = capsys.readouterr()
    result: dict[str, Any] = json.loads(printed.out)
    assert result["ok"] is False
    assert result["checks"][-1] == {"name": "credentials", "state": "problem", "found": "none", "repair": "make some"}
    assert printed.err == "error: 1 of 6 checks failed: credentials\n"
    assert list(tmp_path.iterdir()) == []
