"""The table of runs, for a terminal of any width."""

import json

import pytest

from foldwise.__main__ import main
from foldwise.stages import score

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


def test_several_settings_print_one_json_list(monkeypatch, capsys):
    monkeypatch.setattr(score, "score", lambda settings: [{"seed": settings.split.seed}])
    assert main(["score", "-m", "split.seed=3,4", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"seed": 3}, {"seed": 4}]
