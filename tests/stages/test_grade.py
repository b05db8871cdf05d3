"""The grade: the log loss of the rows that the host scores, worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.raw_files import digit_files, folder_files, statoil_files, statoil_record, write_files, write_folder

from foldwise.errors import FoldwiseError
from foldwise.stages.grade import grade, show
from foldwise.stages.prepare import prepare

# -ln .8, -ln .6, -ln .5
LOSSES = (0.22314355131420976, 0.5108256237659907, 0.6931471805599453)
SOLUTION = "id,is_iceberg,Usage\n001,1,Public\n002,0,Private\n003,1,Ignored\n004,1,Private\n"
PREDICTED = "id,is_iceberg\r\n004,0.5\r\n003,0.01\r\n002,0.4\r\n001,0.8\r\n"  # in another order


@pytest.fixture
def graded(settings) -> Callable:
    """Grade the submission `s.csv` with the texts of the raw files and of what lies in submissions/."""

    def grade_files(competition: str, raw: dict[str, str], submissions: dict[str, str], *overrides: str) -> dict:
        one = settings(f"competition={competition}", "source=kaggle", "submission=s.csv", *overrides)
        if competition == "faces":
            write_folder(one.raw_dir, {name: text for name, text in raw.items() if name != "solution.csv"})
        write_files(one.raw_dir, raw)
        write_files(one.submissions_dir, submissions)
        prepare(one)
        return grade(one)

    return grade_files


def statoil(solution: str = SOLUTION, angle_step: float = 1.0) -> dict[str, str]:
    """Four test rows, each a scene of its own unless `angle_step` is 0."""
    test = [statoil_record(id_, angle=38 + angle_step * i) for i, id_ in enumerate(("001", "002", "003", "004"))]
    return statoil_files(test=test) | {"solution.csv": solution}


def test_only_scored_rows_count(graded) -> None:
    about = {"competition": "statoil", "nested_score": 0.5, "nested_score_interval": [0.4, 0.6]}
    result = graded("statoil", statoil(), {"s.csv": PREDICTED, "s.json": json.dumps(about)})
    assert result["n_scored"] == 3
    assert result["log_loss"] == pytest.approx(0.47570545188004854, abs=1e-15)  # the mean of LOSSES
    assert result["public_score"] == pytest.approx(LOSSES[0], abs=1e-15)
    assert result["private_score"] == pytest.approx(0.601986402162968, abs=1e-15)
    assert result["accuracy"] == 1.0  # .5 of a one is right
    low, high = result["log_loss_interval"]
    assert 0.2231 < low < result["log_loss"] < high < 0.6932
    assert (result["nested_score"], result["nested_score_interval"]) == (0.5, [0.4, 0.6])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    lines = show(result, 100).splitlines()
    assert lines[0].endswith("s.csv: 3 rows are scored")
    assert lines[1].startswith("  true log loss  0.4757  (95 % interval 0.")
    assert lines[2:] == [
        "  nested score   0.5000  (95 % interval 0.4000 to 0.6000)",
        "  public score   0.2231",
        "  private score  0.6020",
        "  accuracy       1.0000",
    ]


def test_the_objective_is_graded_at_the_thresholds_of_the_submission(graded) -> None:
    about = {"competition": "statoil", "metric": "accuracy", "nested_score": 0.9, "nested_score_interval": [0.8, 1.0]}
    submissions = {"s.csv": PREDICTED, "s.json": json.dumps(about | {"thresholds": [0.3]})}
    result = graded("statoil", statoil(), submissions, "competition.metric=accuracy")
    # of .8 (1, public), .4 (0, private), .5 (1, private) at .3 the second is wrong; at .5 none is
    assert (result["metric"], result["score"], result["public_score"]) == ("accuracy", pytest.approx(2 / 3), 1.0)
    assert result["private_score"] == 0.5
    assert result["log_loss"] == pytest.approx(0.47570545188004854, abs=1e-15)
    assert show(result, 100).splitlines()[1].startswith("  true accuracy  0.6667  (95 % interval 0.")
    submissions["s.json"] = json.dumps(about)
    assert graded("statoil", statoil(), submissions, "competition.metric=accuracy")["score"] == 1.0
    result = graded("statoil", statoil(), submissions, "competition.metric=auc")
    assert (result["score"], result["public_score"]) == (1.0, None)  # one row has no pair


def test_the_interval_resamples_scenes(graded) -> None:
    result = graded("statoil", statoil(angle_step=0.0), {"s.csv": PREDICTED})
    assert result["log_loss_interval"] == [result["log_loss"]] * 2  # one scene is only ever drawn whole


def test_without_usage_every_row_counts(graded) -> None:
    solution = "".join(line.rpartition(",")[0] + "\n" for line in SOLUTION.splitlines())
    result = graded("statoil", statoil(solution), {"s.csv": PREDICTED})
    assert result["n_scored"] == 4
    assert result["log_loss"] == pytest.approx((sum(LOSSES) + 4.605170185988091) / 4, abs=1e-15)  # -ln .01
    assert (result["public_score"], result["nested_score"]) == (None, None)
    assert result["private_score"] == result["log_loss"]


def test_a_certain_mistake_is_clipped(graded) -> None:
    result = graded("statoil", statoil(), {"s.csv": PREDICTED.replace("001,0.8", "001,0")})
    assert result["public_score"] == pytest.approx(34.538776394910684)  # -ln 1e-15


def test_digits_are_graded_by_the_probabilities_beside_the_labels(graded) -> None:
    rows = {"1": (0.8, 7), "2": (0.6, 0), "3": (0.5, 3)}  # the probability of the true digit, the digit
    lines = ["id,0,1,2,3,4,5,6,7,8,9"]
    for id_, (p, digit) in rows.items():
        values = [p if d == digit else (1 - p) / 9 for d in range(10)]
        lines.append(",".join(map(str, [id_, *values])))
    solution = "ImageId,Label,Usage\n" + "".join(f"{id_},{digit},Public\n" for id_, (_, digit) in rows.items())
    submissions = {"s.csv": "ImageId,Label\n1,7\n2,0\n3,3\n", "s_probabilities.csv": "\n".join(lines) + "\n"}
    result = graded("digit_recognizer", digit_files() | {"solution.csv": solution}, submissions)
    assert result["log_loss"] == result["public_score"] == pytest.approx(0.47570545188004854, abs=1e-12)
    assert (result["n_scored"], result["private_score"], result["accuracy"]) == (3, None, 1.0)


def test_a_folder_is_graded_by_class_names(graded) -> None:
    raw = folder_files(["01", "1", "NA", "1"], n_test=2) | {"solution.csv": "id,label\nu0,NA\nu1,1\n"}
    submissions = {
        "s.csv": "id,label\nu0,NA\nu1,01\n",
        "s_probabilities.csv": "id,01,1,NA\nu1,0.4,0.5,0.1\nu0,0.1,0.1,0.8\n",
    }
    options = ("competition.options.task=multiclass", "competition.options.label_columns=[label]")
    result = graded("faces", raw, submissions, *options)
    assert result["log_loss"] == pytest.approx((LOSSES[0] + LOSSES[2]) / 2)
    assert result["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("solution", "predicted", "expected"),
    [
        (SOLUTION, PREDICTED.replace("004,", "005,"), "s.csv: its ids are not those of solution.csv"),
        (SOLUTION, PREDICTED.replace("004,", "4,"), "s.csv: its ids are not those of solution.csv"),
        (SOLUTION, PREDICTED + "001,0.8\r\n", "s.csv: its ids are not those of solution.csv"),
        (SOLUTION, PREDICTED.replace("0.8", ""), r"the prediction for '001' is \[nan\], expected probabilities"),
        (SOLUTION, PREDICTED.replace("0.8", "8"), r"the prediction for '001' is \[8.0\], expected probabilities"),
        (
            SOLUTION,
            PREDICTED.replace("is_iceberg", "ship"),
            "expected the probabilities of is_iceberg, received .* ship",
        ),
        (SOLUTION, "", "s.csv: the file is empty"),
        ("", PREDICTED, "solution.csv: the file is empty"),
        (SOLUTION.replace("is_iceberg", "label"), PREDICTED, "solution.csv: the column .*is_iceberg.* is missing"),
    ],
)
def test_what_cannot_be_graded(graded, solution: str, predicted: str, expected: str) -> None:
    with pytest.raises(FoldwiseError, match=expected):
        graded("statoil", statoil(solution), {"s.csv": predicted})


def test_labels_alone_cannot_be_graded(graded) -> None:
    raw = digit_files() | {"solution.csv": "ImageId,Label\n1,7\n2,0\n3,3\n"}
    with pytest.raises(FoldwiseError, match=r"expected the probabilities of 0, 1, .* received the columns Label"):
        graded("digit_recognizer", raw, {"s.csv": "ImageId,Label\n1,7\n2,0\n3,3\n"})


def test_without_the_truth_there_is_no_grade(graded) -> None:
    raw = {name: text for name, text in statoil().items() if name != "solution.csv"}
    with pytest.raises(FoldwiseError, match=r"solution.csv is missing: only simulated, embedded or held-back labels"):
        graded("statoil", raw, {"s.csv": PREDICTED})


@pytest.mark.parametrize("competition", ["statoil", "digits_8x8", "faces"])
def test_generated_sources_can_be_graded(settings, competition: str) -> None:
    import numpy as np
    import pandas as pd

    from foldwise.runs import submission

    one = settings(f"competition={competition}", f"source.n_train={50}", f"source.n_test={20}")
    data = prepare(one)
    k = len(data.targets)
    table = pd.DataFrame(np.full((20, k), 1 / max(k, 2)), columns=data.targets)
    table.insert(0, "id", data.test.table["id"])
    path = submission.write(one, data, table, "constant", {"competition": competition, "ids_key": data.ids_key})
    assert isinstance(path, Path)
    result = grade(one)
    other = settings(f"competition={competition}", "source.n_train=50", "source.n_test=20", "source.seed=1")
    with pytest.raises(FoldwiseError, match=r"holds those of another simulation"):
        grade(other)
    prepare(other)
    with pytest.raises(FoldwiseError, match=r"no submission of .* from this data"):
        grade(other)
    expected = {"statoil": LOSSES[2], "faces": LOSSES[2], "digits_8x8": 2.302585092994046}  # ln 2, ln 2, ln 10
    assert result["log_loss"] == pytest.approx(expected[competition], abs=1e-12)
    assert result["n_scored"] == {"statoil": 8, "faces": 20, "digits_8x8": 20}[competition]
