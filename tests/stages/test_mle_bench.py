"""Statoil in the layout of MLE-bench, from its archives to the grade and the place in a leaderboard."""

import json
from pathlib import Path

import py7zr
import pytest
from helpers.raw_files import statoil_json, statoil_record

from foldwise.__main__ import main
from foldwise.errors import FoldwiseError
from foldwise.stages.grade import grade, show

# -ln .8, -ln .6, -ln .5
LOSS = (0.22314355131420976 + 0.5108256237659907 + 0.6931471805599453) / 3
BOARD = "scoreNullable,teamId,hasTeamName,submissionDate,score,hasScore\n" + "".join(
    f"{score},{team},True,2018-01-23,{score},True\n" for team, score in enumerate((0.1137, 0.2, 0.4, 0.5, 0.6))
)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """The prepared folder as the competition's prepare.py of MLE-bench leaves it: public archives, private answers."""
    public, private = tmp_path / "prepared" / "public", tmp_path / "prepared" / "private"
    public.mkdir(parents=True)
    private.mkdir()
    test = [statoil_record(id_, angle=38.0 + i) for i, id_ in enumerate(("b1", "b2", "b3"))]
    texts = {
        "train.json": statoil_json([statoil_record(f"a{i}", label=i % 2) for i in range(4)]),
        "test.json": statoil_json(test),
        "sample_submission.csv": "id,is_iceberg\nb1,0.5\nb2,0.5\nb3,0.5\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with py7zr.SevenZipFile(public / f"{name}.7z", "w") as archive:
            archive.write(tmp_path / name, arcname=name)
    (private / "test.csv").write_text("id,is_iceberg\nb3,1\nb1,1\nb2,0\n")
    return tmp_path / "prepared"


@pytest.mark.parametrize("whole", [True, False], ids=["public and private", "public alone"])
def test_mle_bench(bench: Path, settings, tmp_path: Path, whole: bool) -> None:
    words = ["competition=statoil_mle_bench", f"root={tmp_path}"]
    one = settings("competition=statoil_mle_bench", "submission=s.csv")
    one.raw_dir.parent.mkdir(parents=True)
    (bench if whole else bench / "public").rename(one.raw_dir)
    assert main(["download", *words]) == 0
    assert main(["prepare", *words]) == 0
    one.submissions_dir.mkdir()
    (one.submissions_dir / "s.csv").write_text("id,is_iceberg\nb1,0.8\nb2,0.4\nb3,0.5\n")
    about = {"nested_score": 0.3, "nested_score_interval": [0.15, 0.45], "metric": "log_loss"}
    (one.submissions_dir / "s.json").write_text(json.dumps(about))
    (tmp_path / "board.csv").write_text(BOARD)
    one.grade.leaderboard = str(tmp_path / "board.csv")
    if not whole:
        nested = grade(one)  # without the answers the nested score is ranked
        assert nested["leaderboard"]["rank"] == 3 and nested["leaderboard"]["rank_interval"] == [2, 4]
        assert show(nested, 80).splitlines()[1].startswith("nested log loss in")
        one.grade.leaderboard = None
        with pytest.raises(FoldwiseError, match=r"solution=FILE names another file of them"):
            grade(one)
        one.grade.leaderboard = str(tmp_path / "board.csv")
        one.grade.solution = str(bench / "private" / "test.csv")
    result = grade(one)
    assert result["log_loss"] == pytest.approx(LOSS, abs=1e-15)  # .47571
    assert (result["n_scored"], result["public_score"]) == (3, None)
    placed = result["leaderboard"]
    assert (placed["rank"], placed["n_teams"], placed["medal"]) == (4, 5, None)
    assert placed["places"] == {"gold": 1, "silver": 1, "bronze": 2}
    assert placed["lines"] == {"gold": 0.1137, "silver": 0.1137, "bronze": 0.2, "median": 0.4}
    low, high = placed["rank_interval"]
    assert low <= 4 <= high
    lines = show(result, 80).splitlines()
    assert lines[-7].startswith("true log loss in") and lines[-7].endswith("board.csv, 5 teams:")
    assert lines[-6].startswith("  rank           4  (95 % interval ") and lines[-6].endswith("), top 80.0 %")
    assert lines[-5:] == [
        "  medal          none",
        "  gold line      0.1137  (to place 1)",
        "  silver line    0.1137  (to place 1)",
        "  bronze line    0.2  (to place 2)",
        "  median         0.4",
    ]
