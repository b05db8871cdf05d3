"""What is logged of a run, read from its folder; no tracker is needed for it."""

import os

import pandas as pd
import pytest
import yaml
from helpers import report_pages, tiny

from foldwise.runs import store
from foldwise.settings import plain
from foldwise.trackers import logged


@pytest.fixture
def run(tmp_path):
    recipe = tiny.make_recipe("mlp", {"hidden": [8]}, epochs=7, n_seeds=2)
    run = store.Run(tmp_path / "runs" / "tiny" / "mlp-0123")
    run.fold_path(1).mkdir(parents=True)
    (run.path / "recipe.yaml").write_text(yaml.safe_dump(plain(recipe)))
    return run


def test_parameters_are_the_settings_that_are_not_at_their_defaults(run):
    assert logged.parameters(run) == {
        "competition": "tiny",
        "model": "mlp",
        "split.n_folds": "2",
        "model.options.hidden": "[8]",
        "fit.epochs": "7",
        "fit.batch_size": "8",
        "fit.learning_rate": "0.05",
        "fit.n_seeds": "2",
    }


def test_each_seed_has_a_curve_whose_times_go_back_from_that_of_the_file(run):
    table = {
        "epoch": [1, 2, 1, 2],
        "loss": [0.5, 0.25, 0.75, 0.5],
        "learning_rate": 0.1,
        "seconds": [4.0, 1.0, 2.0, 3.0],
        "held_out_loss": [0.6, 0.4, 0.8, 0.7],
        "seed": [0, 0, 1, 1],
    }
    pd.DataFrame(table).to_csv(run.fold_path(1) / "history.csv", index=False)
    os.utime(run.fold_path(1) / "history.csv", (1000, 1000))
    first, second = logged.curves(run, 1)
    assert (first.name, second.name) == ("fold_1_seed_0", "fold_1_seed_1")
    assert first.epochs == second.epochs == [1, 2]
    assert first.times == [994, 995]
    assert second.times == [997, 1000]
    assert first.values == {"loss": [0.5, 0.25], "learning_rate": [0.1, 0.1], "held_out_loss": [0.6, 0.4]}
    assert second.values["held_out_loss"] == [0.8, 0.7]


def test_a_fit_without_a_history_has_no_curve(run):
    assert logged.curves(run, 1) == []


def test_one_seed_needs_no_name(settings):
    ours = settings("competition=statoil")
    data = report_pages.make_data(ours.prepared_dir / "data")
    p = report_pages.predictions(data.labels, "binary", 1.0)
    (curve,) = logged.curves(report_pages.make_run(ours.runs_dir, data, ours.split, "net-0", p), 2)
    assert curve.name == "fold_2"
    assert curve.values["loss"] == pytest.approx([1, 1 / 2, 1 / 3])
    assert "held_out_loss" not in curve.values


def test_scores_have_the_objective_and_further_metrics():
    report = {
        "log_loss": 0.5,
        "log_loss_interval": [0.4, 0.6],
        "accuracy": 0.75,
        "f1": 0.7,
        "auc": None,
        "metric": "kappa",
        "score": 0.25,
        "score_interval": [0.125, 0.375],
        "metrics": {"kappa": 0.25, "f1": 0.8},
    }
    assert logged.scores(report) == {
        "log_loss": 0.5,
        "log_loss_low": 0.4,
        "log_loss_high": 0.6,
        "kappa": 0.25,
        "kappa_low": 0.125,
        "kappa_high": 0.375,
        "accuracy": 0.75,
        "f1": 0.8,
    }
    assert logged.scores({"rmse": 2, "rmse_interval": [1, 3], "r2": 0.5}) == {
        "rmse": 2,
        "rmse_low": 1,
        "rmse_high": 3,
        "r2": 0.5,
    }
