"""The installed `kaggle` command, run in a child process; the package is never imported: that logs in."""

import functools
import json
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

INSTALL = "python -m pip install kaggle==2.2.5 six"  # kaggle imports six without declaring it
# What the client prints: the host's own words if it sent any, else the number. 0: try again.
MEANINGS = {
    401: r"401 Client Error|unauthori[sz]ed|unauthenticated|authentication required|invalid credentials",
    403: r"403 Client Error|forbidden|was denied|accept .*rules",
    404: r"404 Client Error|\bnot ?found\b|could not find competition",
    429: r"429 Client Error|too many requests",
    0: r"50\d Server Error|connection|timed out|max retries",
}


class TryLater(FoldwiseError):
    """Kaggle is busy or unreachable; `seconds` is the waiting time that it requested (0: none)."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


def check_credentials() -> str:
    """Return where the client will find credentials; raise FoldwiseError naming every place without them."""
    home = Path.home() / ".kaggle"
    default = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or (home if home.exists() else default))
    key_file = folder / "kaggle.json"
    login = home / "credentials.json"
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    for path in (home / "access_token", home / "access_token.txt"):
        if path.is_file() and path.read_text().strip():
            return str(path)
    stored = _read_json(key_file)
    if all(os.environ.get(f"KAGGLE_{name.upper()}") or stored.get(name) for name in ("username", "key")):
        return str(key_file) if stored else "KAGGLE_USERNAME and KAGGLE_KEY"
    if _read_json(login).get("refresh_token"):
        return str(login)
    raise FoldwiseError(
        "no Kaggle credentials. Looked for: KAGGLE_API_TOKEN in the environment; a token in "
        f"{home / 'access_token'}; username and key in {key_file}; KAGGLE_USERNAME and KAGGLE_KEY in the "
        f"environment; an OAuth login in {login}.\nTo make one, run `kaggle auth login`, or create a token "
        f"at https://www.kaggle.com/settings/api and save it as {home / 'access_token'}"
    )


@functools.cache
def check_version() -> str:
    """Return the version of the command line; raise FoldwiseError if it is missing or not 2.2.x."""
    # Importing the package logs in, even for --version: in an empty home there is nothing to log in with.
    with tempfile.TemporaryDirectory() as empty:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")}
        environment |= {"HOME": empty, "USERPROFILE": empty, "KAGGLE_CONFIG_DIR": empty}
        answer = run([_executable(), "--version"], "", 60.0, environment=environment)
    version = answer.split()[-1] if answer.split() else "nothing"
    if not version.startswith("2.2."):
        raise FoldwiseError(f"expected the kaggle command line 2.2.x, found {version}. Run: {INSTALL}")
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


def last_lines(text: str) -> str:
    """Quote the last three lines that are not empty."""
    lines = [line for line in text.splitlines() if line.strip()][-3:]
    return "".join(f"\n  {line.strip()}" for line in lines) or " (nothing)"


def _failure(text: str, slug: str) -> FoldwiseError:
    """Return the error that fits what a failed command printed."""
    found = [code for code, pattern in MEANINGS.items() if re.search(pattern, text, re.IGNORECASE)]
    code = found[0] if found else None
    wait = re.search(r"retry(?:[- ]after:?| in) ([\d.]*\d)", text, re.IGNORECASE)
    seconds = float(wait[1]) if wait else 0.0
    meaning = {
        401: "Kaggle does not accept the credentials (401): make new ones (`kaggle auth login`)",
        403: f"Kaggle refuses access (403). Either the name {slug!r} is wrong, or its rules are not "
        f"accepted, or you have not entered the competition: see https://www.kaggle.com/c/{slug}/rules",
        404: f"Kaggle knows no competition {slug!r} (404): check https://www.kaggle.com/c/{slug}",
        429: "Kaggle received too many requests (429): wait "
        f"{f'{seconds:g} s' if wait else 'some minutes'}, then run the same command again",
        0: "Kaggle is unreachable or out of order: run the same command again",
        None: f"the kaggle command failed; if it is broken, run: {INSTALL}",
    }[code]
    message = f"{meaning}\nkaggle printed:{last_lines(text)}"
    return TryLater(message, seconds) if code in (0, 429) else FoldwiseError(message)


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
