"""A leaderboard's CSV, and the place that a score would have in it."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.csv_files import read_csv
from foldwise.errors import FoldwiseError

LARGEST = 10**8  # bytes of a CSV in a zip: a million lines
TEAMS = ("teamid", "team_id", "teamname", "team_name", "team")  # columns that tell teams apart, in small letters


def read_leaderboard(path: Path, lower_is_better: bool) -> tuple[np.ndarray, int]:
    """Return the best score of each team, best first (n,), and the decimals that the file writes.

    Read are the CSV that Kaggle's leaderboard page and client give (Rank, TeamId, TeamName, LastSubmissionDate, Score,
    ...), also inside its zip, the older one with several rows a team (TeamId, TeamName, SubmissionDate, Score), and
    MLE-bench's leaderboard.csv (scoreNullable, teamId, ..., score). Rows without a score are left out, and the host's
    benchmarks, whose rank is 0.

    Raises FoldwiseError, naming the columns, where none is `score`, and for scores that are no numbers.
    """
    if not path.is_file():
        raise FoldwiseError(f"leaderboard={path}: no such file")
    table = _table(path)
    names = {column.lower(): column for column in reversed(table.columns)}
    if "score" not in names:
        raise FoldwiseError(
            f"leaderboard={path}: expected a column named score (or Score), found {', '.join(table.columns)}; rename "
            "the one that holds the scores"
        )
    counts = table[names["score"]] != ""
    if "rank" in names:
        counts &= table[names["rank"]] != "0"
    table = table[counts]
    texts = table[names["score"]]
    scores = pd.to_numeric(texts, errors="coerce")
    wrong = ~np.isfinite(scores)
    if wrong.any():
        raise FoldwiseError(
            f"leaderboard={path}: {int(wrong.sum())} of {len(table)} scores are no numbers, the first is "
            f"{texts[wrong].iloc[0]!r}"
        )
    if not len(table):
        raise FoldwiseError(f"leaderboard={path} holds no scores")
    team = next((names[name] for name in TEAMS if name in names), None)
    if team is not None:
        scores = scores.groupby(table[team]).min() if lower_is_better else scores.groupby(table[team]).max()
    decimals = max(len(text.partition(".")[2]) if "e" not in text.lower() else 17 for text in texts)
    ordered = np.sort(scores.to_numpy(np.float64))
    return ordered if lower_is_better else ordered[::-1], decimals


def medal_places(n_teams: int) -> dict[str, int]:
    """Return the last place of each medal among so many teams; with fewer than 10 some have the first place alone.

    Kaggle's rule (https://www.kaggle.com/progression): up to 99 teams the best 10, 20 and 40 %; up to 249 the best 10
    teams, 20 and 40 %; up to 999 the best 10 teams and one more for every 500, 50 and 100 teams; from 1,000 on 10 and
    one more for every 500, 5 and 10 %. Rounded down to at least one place, as in MLE-bench's grade_helpers.py.

    >>> medal_places(3343)
    {'gold': 16, 'silver': 167, 'bronze': 334}
    """
    n = n_teams
    if n < 100:
        places = n // 10, n // 5, 2 * n // 5
    elif n < 250:
        places = 10, n // 5, 2 * n // 5
    elif n < 1000:
        places = 10 + n // 500, 50, 100
    else:
        places = 10 + n // 500, n // 20, n // 10
    return dict(zip(("gold", "silver", "bronze"), (max(1, place) for place in places), strict=True))


def place(
    score: float, interval: list[float] | None, scores: np.ndarray, decimals: int, lower_is_better: bool
) -> dict[str, Any]:
    """Return where a score would be among the scores (n,) of the teams, best first.

    rank: one more than the teams that are strictly better, the score rounded as the leaderboard is; equal scores share
    the better rank, as a score equal to a medal's line has the medal. rank_interval: the ranks of the ends of the
    score's interval, the better one first. share: rank / n. lines: by medal, the score of its last place, and the
    median.
    """

    def rank(value: float) -> int:
        rounded = round(value, decimals)
        better = scores < rounded if lower_is_better else scores > rounded
        return int(better.sum()) + 1

    places = medal_places(len(scores))
    lines = {name: float(scores[last - 1]) for name, last in places.items()}
    at = rank(score)
    return {
        "n_teams": len(scores),
        "rank": at,
        "rank_interval": None if interval is None else sorted(rank(one) for one in interval),
        "share": at / len(scores),
        "medal": next((name for name, last in places.items() if at <= last), None),
        "places": places,
        "lines": lines | {"median": float(np.median(scores))},
    }


def _table(path: Path) -> pd.DataFrame:
    """Read the CSV, out of its zip where it is in one."""
    if not zipfile.is_zipfile(path):
        return read_csv(path)[0]
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise FoldwiseError(f"leaderboard={path}: expected one CSV in it, found {', '.join(archive.namelist())}")
        copy = Path(folder) / "leaderboard.csv"
        if archive.getinfo(names[0]).file_size > LARGEST:
            raise FoldwiseError(
                f"leaderboard={path}: refused, its CSV takes more than {LARGEST:,} bytes, which no leaderboard has; "
                "unpack it by hand if you trust it"
            )
        try:
            copy.write_bytes(archive.read(names[0]))
        except Exception as error:  # damaged bytes make zipfile raise almost anything
            raise FoldwiseError(f"leaderboard={path}: cannot be unpacked, download it again: {error}") from None
        return read_csv(copy)[0]
