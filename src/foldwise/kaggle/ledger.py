"""The log of submissions, `submissions/log.csv`: one line a submission, written when it is sent."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.storage import one_at_a_time, written_aside

FIRST = ("file", "nested_score", "public_score", "private_score", "status", "submitted_at", "message")
COLUMNS = (*FIRST, "competition", "ref", "sha256", "kernel", "version", "error")  # the first ones alone: older logs
SENDING, PENDING, COMPLETE, FAILED = "SENDING", "PENDING", "COMPLETE", "ERROR"  # the last three are Kaggle's
OPEN = (SENDING, PENDING)  # without a verdict yet

Row = dict[str, str]  # a text for each column, empty where there is nothing


def read(log: Path) -> list[Row]:
    """Return the lines of the log, the oldest first; none where there is no log.

    Raises FoldwiseError if the file has another header.
    """
    if not log.exists():
        return []
    with log.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if not lines:
        return []
    header = tuple(lines[0])
    if header[: len(FIRST)] != FIRST:
        raise FoldwiseError(
            f"{log}: expected a header that begins with {','.join(FIRST)}, found {','.join(header)}; move the file "
            "away, and a new one is begun"
        )
    return [dict.fromkeys(COLUMNS, "") | dict(zip(header, line, strict=False)) for line in lines[1:] if line]


def read_of(log: Path, competition: str) -> list[Row]:
    """Return the lines of a competition, and those of older logs, which do not name theirs."""
    return [row for row in read(log) if row["competition"] in ("", competition)]


def record(log: Path, values: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Row:
    """Write one line: in the place of the line `old`, or at the end; return it as it is read back.

    The file is replaced as a whole, so that it is never seen half-written, and columns that an older log lacks are
    added. Raises FoldwiseError if the file has another header.
    """
    row = as_row(values)
    with one_at_a_time(log.parent):
        rows = read(log)
        before = None if old is None else as_row(old)
        if before in rows:
            rows[rows.index(before)] = row
        else:
            rows.append(row)
        _write(log, rows)
    return row


def remove(log: Path, old: Mapping[str, Any]) -> None:
    """Remove the line of a submission that never reached Kaggle."""
    with one_at_a_time(log.parent):
        _write(log, [row for row in read(log) if row != as_row(old)])


def as_row(values: Mapping[str, Any]) -> Row:
    """Return values as the texts of a line of the log."""
    return {name: "" if values.get(name) is None else str(values[name]) for name in COLUMNS}


def _write(log: Path, rows: list[Row]) -> None:
    with written_aside(log) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
