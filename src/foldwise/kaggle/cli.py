"""The installed `kaggle` command, run in a child process; the package is never imported: that logs in."""

import functools
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldwise.errors import ConfigError, FoldwiseError

log = logging.getLogger(__name__)

FIRST, END = (2, 2, 5), (2, 3)  # earlier versions lose failed uploads and interrupted downloads silently
INSTALL = "python -m pip install kaggle==2.2.5 six"  # kaggle imports six without declaring it
# What the client prints: the host's own words if it sent any, else the number. The first that fits counts.
MEANINGS = {
    "daily limit": r"daily submission|submission (allowance|limit)",
    "closed": r"late submissions?|(competition|deadline) (has|is) (already )?(ended|closed|passed|over)|"
    r"not accepting submissions",
    "rules": r"must accept|accept the( competition'?s?)? rules|accept this competition's rules",
    "not entered": r"was denied|not entered|must (enter|join)",
    "credentials": r"401 Client Error|unauthori[sz]ed|unauthenticated|authentication required|invalid credentials",
    "access": r"403 Client Error|forbidden|don't have access",
    "unknown": r"404 Client Error|\bnot ?found\b|could not find competition",
    "busy": r"429 Client Error|too many requests|rate limited",
    "unreachable": r"50\d Server Error|connection|timed out|max retries|does not match expected size|"
    r"name resolution|problem on Kaggle's side",
}
# the client's own advice at every 403, which says less than the host's words before it
HINT = re.compile(r"You don't have access to this resource\.\nIf this is a competition, you may need to .*\n.*")


class TryLater(FoldwiseError):
    """Kaggle is busy or unreachable; `seconds` is the waiting time that it requested (0: none)."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Refused(FoldwiseError):
    """Kaggle, or its client, refuses; `kind` is a key of MEANINGS, or "other"."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_credentials() -> str:
    """Return where the client will find credentials; raise FoldwiseError naming every place without them."""
    home = Path.home() / ".kaggle"
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or (home if home.exists() else _default_folder()))
    key_file = folder / "kaggle.json"
    login = home / "credentials.json"
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    for path in (home / "access_token", home / "access_token.txt"):
        if path.is_file() and path.read_text().strip():
            _check_private(path)
            return str(path)
    stored = _read_json(key_file)
    if all(os.environ.get(f"KAGGLE_{name.upper()}") or stored.get(name) for name in ("username", "key")):
        _check_private(key_file)
        return str(key_file) if stored else "KAGGLE_USERNAME and KAGGLE_KEY"
    if _read_json(login).get("refresh_token"):
        return str(login)
    raise FoldwiseError(
        "no Kaggle credentials. Looked for: KAGGLE_API_TOKEN in the environment; a token in "
        f"{home / 'access_token'}; username and key in {key_file}; KAGGLE_USERNAME and KAGGLE_KEY in the "
        f"environment; an OAuth login in {login}.\nTo make one, run `kaggle auth login`, or create a token "
        f"at https://www.kaggle.com/settings/api and save it as {home / 'access_token'}"
    )


def is_open(path: Path) -> bool:
    """Tell whether others on this machine can read a file; where it is none, nobody can."""
    return path.is_file() and os.name == "posix" and bool(path.stat().st_mode & 0o077)


def _check_private(path: Path) -> None:
    """Warn where others on this machine can read a file of credentials."""
    if is_open(path):
        log.warning("%s can be read by others on this machine; run: chmod 600 %s", path, path)


@functools.cache
def check_version() -> str:
    """Return the version of the command line; raise FoldwiseError if it is missing, before 2.2.5 or not 2.2.x."""
    # Importing the package logs in, even for --version: in an empty home there is nothing to log in with.
    with tempfile.TemporaryDirectory() as empty:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")}
        environment |= {"HOME": empty, "USERPROFILE": empty, "KAGGLE_CONFIG_DIR": empty}
        answer = run([_executable(), "--version"], "", 60.0, environment=environment)
    version = answer.split()[-1] if answer.split() else "nothing"
    if not FIRST <= tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < END:
        raise FoldwiseError(f"expected the kaggle command line 2.2.5 to 2.2.x, found {version}. Run: {INSTALL}")
    return version


def check_ready(slug: str) -> None:
    """Raise an error unless `slug` can be a competition's name, and credentials and the client are there."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", slug):
        raise ConfigError(f"expected the last part of https://www.kaggle.com/c/<name>, found {slug!r}")
    check_credentials()
    check_version()


def run_cli(arguments: list[str], slug: str, timeout: float, *, grown: Callable[[], int] | None = None) -> str:
    """Run `kaggle` with these arguments; the rest as in `run`."""
    return run([_executable(), "--no-warn", *arguments], slug, timeout, grown=grown)


def run(
    command: list[str],
    slug: str,
    timeout: float,
    *,
    grown: Callable[[], int] | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    """Run a command to its end and return what it printed.

    timeout: seconds; with `grown`, seconds in which what it returns did not grow.
    grown: return how many bytes have come; called about once a second.

    Raises TryLater for a time-out, for 429, and if the host does not answer; FoldwiseError, with what
    the failure means for the competition `slug` and the last lines printed, for any other failure.
    """
    environment = dict(os.environ if environment is None else environment)
    # With these the client prints its credentials, and reads a whole download into memory.
    for name in ("VERBOSE", "VERBOSE_OUTPUT"):
        environment.pop(name, None)
    environment["PYTHONIOENCODING"] = "utf-8"
    size, deadline = 0, time.monotonic() + timeout
    with subprocess.Popen(
        command,
        env=environment,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            while True:
                try:
                    left = max(0.05, deadline - time.monotonic())
                    output, errors = child.communicate(timeout=min(1.0, left))
                    break
                except subprocess.TimeoutExpired:
                    now = grown() if grown else 0
                    if now > size:
                        size, deadline = now, time.monotonic() + timeout
                    elif time.monotonic() >= deadline:
                        raise TryLater(f"kaggle timed out: nothing came in {timeout:g} s") from None
        finally:
            child.kill()
    if child.returncode or "User cancelled operation" in output:  # printed with exit status 0
        raise _failure(output + errors, slug)
    return output


def printed_list(answer: str) -> list[dict[str, Any]] | None:
    """Return the list that the client printed as JSON, after warnings and the like; None where there is none."""
    start = re.search(r"^\[", answer, re.MULTILINE)
    if start is None:
        return None
    found: list[dict[str, Any]] = json.JSONDecoder().raw_decode(answer, start.start())[0]
    return found


def last_lines(text: str) -> str:
    """Quote the last three lines that are not empty, without credentials."""
    lines = [line for line in _without_secrets(text).splitlines() if line.strip()][-3:]
    return "".join(f"\n  {line.strip()}" for line in lines) or " (nothing)"


def _without_secrets(text: str) -> str:
    """Return a text in which stars stand for the credentials of this machine and for signed addresses.

    >>> _without_secrets("GET https://storage/a.zip?X-Goog-Signature=0f3&x=1 Authorization: Bearer KGAT_12ab")
    'GET https://storage/a.zip?*** Authorization: Bearer ***'
    """
    for secret in _secrets():
        text = text.replace(secret, "***")
    text = re.sub(r"(https?://[^\s?]+\?)\S+", r"\1***", text)
    return re.sub(r"(Bearer|Basic) \S+|KGAT_\w+", lambda found: f"{found[1]} ***" if found[1] else "***", text)


def _secrets() -> list[str]:
    """Return what must not be shown: keys and tokens wherever the client looks for them."""
    home = Path.home() / ".kaggle"
    found = [os.environ.get(name, "") for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY")]
    found += [path.read_text().strip() for path in (home / "access_token", home / "access_token.txt") if path.is_file()]
    for folder in {home, _default_folder(), Path(os.environ.get("KAGGLE_CONFIG_DIR") or home)}:
        for name in ("kaggle.json", "credentials.json"):
            found += [str(value) for key, value in _read_json(folder / name).items() if key != "username"]
    return sorted({one for one in found if len(one) > 5}, key=len, reverse=True)


def _default_folder() -> Path:
    """Return where the client keeps a key if nothing else is set, and ~/.kaggle is not there."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"


def _failure(text: str, slug: str) -> FoldwiseError:
    """Return the error that fits what a failed command printed."""
    own = HINT.sub("", text)
    found = [kind for kind, pattern in MEANINGS.items() if re.search(pattern, own, re.IGNORECASE)]
    kind = found[0] if found else "other"
    wait = re.search(r"retry(?:[- ]after:?| in) ([\d.]*\d)", text, re.IGNORECASE)
    seconds = float(wait[1]) if wait else 0.0
    page = f"https://www.kaggle.com/c/{slug}"
    meaning = {
        "daily limit": "today's submissions are used up; the next day begins at 0:00 UTC",
        "closed": f"{slug} takes no submissions any more: see {page}",
        "rules": f"the rules of {slug} are not accepted (403): accept them at {page}/rules, and run the command again",
        "not entered": f"you have not entered {slug} (403): press Join at {page}/rules, and run the command again",
        "credentials": "Kaggle does not accept the credentials (401): make new ones (`kaggle auth login`)",
        "access": f"Kaggle refuses access (403). Either the name {slug!r} is wrong, or its rules are not "
        f"accepted, or you have not entered the competition: see {page}/rules",
        "unknown": f"Kaggle knows no competition {slug!r} (404): check {page}",
        "busy": "Kaggle received too many requests (429): wait "
        f"{f'{seconds:g} s' if wait else 'some minutes'}, then run the same command again",
        "unreachable": "Kaggle is unreachable or out of order: run the same command again",
        "other": f"the kaggle command failed; if it is broken, run: {INSTALL}",
    }[kind]
    message = f"{meaning}\nkaggle printed:{last_lines(own)}"
    return TryLater(message, seconds) if kind in ("busy", "unreachable") else Refused(message, kind)


def _executable() -> str:
    path = shutil.which("kaggle", path=str(Path(sys.executable).parent))
    if path is None:
        raise FoldwiseError(f"the kaggle command is not installed in the folder of {sys.executable}. Run: {INSTALL}")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
