"""Stage `submissions`: the scores of all submissions, nested against public and private."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.kaggle import ledger
from foldwise.kaggle import submission_calls as calls
from foldwise.kaggle import submissions as host
from foldwise.kaggle.cli import TryLater
from foldwise.kaggle.ledger import Row
from foldwise.runs import submission
from foldwise.scoring import rank_correlation
from foldwise.scoring.metrics import as_text
from foldwise.settings import Settings
from foldwise.stages.download import slug

log = logging.getLogger(__name__)

SCORES = ("nested_score", "public_score", "private_score")


def submissions(settings: Settings) -> dict[str, Any]:
    """Refresh `submissions/log.csv` from Kaggle; return the submissions, and how far the nested score can be trusted.

    submissions: the lines of the log, the newest first, with numbers, nested_score_interval where the JSON of the file
    is there, and `elsewhere`: whether it was sent by hand or by a team mate. refreshed: whether Kaggle was reached.
    trust: by public_score and private_score, of the submissions that have that and a nested one: n, spearman with its
    interval, mean_difference (that score minus the nested one), n_inside (those that lie in the interval of their
    nested score, of n_with_interval), and the meaning in words.

    Raises FoldwiseError where Kaggle refuses; where it cannot be reached, the log is shown as it is.
    """
    book, name = settings.submissions_dir / "log.csv", slug(settings)
    elsewhere: list[dict[str, Any]] = []
    refreshed = True
    try:
        rows, elsewhere = host.refresh(name, book)
    except TryLater as error:
        log.warning("%s\nSo the log is shown as it is in %s", error, book)
        rows, refreshed = ledger.read_of(book, name), False
    rows = [row for row in rows if row["competition"] or row["file"].startswith(settings.competition.name)]
    entries = [_entry(row, settings.submissions_dir) for row in rows]
    entries += [_entry(_as_row(one, name), settings.submissions_dir) | {"elsewhere": True} for one in elsewhere]
    entries.sort(key=lambda entry: (str(entry["submitted_at"]), int(entry["ref"] or 0)), reverse=True)
    trust = {which: _trust(entries, which) for which in SCORES[1:]}
    return {"competition": name, "refreshed": refreshed, "submissions": entries, "trust": trust}


def show(result: dict[str, Any], width: int) -> str:
    """Return a table of the submissions, the newest first, and what their scores say of the nested one."""
    from rich.console import Console
    from rich.table import Table

    if not result["submissions"]:
        return f"no submissions of {result['competition']} yet; `foldwise submit` sends one"
    columns = {"nested": 8, "public": 8, "private": 8, "status": 10, "95 % interval": 15, "sent (UTC)": 18}
    needed = 26
    kept = [name for name, size in columns.items() if (needed := needed + size) <= max(width, 60)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("submission", overflow="fold")
    for name in kept:
        table.add_column(name, justify="right", no_wrap=True)
    for entry in result["submissions"]:
        cells = {name.removesuffix("_score"): "-" if entry[name] is None else as_text(entry[name]) for name in SCORES}
        bounds = entry["nested_score_interval"]
        cells["95 % interval"] = "-" if bounds is None else "-".join(as_text(one, decimals=3) for one in bounds)
        cells["status"] = str(entry["status"] or "-").lower()
        cells["sent (UTC)"] = str(entry["submitted_at"] or "-")[:16].replace("T", " ")
        table.add_row(_title(entry), *(cells[name] for name in kept))
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(table)
    lines = [captured.get().rstrip(), ""]
    lines += [f"{_title(one)}: {one['error']}" for one in result["submissions"] if one["error"]]
    if any(one["elsewhere"] for one in result["submissions"]):
        lines.append("(*) not sent by this folder's foldwise: by hand, by a team mate, or from another machine")
    for name, trust in result["trust"].items():
        lines += _trust_lines(name.removesuffix("_score"), trust)
    return "\n".join(lines)


def _trust_lines(name: str, trust: dict[str, Any]) -> list[str]:
    """Return the correlation of the nested with another score, in lines."""
    if not trust["n"]:
        return []
    lines = [f"nested and {name}: {trust['meaning']}"]
    if trust["spearman"] is not None:
        bounds = trust["spearman_interval"]
        interval = "" if bounds is None else f" (95 % interval {bounds[0]:.2f} to {bounds[1]:.2f})"
        lines.append(f"  rank correlation {trust['spearman']:.2f}{interval} over {trust['n']} submissions")
    lines.append(f"  {name} minus nested: {as_text(trust['mean_difference'], '+')} on average")
    if trust["n_with_interval"]:
        lines.append(f"  {trust['n_inside']} of {trust['n_with_interval']} lie in the interval of their nested score")
    return lines


def _title(entry: dict[str, Any]) -> str:
    title = f"{entry['kernel']} v{entry['version']}" if entry["kernel"] else str(entry["file"])
    return f"{title} (*)" if entry["elsewhere"] else title


def _trust(entries: list[dict[str, Any]], which: str) -> dict[str, Any]:
    """Compare the nested with the public or the private scores of the submissions that have both."""
    both = [one for one in entries if one["nested_score"] is not None and one[which] is not None]
    nested, other = (np.array([one[name] for one in both], np.float64) for name in ("nested_score", which))
    rho = rank_correlation.spearman(nested, other)
    bounds = None if rho is None else rank_correlation.interval(rho, len(both))
    known = [(one["nested_score_interval"], one[which]) for one in both if one["nested_score_interval"] is not None]
    return {
        "n": len(both),
        "spearman": rho,
        "spearman_interval": bounds,
        "mean_difference": float((other - nested).mean()) if both else None,
        "n_with_interval": len(known),
        "n_inside": sum(low <= score <= high for (low, high), score in known),
        "meaning": rank_correlation.meaning(which.removesuffix("_score"), rho, bounds, len(both)),
    }


def _entry(row: Row, folder: Path) -> dict[str, Any]:
    """Return a line of the log with numbers, and with what the JSON of its file knows."""
    entry: dict[str, Any] = {name: text or None for name, text in row.items()}
    entry |= {name: calls.score(row[name]) for name in SCORES}
    about: dict[str, Any] = {}
    if row["file"] and not row["kernel"]:
        with contextlib.suppress(OSError, ValueError):  # a name from Kaggle need be none of a file here
            about = submission.read_about((folder / row["file"]).with_suffix(".json"))
    if entry["nested_score"] is None:
        entry["nested_score"] = about.get("nested_score")
    same = entry["nested_score"] == about.get("nested_score")
    return entry | {
        "nested_score_interval": about.get("nested_score_interval") if same else None,
        "elsewhere": False,
    }


def _as_row(one: dict[str, Any], name: str) -> Row:
    """Return what Kaggle lists as a line of the log would have it."""
    sent = {"file": one["fileName"], "competition": name, "message": one["description"]}
    return ledger.as_row(sent | calls.columns(one))
