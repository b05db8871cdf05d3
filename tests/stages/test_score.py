"""The table of runs, for a terminal of any width."""

import numpy as np
import pandas as pd
import pytest

from foldwise.data.folds import read_folds
from foldwise.runs.report import constant_scores
from foldwise.stages import score
from foldwise.stages.import_predictions import import_predictions
from foldwise.stages.prepare import prepare

REPORT = {
    "model": "small_cnn",
    "run_key": "0123456789ab",
    "log_loss": 0.12345,
    "log_loss_interval": [0.1, 0.15],
    "fold_log_loss": [0.1, 0.2],
    "accuracy": 0.95,
    "f1": 0.94,
    "auc": None,
    "seconds": 90.0,
}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal(width):
    lines = score.show([REPORT, REPORT | {"run_key": "cafecafecafe"}], width).splitlines()
    assert len(lines) == 3
    assert all(len(line.rstrip()) <= width for line in lines)
    assert "small_cnn-0123456789ab" in lines[1]
    assert "0.1235" in lines[1]


def test_a_wide_terminal_shows_everything():
    header, row = score.show([REPORT], 140).splitlines()
    assert " ".join(header.split()) == "run log loss 95 % interval folds, sd accuracy F1 AUC minutes"
    assert row.split() == ["small_cnn-0123456789ab", "0.1235", "0.100-0.150", "0.071", "0.9500", "0.9400", "-", "1.5"]


def test_a_very_narrow_terminal_keeps_the_score():
    lines = score.show([REPORT], 28).splitlines()
    assert all(len(line.rstrip()) <= 28 for line in lines)
    assert lines[0].split() == ["run", "log", "loss"]
    assert "0.1235" in lines[1]


@pytest.mark.parametrize("width", [80, 100])
def test_eighty_columns_keep_the_accuracy(width):
    long = REPORT | {"model": "logistic_regression"}
    header, row = score.show([long], width).splitlines()
    assert len(row.rstrip()) <= width
    assert "accuracy" in header
    assert "0.9500" in row.split()


def test_the_constant_prediction_stands_before_the_runs_that_it_beats():
    """40 rows of one class and 60 of the other: -.4 ln .4 - .6 ln .6 = .6730, and .6 of the rows are right."""
    better = REPORT | {"confusion_matrix": [[30, 10], [5, 55]]}
    worse = better | {"log_loss": 0.7, "run_key": "cafecafecafe"}
    _, *lines = score.show([better, worse], 120).splitlines()
    assert [line.split()[0] for line in lines] == ["small_cnn-0123456789ab", "(constant:", "small_cnn-cafecafecafe"]
    assert lines[1].split() == ["(constant:", "base", "rates)", "0.6730", "-", "-", "0.6000", "-", "0.5000", "-"]


@pytest.mark.parametrize(
    ("counts", "log_loss", "accuracy"),
    [
        ([[25, 25], [0, 50]], 0.6931, 0.5),
        ([[2, 0, 0], [0, 1, 0], [1, 0, 0]], 1.0397, 0.5),  # shares 1/2, 1/4, 1/4: 1.5 ln 2
        ([[[10, 0], [0, 10]], [[20, 0], [0, 0]]], 0.3466, 0.75),  # two outputs: ln 2 and 0
    ],
)
def test_the_scores_of_the_constant_prediction_by_hand(counts, log_loss, accuracy):
    found = constant_scores({"confusion_matrix": counts})
    assert found == {"log_loss": pytest.approx(log_loss, abs=5e-5), "auc": 0.5, "accuracy": accuracy}
    assert constant_scores({"rmse": 1.0}) == {}


def test_the_details_compare_runs_by_hand(settings, tmp_path):
    """Two runs whose every label has a probability of .8 or .6: logits of 1.386 and .405, losses of .2231 and .5108."""
    words = ("competition=faces", "source.n_train=40", "source.n_test=12")
    data = prepare(settings(*words))
    folds = read_folds(data, settings(*words).split)
    y = data.labels[:, 0]
    pd.DataFrame({"id": data.test.table["id"], "is_face": 0.5}).to_csv(tmp_path / "test.csv", index=False)
    for name, p in (("good", 0.8), ("fair", 0.6)):
        oof = pd.DataFrame({"id": data.train.table["id"], "is_face": np.where(y == 1, p, 1 - p)})
        oof.merge(folds[["id", "fold"]], on="id").to_csv(tmp_path / f"{name}.csv", index=False)
        files = (f"imports.oof={tmp_path}/{name}.csv", f"imports.test={tmp_path}/test.csv")
        import_predictions(settings(*words, *files))
    reports = score.score(settings(*words))
    assert [report["model"] for report in reports] == ["good", "fair"]
    assert score.details(settings(*words), reports) == "details=true compares the runs in pairs\n"
    lines = score.details(settings(*words, "details=true"), reports).splitlines()
    good, fair = (line.split() for line in lines[-3:-1])
    # the logit mean of both has .896 and .3423; with good twice 1.059 and .2976, with fair twice .7324 and .3925
    assert good[:5] == ["1", "-", "1.000", "+0.1685", "+0.0447"]
    assert fair[:5] == ["2", "+0.2877*", "-", "-0.1192", "-0.0502"]
    assert lines[-1].startswith("adds most to the mean of these: good-")


def test_one_run_has_nothing_to_compare_with(settings):
    assert score.details(settings("competition=faces"), [REPORT]) == ""
