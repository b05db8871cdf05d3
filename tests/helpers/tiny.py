"""Tiny prepared data and recipes, and folds that are trained in this process as a worker would."""

import numpy as np
import pandas as pd

from foldwise.data import dataset, records
from foldwise.execution.task import FoldTask, train_one
from foldwise.runs import store
from foldwise.runs.recipe import Recipe
from foldwise.settings import AugmentSettings, FitSettings, ModelSettings, SplitSettings

IDS = [f"r{i}" for i in range(24)]


def write_data(folder, flipped=(), unscored=(), n_test=8):
    """Prepared images, 6 x 6, whose brightness tells the class; the labels of the ids `flipped` are wrong."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)

    def record(id_, i, columns):
        image = (rng.normal(0, 1, (6, 6, 1)) + 2 * (i % 2)).astype(np.float32)
        return records.Record(id_, image, columns, id_)

    training = [record(id_, i, {"y": (i % 2) ^ (id_ in flipped)}) for i, id_ in enumerate(IDS)]
    test = [record(f"t{i}", i, {"scored": i not in unscored}) for i in range(n_test)]
    test_ids = [record.id for record in test]
    dataset.write(records.Records("binary", ["y"], training, test, test_ids=test_ids), folder, "data")
    table = pd.DataFrame({"id": IDS, "repeat": np.int8(0), "fold": np.arange(24, dtype=np.int8) // 2 % 2})
    table.to_parquet(folder / "folds.parquet")
    return folder


def make_recipe(model="logistic_regression", options=None, **settings):
    settings = FitSettings(**{"epochs": 2, "batch_size": 8, "learning_rate": 0.05} | settings)
    split, model = SplitSettings(n_folds=2), ModelSettings(model, options or {})
    return Recipe({"name": "tiny"}, "data", "split", split, model, "code", AugmentSettings("none"), settings)


def train_here(recipe, data, runs_dir, fits=None):
    """Train the missing fits of a recipe in this process, as a worker would."""
    run = store.open_run(runs_dir, recipe)
    for number in run.missing() if fits is None else fits:
        task = FoldTask(run, recipe, number, len(IDS), data, data / "folds.parquet")
        train_one(task, lambda *_: None)
    return run
