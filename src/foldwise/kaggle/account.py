"""What keeps this account from a competition: one check after another, each with what repairs it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from foldwise.errors import FoldwiseError
from foldwise.kaggle import cli, submission_calls
from foldwise.kaggle.cli import INSTALL, Refused, TryLater, printed_list, run_cli


@dataclass(frozen=True)
class Check:
    """A line of the report.

    state: ok; warning, which hinders nothing yet; problem; or skipped, after a problem on which it depends.
    repair: what repairs it, where it is not ok.
    """

    name: str
    state: Literal["ok", "warning", "problem", "skipped"]
    found: str
    repair: str = ""


def check_account(slug: str | None) -> list[Check]:
    """Check the client, the credentials and the way into a competition; nothing is changed anywhere.

    slug: of the competition; None: it is not on Kaggle, and the way into it is not checked.
    """
    checks = [_client(), *_credentials()]
    names = ["network", "competition", "entered and rules", "submissions"]
    if any(check.state == "problem" for check in checks):
        return checks + [Check(name, "skipped", "needs the client and credentials") for name in names]
    if slug is None:
        return [*checks, Check("competition", "skipped", "competition.slug is not set: it is not on Kaggle")]
    try:
        listed = _search(slug)
    except TryLater as error:
        checks.append(Check("network", "problem", _first_line(error), "check the network or proxy, then try again"))
        return checks + [Check(name, "skipped", "needs the network") for name in names[1:]]
    except Refused as error:
        if error.kind == "credentials":
            checks[1] = Check("credentials", "problem", "Kaggle refuses them (401)", "make new ones: kaggle auth login")
        else:
            checks[0] = Check("kaggle client", "problem", _first_line(error), INSTALL)
        answers = Check("network", "ok", "Kaggle answers")
        return [*checks, answers, *(Check(name, "skipped", "needs what failed above") for name in names[1:])]
    return [*checks, Check("network", "ok", "Kaggle answers, and accepts the credentials"), *_way_in(slug, listed)]


def _client() -> Check:
    try:
        version = cli.check_version()
    except FoldwiseError as error:
        return Check("kaggle client", "problem", _first_line(error).partition(". Run:")[0], INSTALL)
    return Check("kaggle client", "ok", version)


def _credentials() -> list[Check]:
    try:
        where = cli.check_credentials()
    except FoldwiseError as error:
        looked_for, _, repair = str(error).partition("\n")
        return [Check("credentials", "problem", looked_for, repair)]
    if cli.is_open(Path(where)):
        return [Check("credentials", "warning", f"{where} can be read by others", f"chmod 600 {where}")]
    return [Check("credentials", "ok", where)]


def _search(words: str) -> list[dict[str, Any]]:
    """Return the competitions that Kaggle finds: ref, deadline, userHasEntered and more."""
    answer = run_cli(["competitions", "list", f"--search={words}", "--format=json"], words, 60.0)
    return printed_list(answer) or []


def _way_in(slug: str, listed: list[dict[str, Any]]) -> list[Check]:
    """Tell apart: no such competition, one that is gone, one not entered, and rules that are not accepted."""
    page = f"https://www.kaggle.com/c/{slug}"
    refused = ""
    try:
        run_cli(["competitions", "files", slug, "--format=json", "--page-size=1"], slug, 60.0)
    except Refused as error:
        refused = error.kind
    except TryLater as error:
        return [Check("competition", "problem", _first_line(error), "try again"), *_after()]
    if refused and not _found(slug, listed):  # the search is one of titles, in which a slug may not be found
        listed = listed + _search(slug.replace("-", " "))
    one = _found(slug, listed)
    entered = None if one is None else str(one.get("userHasEntered")).lower() == "true"
    if one is None and refused in ("unknown", "access", "other"):
        names = {_name(other) for other in [*listed, *_search(slug.partition("-")[0])]}
        near = difflib.get_close_matches(slug, names, n=3, cutoff=0.6)
        repair = f"did you mean {' or '.join(near)}? Set competition.slug=NAME, the last part of its address"
        found = f"Kaggle knows no competition {slug!r}"
        return [Check("competition", "problem", found, repair if near else repair.partition("? ")[2]), *_after()]
    if one is not None and refused == "unknown":
        found = f"{slug} is gone: Kaggle lists it, but has no files of it any more (404)"
        return [Check("competition", "problem", found, f"look at {page}; no command brings it back"), *_after()]
    checks = [_deadline(slug, one)]
    if refused == "rules" or (refused and entered):
        repair = f"accept them at {page}/rules"
        return [*checks, Check("entered and rules", "problem", "the rules are not accepted", repair), _skipped()]
    if refused or entered is False:
        repair = f"press Join (or Late Submission) at {page}/rules"
        return [*checks, Check("entered and rules", "problem", "you have not entered", repair), _skipped()]
    entry = Check("entered and rules", "ok", "entered" if entered else "its files are open to you")
    return [*checks, entry, _allowance(slug)]


def _deadline(slug: str, one: dict[str, Any] | None) -> Check:
    """Return what is known of the end of a competition."""
    try:
        end = datetime.fromisoformat(str((one or {})["deadline"])).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return Check("competition", "ok", slug)
    if end < datetime.now(UTC):
        return Check(
            "competition", "ok", f"{slug}; ended on {end:%Y-%m-%d}: submissions are late, and count for no rank"
        )
    return Check("competition", "ok", f"{slug}; ends on {end:%Y-%m-%d %H:%M} UTC")


def _allowance(slug: str) -> Check:
    allowance = submission_calls.limits(slug)
    if allowance is None:
        return Check("submissions", "ok", "Kaggle does not tell how many are left today")
    left = allowance["numAllowedNow"]
    found = f"{left} left today, {allowance['numToday']} sent"
    return Check("submissions", "ok", found) if left else Check("submissions", "warning", found, "wait for 0:00 UTC")


def _after() -> list[Check]:
    return [Check("entered and rules", "skipped", "needs the competition"), _skipped()]


def _skipped() -> Check:
    return Check("submissions", "skipped", "needs the competition to be entered")


def _found(slug: str, listed: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((one for one in listed if _name(one) == slug), None)


def _name(one: dict[str, Any]) -> str:
    return str(one["ref"]).rstrip("/").rpartition("/")[2]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
