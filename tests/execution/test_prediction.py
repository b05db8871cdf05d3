"""New samples are predicted by stored weights as they would have been by the training itself."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.tiny import IDS, make_recipe, train_here, write_data
from helpers.values import write_values

from foldwise.errors import FoldwiseError
from foldwise.execution.prediction import PredictionTask, predict_one
from foldwise.runs import store
from foldwise.runs.recipe import recipe_from
from foldwise.settings import AugmentSettings, plain

RECIPES = {
    "one model": make_recipe(),
    "seeds, snapshots and views": replace(
        make_recipe("mlp", {"batch_norm": True}, epochs=2, snapshots=2, n_seeds=2),
        augment=AugmentSettings("none", test_views="flips"),
    ),
    "refit of two seeds": make_recipe(refit=True, refit_seeds=2),
}


def predicted(run, recipe, data, new, fit):
    task = PredictionTask(run, recipe, fit, len(IDS), data, data / "folds.parquet", new, 8)
    predict_one(task, lambda *_: None)
    return pd.read_parquet(task.result)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_test_samples_get_the_predictions_of_the_training(recipe, tmp_path):
    data = write_data(tmp_path / "data")
    run = train_here(recipe, data, tmp_path / "runs")
    new = tmp_path / "new"
    new.mkdir()
    for name in ("test.npy", "test.parquet"):
        shutil.copy(data / name, new / name)
    for fit in run.predicting:
        pd.testing.assert_frame_equal(
            predicted(run, recipe, data, new, fit), pd.read_parquet(run.fold_path(fit) / "test.parquet")
        )
    ids = pd.read_parquet(new / "test.parquet")["id"]
    there = store.test_predictions(run, ids, ["y"], folder=new / run.name)
    assert (there == store.test_predictions(run, ids, ["y"])).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_brought_back_by_the_scale_of_the_training(weighted, tmp_path):
    data = write_values(tmp_path / "data", weighted=weighted)
    run = train_here(make_recipe(), data, tmp_path / "runs", [0])
    new = tmp_path / "new"
    new.mkdir()
    for name in ("test.npy", "test.parquet"):
        shutil.copy(data / name, new / name)
    found = predicted(run, make_recipe(), data, new, 0)
    pd.testing.assert_frame_equal(found, pd.read_parquet(run.fold_path(0) / "test.parquet"))


def test_a_new_sample_is_predicted_alone_as_in_company(tmp_path):
    data, recipe = write_data(tmp_path / "data"), make_recipe()
    run = train_here(recipe, data, tmp_path / "runs", [0])
    new = tmp_path / "new"
    new.mkdir()
    np.save(new / "test.npy", np.load(data / "test.npy")[2:3])
    pd.DataFrame({"id": ["another"]}).to_parquet(new / "test.parquet")
    table = predicted(run, recipe, data, new, 0)
    company = pd.read_parquet(run.fold_path(0) / "test.parquet")
    assert table["id"].tolist() == ["another"]
    assert table["y"].iloc[0] == pytest.approx(company["y"].iloc[2], abs=1e-6)


def test_without_a_test_set_folds_predict_no_test_rows(tmp_path):
    data, recipe = write_data(tmp_path / "data", n_test=0), make_recipe()
    run = train_here(recipe, data, tmp_path / "runs")
    folds = pd.read_parquet(data / "folds.parquet")
    assert len(store.held_out(run, folds)) == 24
    assert store.test_predictions(run, pd.Series([], dtype=str), ["y"]).shape == (0, 1)
    task = PredictionTask(run, recipe, 0, len(IDS), data, data / "folds.parquet", write_data(tmp_path / "new"), 8)
    predict_one(task, lambda *_: None)
    assert len(pd.read_parquet(task.result)) == 8


def test_a_fit_without_weights_names_its_folder(tmp_path):
    data, recipe = write_data(tmp_path / "data"), make_recipe()
    run = train_here(recipe, data, tmp_path / "runs", [0])
    (run.fold_path(0) / "model.weights.h5").unlink()
    with pytest.raises(FoldwiseError, match="fold_0: there are no weights: remove that folder and train again"):
        store.weight_files(run, 0)


def test_weights_are_in_the_order_of_training(tmp_path):
    run = store.Run(tmp_path)
    (tmp_path / "fold_0").mkdir()
    names = ["model.weights.h5", *(f"model_{i}.weights.h5" for i in range(1, 12))]
    for name in reversed(names):
        (tmp_path / "fold_0" / name).touch()
    assert [path.name for path in store.weight_files(run, 0)] == names


def test_a_recipe_survives_its_file(tmp_path):
    recipe = RECIPES["seeds, snapshots and views"]
    assert recipe_from(plain(recipe)) == recipe
