"""Leaderboards as Kaggle and MLE-bench write them, and the place of a score among the teams."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from foldwise.errors import FoldwiseError
from foldwise.kaggle.leaderboard import medal_places, place, read_leaderboard

EXPORT = (
    "\ufeffRank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames\r\n"
    '0,900,benchmark,2018-01-01 00:00:00,0.01,1,host\r\n1,11,"a, b",2018-01-23 09:00:00,0.082,9,x\r\n'
    "2,12,c,2018-01-22 09:00:00,0.11370,3,y\r\n3,13,d,2018-01-22 09:00:00,,0,z\r\n"
)
HISTORY = "TeamId,TeamName,SubmissionDate,Score\n1,a,2017-11-01,0.5\n2,b,2017-11-02,0.3\n1,a,2017-12-01,0.2\n"
MLE_BENCH = (
    "scoreNullable,teamId,hasTeamName,submissionDate,score,hasScore\n"
    "0.0822,1,True,2018-01-23 00:00:00,0.0822,True\n0.0836,2,True,2018-01-23 00:00:00,0.0836,True\n"
)


@pytest.mark.parametrize(
    ("text", "lower", "scores", "decimals"),
    [
        (EXPORT, True, [0.082, 0.1137], 5),
        (HISTORY, True, [0.2, 0.3], 1),
        (HISTORY, False, [0.5, 0.3], 1),
        (MLE_BENCH, True, [0.0822, 0.0836], 4),
        ("score\n3\n1\n2\n", False, [3, 2, 1], 0),
    ],
)
def test_leaderboards(text: str, lower: bool, scores: list[float], decimals: int, tmp_path: Path) -> None:
    (tmp_path / "board.csv").write_text(text, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "board.zip", "w") as archive:
        archive.writestr("x-publicleaderboard.csv", text.encode())
    for name in ("board.csv", "board.zip"):
        found, digits = read_leaderboard(tmp_path / name, lower)
        assert (found.tolist(), digits) == (scores, decimals)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Team,PublicScore,PrivateScore\na,1,2\n", "column named score .* found Team, PublicScore, PrivateScore"),
        ("team,score\na,1\nb,first\nc,inf\n", "2 of 3 scores are no numbers, the first is 'first'"),
        ("team,score\na,\n", "holds no scores"),
    ],
)
def test_what_is_no_leaderboard(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "board.csv").write_text(text)
    with pytest.raises(FoldwiseError, match=message):
        read_leaderboard(tmp_path / "board.csv", True)
    with pytest.raises(FoldwiseError, match="no such file"):
        read_leaderboard(tmp_path / "none.csv", True)


@pytest.mark.parametrize(
    ("n_teams", "places"),
    [
        (1, (1, 1, 1)),
        (9, (1, 1, 3)),
        (99, (9, 19, 39)),
        (100, (10, 20, 40)),
        (249, (10, 49, 99)),
        (250, (10, 50, 100)),
        (500, (11, 50, 100)),
        (999, (11, 50, 100)),
        (1000, (12, 50, 100)),
        (3343, (16, 167, 334)),
        (5000, (20, 250, 500)),
    ],
)
def test_medals_by_the_number_of_teams(n_teams: int, places: tuple[int, int, int]) -> None:
    assert tuple(medal_places(n_teams).values()) == places


def test_place() -> None:
    scores = np.round(np.arange(1, 21) / 100, 2)  # .01 to .20; gold up to place 2, silver 4, bronze 8
    placed = place(0.0312, [0.0249, 0.0849], scores, 2, lower_is_better=True)
    assert placed["lines"].pop("median") == pytest.approx(0.105)
    assert placed == {
        "n_teams": 20,
        "rank": 3,
        "rank_interval": [2, 8],
        "share": 0.15,
        "medal": "silver",
        "places": {"gold": 2, "silver": 4, "bronze": 8},
        "lines": {"gold": 0.02, "silver": 0.04, "bronze": 0.08},
    }
    assert place(0.085, None, scores, 5, lower_is_better=True)["medal"] is None
    worst = place(0.3, [0.2, 0.4], scores, 2, lower_is_better=True)
    assert (worst["rank"], worst["rank_interval"]) == (21, [20, 21])


def test_place_where_more_is_better_and_scores_tie() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.8, 0.7])
    placed = place(0.8, [0.75, 0.95], scores, 1, lower_is_better=False)
    assert (placed["rank"], placed["rank_interval"]) == (2, [1, 2])  # .75 is .8 here
    assert placed["medal"] == "bronze" and placed["lines"]["bronze"] == 0.8
