"""The table of runs, for a terminal of any width."""

import numpy as np
import pandas as pd
import pytest

from foldwise.data.folds import read_folds
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
    one = settings(*words)
    reports = score.score(one)
    assert [report["model"] for report in reports] == ["good", "fair"]
    lines = score.details(one, reports).splitlines()
    good, fair = (line.split() for line in lines[-3:-1])
    # the logit mean of both has .896 and .3423; with good twice 1.059 and .2976, with fair twice .7324 and .3925
    assert good[:5] == ["1", "-", "1.000", "+0.1685", "+0.0447"]
    assert fair[:5] == ["2", "+0.2877*", "-", "-0.1192", "-0.0502"]
    assert lines[-1].startswith("adds most to the mean of these: good-")


def test_one_run_has_nothing_to_compare_with(settings):
    assert score.details(settings("competition=faces"), [REPORT]) == ""
