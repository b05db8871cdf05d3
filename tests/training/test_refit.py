"""A refit on all rows: one more fit beside the folds, which makes the test predictions and no score."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.tiny import IDS, make_recipe, train_here, write_data

from foldwise import configure
from foldwise.data import dataset
from foldwise.runs import store
from foldwise.runs.recipe import make_recipe as recipe_make_recipe
from foldwise.runs.recipe import run_name
from foldwise.runs.report import write_report
from foldwise.stages import train
from foldwise.training import fit


def test_the_refit_trains_on_all_rows_and_makes_the_test_predictions(tmp_path):
    data = write_data(tmp_path / "data")
    run = train_here(make_recipe(refit=True, refit_seeds=2), data, tmp_path / "runs")
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checksums_recipe.json",
        "fold_0",
        "fold_1",
        "recipe.yaml",
        "refit",
    ]
    there, folds = dataset.read(data), pd.read_parquet(data / "folds.parquet")
    nothing = np.zeros(len(IDS), bool)
    by_hand = [fit.train_fold(make_recipe(seed=seed), there, nothing, 2).test for seed in (0, 1)]
    predicted = store.test_predictions(run, there.test.table["id"], ["y"])
    assert predicted == pytest.approx((by_hand[0] + by_hand[1]) / 2)
    assert sorted(path.name for path in (run.path / "refit").iterdir()) == [
        *("checksums.json", "fold.json", "history.csv", "model.weights.h5", "model_1.weights.h5", "test.parquet")
    ]
    report = write_report(run, there, folds)
    assert report["test_predictions"] == "refit on all rows, seeds: 2"
    assert len(report["fold_log_loss"]) == 2

    first = make_recipe()  # a fold is that of the recipe without a refit, to the bit
    plain = train_here(first, data, tmp_path / "runs", [1])
    for name in ("held_out.parquet", "test.parquet"):
        assert (plain.fold_path(1) / name).read_bytes() == (run.fold_path(1) / name).read_bytes()

    shutil.rmtree(run.path / "refit")
    assert run.missing() == [store.REFIT]
    assert not run.is_finished()


def test_the_finished_folds_of_the_same_recipe_without_refit_are_taken_over(tmp_path):
    recipe = make_recipe(refit=True)
    plain = store.open_run(tmp_path, replace(recipe, fit=replace(recipe.fit, refit=False)))
    for number in [1]:
        table = pd.DataFrame({"id": ["r0"], "y": [number / 10]})
        store.write_fold(plain, number, table, table, table, [], {})
    run = store.open_run(tmp_path, recipe)
    store.take_folds(run, plain)
    assert run.missing() == [0, store.REFIT]
    assert pd.read_parquet(run.path / "fold_1" / "test.parquet")["y"].tolist() == [0.1]


def test_settings_that_are_off_are_in_no_key():
    def key(*words):
        settings = configure("competition=faces", "model=mlp", *words)
        return run_name(recipe_make_recipe(settings, "data", "split"))

    assert key() == key("fit.refit_seeds=7") == key("fit.refit=false")
    assert len({key(), key("fit.refit=true"), key("fit.refit=true", "fit.refit_seeds=7")}) == 3


def test_the_stage_says_how_many_folds_are_there(tmp_path, settings, monkeypatch, caplog):
    ours = settings("competition=faces", "source.n_train=30", "source.n_test=10", "model=logistic_regression")
    ours = replace(ours, fit=replace(ours.fit, epochs=1, refit=True))
    queued = []

    def stopped(tasks, *_):
        queued[:] = tasks
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train_folds", stopped)
    caplog.set_level("INFO")
    with pytest.raises(KeyboardInterrupt):
        train.train(ours)
    run = queued[0].run
    names = [f"{run.name} fold {number}" for number in range(5)]
    assert [task.name for task in queued] == [*names, f"{run.name} refit"]
    run.fold_path(0).mkdir()
    with pytest.raises(KeyboardInterrupt):
        train.train(ours)
    assert len(queued) == 5
    assert "1 of 6 folds (one is the refit) are trained already" in caplog.text
