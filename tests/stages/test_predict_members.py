"""Which fits of a blend predict new samples, with and without a budget of time."""

import logging
import shutil
import time

import pandas as pd
import pytest
from helpers.tiny import make_recipe, train_here, write_data

from foldwise.data.dataset import read
from foldwise.execution.prediction import predict_one, time_one
from foldwise.settings import ExecutionSettings
from foldwise.stages import predict_members
from foldwise.stages.predict_members import NewData


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trained members of two folds each, by their recipes, and new samples."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_data(folder / "data")
    recipes = {}
    for seed, rate in ((0, 0.05), (1, 1e-9)):
        recipe = make_recipe(seed=seed, learning_rate=rate, epochs=4)
        recipes[train_here(recipe, data, folder / "runs")] = recipe
    return recipes, data


@pytest.fixture
def new(trained, tmp_path, monkeypatch):
    """The new samples; fits predict in this process."""
    _, data = trained
    for name in ("test.npy", "test.parquet"):
        shutil.copy(data / name, tmp_path / name)

    def predict_here(tasks, execution, until=None):
        for task in tasks:
            predict_one(task, lambda *_: None)
        return tasks

    def time_here(tasks, execution):
        for task in tasks:
            time_one(task, lambda *_: None)
        return 1

    monkeypatch.setattr(predict_members, "predict_fits", predict_here)
    monkeypatch.setattr(predict_members, "time_fits", time_here)
    return NewData(read(data), data / "folds.parquet", tmp_path, 8)


def found(recipes, new, until):
    runs = predict_members.predict_members(recipes, new, ExecutionSettings(), "log_loss", until)
    return {run.path: run.predicting for run in runs}


def test_without_a_budget_every_fit_predicts(trained, new):
    recipes, _ = trained
    assert found(recipes, new, None) == {run.path: [0, 1] for run in recipes}
    for run in recipes:
        for fit in (0, 1):
            expected = pd.read_parquet(run.fold_path(fit) / "test.parquet")
            there = pd.read_parquet(new.folder / run.name / f"fold_{fit}" / "test.parquet")
            pd.testing.assert_frame_equal(there, expected)


def test_an_ample_budget_changes_nothing(trained, new, caplog):
    recipes, _ = trained
    with caplog.at_level(logging.INFO):
        assert found(recipes, new, time.monotonic() + 3600) == {run.path: [0, 1] for run in recipes}
    assert "4 of 4 fits, of 2 of 2 members" in caplog.text


def test_in_no_time_one_fit_of_the_member_that_helps_is_predicted(trained, new, caplog):
    recipes, _ = trained
    helpful, useless = recipes
    with caplog.at_level(logging.INFO):
        assert found(recipes, new, time.monotonic() - 1) == {helpful.path: [0]}
    assert f"{useless.name} is left out" in caplog.text
    assert "1 of 4 fits, of 1 of 2 members" in caplog.text
    assert not (new.folder / useless.name / "fold_0").exists()
