"""The log loss by value of a column, by hand, and as the stages tell it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import statoil_files, statoil_record, write_files

from foldwise.data.folds import read_folds
from foldwise.errors import ConfigError
from foldwise.scoring import breakdown, metrics
from foldwise.stages import ensemble, import_predictions, score
from foldwise.stages.grade import grade, show
from foldwise.stages.prepare import prepare

# -ln .8, -ln .6, -ln .5
LOSSES = (0.22314355131420976, 0.5108256237659907, 0.6931471805599453)
LABELS = np.array([[1.0], [0], [0], [0]])
PREDICTED = np.array([[0.8], [0.4], [0.5], [0.5]])


def of(values, labels=LABELS, predicted=PREDICTED, task="binary"):
    losses = metrics.row_losses(labels, predicted, task)
    return breakdown.breakdown(pd.DataFrame({"zone": values}), "zone", labels, losses, task)


def test_each_value_has_its_loss_and_that_of_its_own_constant():
    first, second, whole = of([2, 2, 10, 10])
    assert [(part["value"], part["n_rows"]) for part in (first, second, whole)] == [(2, 2), (10, 2), ("all", 4)]
    assert first["log_loss"] == pytest.approx((LOSSES[0] + LOSSES[1]) / 2, abs=1e-15)
    assert first["constant"] == pytest.approx(LOSSES[2], abs=1e-15)  # one of two
    assert second["log_loss"] == pytest.approx(LOSSES[2], abs=1e-15)
    assert second["constant"] == pytest.approx(0, abs=1e-14)  # none of two
    assert whole["log_loss"] == pytest.approx(0.5300658840500228, abs=1e-15)
    assert whole["constant"] == pytest.approx(0.5623351446188083, abs=1e-15)  # -(ln .25 + 3 ln .75) / 4
    assert json.loads(json.dumps([first, second, whole], allow_nan=False)) == [first, second, whole]


def test_rows_without_a_value_are_a_part():
    assert [(p["value"], p["n_rows"]) for p in of(["b", None, "a", "b"])] == [
        ("a", 1),
        ("b", 2),
        ("missing", 1),
        ("all", 4),
    ]


def test_many_numbers_are_cut_into_tenths():
    n = 200
    parts = of(np.linspace(30, 45, n), np.tile(LABELS, (50, 1)), np.tile(PREDICTED, (50, 1)))
    assert [part["n_rows"] for part in parts] == [20] * 10 + [n]
    assert parts[9]["value"] == "(43.5, 45.0]"


def test_the_constant_of_classes_is_their_frequencies():
    labels = np.eye(3)[[0, 0, 1, 2]]
    (_, whole) = of(["x"] * 4, labels, np.full((4, 3), 1 / 3), "multiclass")
    assert (whole["log_loss"], whole["constant"]) == (pytest.approx(np.log(3)), pytest.approx(1.5 * np.log(2)))


def test_an_unknown_column_is_one_clear_message():
    with pytest.raises(ConfigError, match=r"by=zones: the data has no such column; did you mean 'zone'\?"):
        breakdown.breakdown(pd.DataFrame({"zone": [1]}), "zones", LABELS[:1], np.ones(1), "binary")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal(width):
    lines = breakdown.show("zone", {f"multi_view-{i}": of([2, 2, 10, 10]) for i in range(6)}, width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[2].split()[:5] == ["2", "2", "0.6931", "0.3670", "(0.53)"]
    assert lines[3].split()[:4] == ["10", "2", "0.0000", "0.6931"]
    assert len(lines) == 5


def test_grade_tells_the_scored_rows_by_value(settings):
    one = settings("competition=statoil", "source=kaggle", "submission=s.csv", "by=inc_angle")
    test = [statoil_record(id_, angle=38.0 + (id_ == "002")) for id_ in ("001", "002", "003")]
    solution = "id,is_iceberg,Usage\n002,0,Private\n001,1,Public\n003,1,Ignored\n"
    write_files(one.raw_dir, statoil_files(test=test) | {"solution.csv": solution})
    write_files(one.submissions_dir, {"s.csv": "id,is_iceberg\n003,0.1\n001,0.8\n002,0.4\n"})
    prepare(one)
    result = grade(one)
    assert [(p["value"], p["n_rows"]) for p in result["log_loss_by"]] == [(38.0, 1), (39.0, 1), ("all", 2)]
    assert [p["log_loss"] for p in result["log_loss_by"]][:2] == [
        pytest.approx(LOSSES[0], abs=1e-15),
        pytest.approx(LOSSES[1], abs=1e-15),
    ]
    assert show(result, 100).splitlines()[-1].split()[:2] == ["all", "2"]


def test_score_and_ensemble_tell_the_rows_by_value(settings, tmp_path):
    words = ["competition=faces", "split.n_folds=3"]
    one = settings(*words)
    dataset = prepare(one)
    y = dataset.labels[:, 0]
    oof = pd.DataFrame({"id": dataset.train.table["id"], "is_face": np.where(y == 1, 0.8, 0.4)})
    oof = oof.merge(read_folds(dataset, one.split)[["id", "fold"]], on="id")
    oof.to_csv(tmp_path / "oof.csv", index=False)
    pd.DataFrame({"id": dataset.test.table["id"], "is_face": 0.5}).to_csv(tmp_path / "test.csv", index=False)
    import_predictions.import_predictions(
        settings(*words, f"imports.oof={tmp_path}/oof.csv", f"imports.test={tmp_path}/test.csv", "imports.name=theirs")
    )
    asked = settings(*words, "by=is_face", "ensemble=mean")
    (report,) = score.score(asked)
    blended = ensemble.ensemble(asked)
    for result in (report, blended):
        assert [part["n_rows"] for part in result["log_loss_by"]] == [(y == 0).sum(), (y == 1).sum(), len(y)]
        assert [part["log_loss"] for part in result["log_loss_by"]] == [
            pytest.approx(LOSSES[1]),
            pytest.approx(LOSSES[0]),
            pytest.approx(result["log_loss" if result is report else "nested_score"]),
        ]
    assert json.loads(Path(blended["file"]).with_suffix(".json").read_text())["by"] == "is_face"
    assert score.show([report], 100).splitlines()[-1].split()[:2] == ["all", str(len(y))]
    assert "share of what a constant scores" in ensemble.show(blended, 100)
    assert "log_loss_by" not in score.score(settings(*words))[0]
    with pytest.raises(ConfigError, match="by=is_face: ensemble=files"):
        ensemble.ensemble(settings(*words, "by=is_face", "ensemble=files"))
