"""Send a submission once, wait for its score, and go on waiting where an earlier command was interrupted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.kaggle import ledger
from foldwise.kaggle import submission_calls as calls
from foldwise.kaggle.cli import TryLater, check_ready
from foldwise.kaggle.ledger import COMPLETE, FAILED, OPEN, PENDING, SENDING, Row
from foldwise.kaggle.submission_calls import Entry

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
MAY_ARRIVE = 300.0  # seconds after which a submission that is not listed did not arrive

Confirm = Callable[[int | None], None]  # receives the submissions left today, None: unknown; raises to stop


def submit(
    entry: Entry,
    slug: str,
    message: str,
    book: Path,
    *,
    nested: float | None = None,
    confirm: Confirm = lambda left: None,
    again: bool = False,
    dry_run: bool = False,
    timeout: float = 300.0,
) -> dict[str, Any]:
    """Send a submission, wait up to `timeout` seconds for its score, and return its line of the log `book`.

    The line is written before anything is sent, and again with each change. Where the log has the same file, by
    SHA-256, or the same version of a notebook, without a verdict, nothing is sent: its score is waited for.
    public_score and private_score are float, or None if Kaggle shows none. A dry run does all but send; there, a host
    that cannot be reached is a warning. With timeout=0 the score is not waited for.

    Raises FoldwiseError for a submission that was sent before, unless `again`; if today's submissions are used up; if
    sending fails; if Kaggle's scoring fails (with its reason); and if no score has come in time.
    """
    if entry.path is not None and (not entry.path.is_file() or entry.path.stat().st_size == 0):
        missing = "empty" if entry.path.is_file() else "missing"
        raise FoldwiseError(f"{entry.path} is {missing}: expected a submission")
    check_ready(slug)
    rows = ledger.read_of(book, slug)
    identity = entry.identity
    known = next((row for row in reversed(rows) if _is_same(row, identity)), None)
    on_host: list[dict[str, Any]] | None = None
    try:
        on_host = calls.listed(slug)
    except TryLater as error:
        if not dry_run:
            raise
        log.warning("%s\nSo it was not compared with the submissions on Kaggle", error)
    if known is not None and known["status"] in OPEN and not again:
        found = _find(known, on_host or [], {row["ref"] for row in rows})
        if found is not None or known["status"] == PENDING:
            log.info("%s was sent before, and has no score yet: waiting for it; nothing is sent", entry.title)
            return _numbers(known) if dry_run else _score_of(known, entry, slug, book, on_host=None, timeout=timeout)
        _check_lost(known, entry)
    elif not again:
        _check_new(entry, message, known, rows, on_host or [])
    allowance = None if on_host is None else calls.limits(slug)
    left = None if allowance is None else allowance["numAllowedNow"]
    if left == 0:
        when = "its submissions of all days are" if allowance and allowance["limitedByTotal"] else "today's are"
        raise FoldwiseError(f"{slug}: {when} used up, nothing was sent; the next day begins at 0:00 UTC")
    row: dict[str, Any] = {**identity, "competition": slug, "nested_score": nested, "message": message}
    if dry_run:
        return _numbers(ledger.as_row(row | {"status": "dry run"})) | {"left_today": left}
    confirm(left)
    lost = known if known is not None and known["status"] == SENDING and not again else None
    row |= {"status": SENDING, "submitted_at": datetime.now(UTC).isoformat(timespec="seconds")}
    sending = ledger.record(book, row, lost)
    try:
        ref = calls.send(entry, slug, message, max(60.0, timeout))
    except TryLater as error:
        raise FoldwiseError(
            f"{error}\nIt may have arrived. Run `foldwise submissions` in some minutes: the log then shows whether it "
            "did; the same command again sends it where it did not"
        ) from None
    except FoldwiseError:
        ledger.remove(book, sending)
        raise
    sent = ledger.record(book, row | {"status": PENDING, "ref": ref}, sending)
    return _score_of(sent, entry, slug, book, on_host, timeout) | {"left_today": None if left is None else left - 1}


def refresh(slug: str, book: Path) -> tuple[list[Row], list[dict[str, Any]]]:
    """Bring the log's lines of a competition up to date; return them, and the submissions that were made elsewhere.

    Raises TryLater where Kaggle is busy or cannot be reached.
    """
    check_ready(slug)
    on_host = calls.all_listed(slug)
    rows = ledger.read_of(book, slug)
    taken = {row["ref"] for row in rows if row["ref"]}
    fresh = []
    for row in rows:
        found = _find(row, on_host, taken)
        if found is None:
            fresh.append(row)
            continue
        taken.add(str(found["ref"]))
        fresh.append(_updated(row, found, slug, book))
    return fresh, [one for one in on_host if str(one["ref"]) not in taken]


def _score_of(
    row: Row, entry: Entry, slug: str, book: Path, on_host: list[dict[str, Any]] | None, timeout: float
) -> dict[str, Any]:
    """Poll until the submission of a line has its verdict; the line is updated.

    on_host: what was listed before it was sent, which it is not; None: it was sent by an earlier command.
    """
    page = f"https://www.kaggle.com/competitions/{slug}/submissions"
    taken = {str(one["ref"]) for one in on_host or []} | {one["ref"] for one in ledger.read(book)}
    deadline, pause, state = time.monotonic() + timeout, POLL_SECONDS, "not listed"
    while timeout > 0:
        try:
            found = _find(row, calls.listed(slug), taken)
            state = "not listed" if found is None else calls.status(found)
            if found is not None:
                row = _updated(row, found, slug, book)
            if row["status"] == COMPLETE:
                return _numbers(row)
            if row["status"] == FAILED:
                raise FoldwiseError(f"Kaggle rejected {entry.title}: {row['error']}\nSee {page}")
        except TryLater as error:
            pause = max(2 * pause, error.seconds)
        if time.monotonic() + pause > deadline:
            raise FoldwiseError(
                f"{entry.title} was sent, but had no score after {timeout:g} s (status: {state}). "
                "Do not send it again: `foldwise submissions`, or the same command, goes on waiting; its score will "
                f"be at {page}"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, 30.0)
    return _numbers(row)


def _updated(row: Row, found: dict[str, Any], slug: str, book: Path) -> Row:
    """Return a line of the log with what Kaggle lists about it, and write it where that is new."""
    values: dict[str, Any] = {**row, "competition": slug, **calls.columns(found)}
    if values["status"] == FAILED and not row["error"]:
        values["error"] = calls.reason(slug, found["ref"])
    new = ledger.as_row(values)
    return new if new == row else ledger.record(book, new, row)


def _is_same(row: Row, identity: dict[str, Any]) -> bool:
    """Return whether a line of the log is about the same bytes, or the same version of a notebook."""
    if identity["kernel"] is not None:
        return (row["kernel"], row["version"]) == (identity["kernel"], str(identity["version"]))
    if row["sha256"]:
        return bool(row["sha256"] == identity["sha256"])
    return row["file"] == identity["file"] and not row["kernel"]  # of an older log, which has names alone


def _find(row: Row, on_host: list[dict[str, Any]], taken: set[str]) -> dict[str, Any] | None:
    """Return what Kaggle lists about a line of the log: by its number, or by file and message where it has none."""
    if row["ref"]:
        return next((one for one in on_host if str(one["ref"]) == row["ref"]), None)
    free = (one for one in on_host if str(one["ref"]) not in taken)
    return next((one for one in free if calls.is_ours(one, row["file"], row["message"])), None)


def _check_lost(known: Row, entry: Entry) -> None:
    """Raise FoldwiseError while a submission that was interrupted when it was sent may still appear on Kaggle."""
    age = (datetime.now(UTC) - datetime.fromisoformat(known["submitted_at"])).total_seconds()
    if age < MAY_ARRIVE:
        raise FoldwiseError(
            f"{entry.title}: an earlier command was interrupted while it sent it, {age:.0f} s ago, and Kaggle does "
            f"not list it yet. Run the same command in {MAY_ARRIVE / 60:.0f} minutes, or add again=true to send it now"
        )


def _check_new(entry: Entry, message: str, known: Row | None, rows: list[Row], on_host: list[dict[str, Any]]) -> None:
    """Raise FoldwiseError for what the log knows as sent, or what Kaggle lists under the same name."""
    repair = "nothing was sent; add again=true to send it once more, or choose another one with submission=FILE"
    if known is not None:
        result = known["error"] or f"public score {known['public_score'] or 'not shown'}"
        same = "" if known["file"] == entry.name else f", as {known['file']}"
        when = known["submitted_at"]
        raise FoldwiseError(f"{entry.title} was sent on {when}{same} ({known['status']}, {result}): {repair}")
    logged = {row["ref"] for row in rows}  # of other bytes or notebooks, though perhaps of the same name
    for one in on_host:
        same_name = one["fileName"] == entry.name and str(one["ref"]) not in logged
        if calls.is_ours(one, entry.name, message) if entry.kernel else same_name:
            raise FoldwiseError(
                f"Kaggle lists a submission {one['fileName']} of {calls.utc(one['date'])} (message "
                f"{one['description']!r}, {calls.status(one)}, public score {one['publicScore'] or 'not shown'}): "
                f"{repair.replace('choose', 'rename the file if it is another, or choose')}"
            )


def _numbers(row: Row) -> dict[str, Any]:
    """Return a line of the log with numbers and None in place of texts."""
    values: dict[str, Any] = {name: text or None for name, text in row.items()}
    return values | {name: calls.score(row[name]) for name in ("nested_score", "public_score", "private_score")}
