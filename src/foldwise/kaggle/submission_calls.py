"""What the kaggle command line is called for about submissions: list, limits, send, and the reason of a failure."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.kaggle.cli import TryLater, last_lines, printed_list, run, run_cli
from foldwise.storage import sha256

PAGE = 50  # submissions in an answer
COUNTS = ("numToday", "numTotal", "numAllowedNow", "limitedByTotal")
SHORTEST_PAGE = 20  # the host may send fewer than it was sent for; fewer than this are all that there are
# The command line cannot turn the page of a list; the package's own interface can. A host that ignores the number
# of the page sends the same submissions again, which ends the loop.
OLDER = """
import json, sys
from kaggle import api
known, more = set(), []
for page in range(1, 41):
    found = [one for one in api.competition_submissions(sys.argv[1], page_number=page, page_size=50) or []]
    new = [one for one in found if one.ref not in known]
    if not new:
        break
    known |= {one.ref for one in new}
    more += [{"ref": one.ref, "fileName": one.file_name, "date": one.date.isoformat(), "description": one.description,
              "status": one.status.name, "publicScore": one.public_score, "privateScore": one.private_score}
             for one in new]
print(json.dumps(more))
"""


@dataclass(frozen=True)
class Entry:
    """What is submitted: a file, or for a code competition a version of a notebook.

    name: of the file on Kaggle; kernel: OWNER/NAME of the notebook.
    """

    name: str
    path: Path | None = None
    kernel: str | None = None
    version: int | None = None

    @property
    def title(self) -> str:
        """Return what messages call it."""
        return self.name if self.kernel is None else f"version {self.version} of {self.kernel}"

    @property
    def identity(self) -> dict[str, Any]:
        """Return the columns of the log that tell it from any other."""
        digest = None if self.path is None else sha256(self.path)
        return {"file": self.name, "sha256": digest, "kernel": self.kernel, "version": self.version}


def listed(slug: str, timeout: float = 60.0) -> list[dict[str, Any]]:
    """List the newest submissions: ref fileName date description status publicScore privateScore."""
    options = ("--format=json", f"--page-size={PAGE}", "--quiet")
    answer = run_cli(["competitions", "submissions", slug, *options], slug, timeout)
    found = printed_list(answer)
    if found is None and "No submissions found" not in answer:
        raise FoldwiseError(f"expected a list of submissions from kaggle, found:{last_lines(answer)}")
    return found or []


def all_listed(slug: str, timeout: float = 120.0) -> list[dict[str, Any]]:
    """List all submissions as `listed` does the newest, those of all pages."""
    newest = listed(slug, timeout)
    if len(newest) < SHORTEST_PAGE:
        return newest
    answer = run([sys.executable, "-P", "-c", OLDER, slug], slug, timeout)
    known = {one["ref"] for one in newest}
    return newest + [one for one in json.loads(answer.splitlines()[-1]) if one["ref"] not in known]


def limits(slug: str) -> dict[str, int] | None:
    """Return numToday, numTotal and numAllowedNow (of this day, UTC) by Kaggle's count; None where it does not tell.

    Kaggle sends zeros for a user who has not entered, or not submitted yet.
    """
    try:
        answer = run_cli(["competitions", "submission-limits", slug, "--json", "--quiet"], slug, 60.0)
        found: dict[str, Any] = json.loads(answer[answer.index("{") :])
    except (FoldwiseError, ValueError):
        return None
    counts = {name: int(found.get(name, 0)) for name in COUNTS}  # the client leaves zeros out
    return counts if any(counts.values()) else None


def send(entry: Entry, slug: str, message: str, timeout: float) -> int | None:
    """Send a submission; return its number at Kaggle, or None where the client did not print it.

    Raises TryLater where it may have arrived; FoldwiseError where it did not.
    """
    what = [f"--file={entry.path or entry.name}", f"--message={message}", "--quiet"]
    if entry.kernel is not None:
        what += [f"--kernel={entry.kernel}", f"--version={entry.version}"]
    try:
        answer = run_cli(["competitions", "submit", slug, *what], slug, timeout)
    except TryLater:
        raise
    except FoldwiseError as error:
        if "Could not submit to competition" in str(error):
            raise FoldwiseError(f"the upload of {entry.path} failed, nothing was submitted; send it again") from None
        if entry.kernel is not None and "Could not find competition or notebook" in str(error):
            raise FoldwiseError(
                f"Kaggle finds no {entry.title}, or no competition {slug} that still takes it (404): look at "
                f"https://www.kaggle.com/code/{entry.kernel} for the version, which must have run to its end"
            ) from None
        raise
    ref = re.search(r"Submission ref: (\d+)", answer)
    return int(ref[1]) if ref else None


def reason(slug: str, ref: int | str) -> str:
    """Return Kaggle's own words on why the scoring of a submission failed."""
    try:
        answer = run_cli(["competitions", "submission", str(ref)], slug, 60.0)
    except FoldwiseError as error:
        return f"its reason could not be read ({error})"
    # the client prints a block: `Error:` and further lines, indented, up to `Public Score:`
    found = re.search(r"^Error: +(.*?)^Public Score:", answer, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else "it gave no reason"


def is_ours(one: dict[str, Any], name: str, message: str) -> bool:
    """Return whether an entry of the list is the one sent; the host may tidy white space or cut a long message."""
    seen, sent = (" ".join(text.split()) for text in (one["description"] or "", message))
    return one["fileName"] == name and (seen == sent or (len(seen) > 100 and sent.startswith(seen)))


def columns(one: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the log that Kaggle decides: what it lists about a submission."""
    return {
        "ref": one["ref"],
        "status": status(one),
        "public_score": score(one["publicScore"]),
        "private_score": score(one["privateScore"]),
        "submitted_at": utc(one["date"]),
    }


def status(one: dict[str, Any]) -> str:
    """Return PENDING, COMPLETE or ERROR; the client may print it with the name of its type."""
    return str(one["status"]).rpartition(".")[2]


def score(text: str | None) -> float | None:
    """Return a score as Kaggle lists it; None where it shows none."""
    try:
        return float(text or "")
    except ValueError:
        return None


def utc(date: str) -> str:
    """Add the time zone to the client's time stamp, which is in UTC but has none."""
    return datetime.fromisoformat(date).replace(tzinfo=UTC).isoformat(timespec="seconds")
