"""Send a submission, wait for its score, and keep the log of submissions."""

import csv
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.kaggle.cli import TryLater, check_ready, last_lines, run, run_cli

LEDGER = ("file", "nested_score", "public_score", "private_score", "status", "submitted_at", "message")
POLL_SECONDS = 2.0
# The command line does not show why a submission was rejected; the package's own interface does.
REASON = """
import json, sys
from kaggle import api
_, slug, ref = sys.argv
print(json.dumps([one.error_description for one in api.competition_submissions(slug) if str(one.ref) == ref]))
"""


def submit(path: Path, slug: str, message: str, *, dry_run: bool = False, timeout: float = 300.0) -> dict[str, Any]:
    """Send a submission, wait up to `timeout` seconds for its score, and return its row of the ledger.

    The row has file, status ("COMPLETE", or "dry run"), public_score and private_score (float, or None
    if Kaggle shows none) and submitted_at (ISO 8601, UTC). A dry run checks all that can be checked
    here and sends nothing to Kaggle. Raises FoldwiseError if the upload fails, if Kaggle rejects the file
    (with its reason), and if no score has come in time.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise FoldwiseError(f"{path} is {'empty' if path.is_file() else 'missing'}: expected a submission")
    check_ready(slug)
    row: dict[str, Any] = {"file": path.name, "status": "dry run", "public_score": None}
    row |= {"private_score": None, "submitted_at": None}
    if dry_run:
        return row
    page = f"https://www.kaggle.com/competitions/{slug}/submissions"
    deadline = time.monotonic() + timeout
    earlier = {one["ref"] for one in _submissions(slug, timeout)}
    try:
        options = (f"--file={path}", f"--message={message}", "--quiet")
        left = max(1.0, deadline - time.monotonic())
        run_cli(["competitions", "submit", slug, *options], slug, left)
    except TryLater as error:
        raise FoldwiseError(f"{error}\nIt may have arrived: see {page} before you send it again") from None
    except FoldwiseError as error:
        if "Could not submit to competition" not in str(error):
            raise
        raise FoldwiseError(f"the upload of {path} failed, nothing was submitted; send it again") from None
    state, pause = "not listed", POLL_SECONDS
    while True:
        try:
            new = [listed for listed in _submissions(slug, 60.0) if listed["ref"] not in earlier]
            sent = next((listed for listed in new if _is_sent(listed, path.name, message)), None)
            state = sent["status"].rpartition(".")[2] if sent else "not listed"
            if sent and state == "COMPLETE":
                row |= {"status": state, "submitted_at": _utc(sent["date"])}
                scores = {"public_score": sent["publicScore"], "private_score": sent["privateScore"]}
                return row | {name: _score(text) for name, text in scores.items()}
            if sent and state == "ERROR":
                reason = _reason(slug, sent["ref"])
                raise FoldwiseError(f"Kaggle rejected {path.name}: {reason}\nSee {page}")
        except TryLater as error:
            pause = max(2 * pause, error.seconds)
        if time.monotonic() + pause > deadline:
            raise FoldwiseError(
                f"{path.name} was sent, but had no score after {timeout:g} s (status: {state}). "
                f"Do not send it again: its score will be at {page}"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, 30.0)


def log_submission(log: Path, row: dict[str, Any]) -> None:
    """Append one line to the ledger, after the header if the file is new.

    Raises FoldwiseError if the file has another header.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    header = ",".join(LEDGER)
    if text and text.splitlines()[0] != header:
        raise FoldwiseError(f"{log}: expected the header {header}, found {text.splitlines()[0]}")
    with log.open("a", encoding="utf-8", newline="") as file:
        if text and not text.endswith("\n"):  # a line that was cut short stays a line of its own
            file.write("\n")
        writer = csv.DictWriter(file, LEDGER, lineterminator="\n")
        if not text:
            writer.writeheader()
        writer.writerow(row)


def _submissions(slug: str, timeout: float) -> list[dict[str, Any]]:
    """List the newest submissions: ref fileName date description status publicScore privateScore."""
    options = ("--format=json", "--page-size=50", "--quiet")
    answer = run_cli(["competitions", "submissions", slug, *options], slug, timeout)
    start = re.search(r"^\[", answer, re.MULTILINE)  # warnings may come before the list
    if start is None and "No submissions found" in answer:
        return []
    if start is None:
        raise FoldwiseError(f"expected a list of submissions from kaggle, found:{last_lines(answer)}")
    submissions: list[dict[str, Any]] = json.JSONDecoder().raw_decode(answer, start.start())[0]
    return submissions


def _reason(slug: str, ref: int) -> str:
    try:
        answer = run([sys.executable, "-P", "-c", REASON, slug, str(ref)], slug, 60.0)
        return " ".join(json.loads(answer.splitlines()[-1])) or "it gave no reason"
    except (FoldwiseError, ValueError, LookupError) as error:
        return f"its reason could not be read ({error})"


def _is_sent(listed: dict[str, Any], name: str, message: str) -> bool:
    """Return whether a new entry of the list is ours; the host may tidy white space or cut a long message."""
    seen, sent = (" ".join(text.split()) for text in (listed["description"] or "", message))
    return listed["fileName"] == name and (seen == sent or (len(seen) > 100 and sent.startswith(seen)))


def _score(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _utc(date: str) -> str:
    """Add the time zone to the client's time stamp, which is in UTC but has none."""
    return datetime.fromisoformat(date).replace(tzinfo=UTC).isoformat(timespec="seconds")
