"""What one fold does wherever it is trained: it reports, and writes its folder."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from helpers.tiny import IDS, make_recipe, write_data

from foldwise.execution import task
from foldwise.runs import store


def test_a_fold_reports_what_it_does_and_writes_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(task, "REPORT_SECONDS", 0.0)
    data = write_data(tmp_path / "data")
    run = store.open_run(tmp_path / "runs", make_recipe())
    one = task.FoldTask(run, make_recipe(), 1, len(IDS), data, data / "folds.parquet")
    assert one.n_images == 24  # 12 images, 2 epochs
    reports = []
    task.train_one(pickle.loads(pickle.dumps(one)), lambda *values: reports.append(values))
    assert [report[:3] for report in reports[:-1]] == [
        ("images", 24),
        *(("step", 0, 8), ("step", 0, 12), ("step", 1, 20), ("step", 1, 24)),
    ]
    about = json.loads((run.fold_path(1) / "fold.json").read_text())
    assert reports[-1] == ("done", about["images_per_second"], about["seconds"])
    assert about["device"] == "CPU"
    held_out = pd.read_parquet(run.fold_path(1) / "held_out.parquet")
    assert held_out["id"].tolist() == [f"r{i}" for i in range(24) if i // 2 % 2 == 1]
    assert list(held_out) == ["id", "y", "repeat", "fold"]
    assert held_out["fold"].tolist() == [1] * 12
    test = pd.read_parquet(run.fold_path(1) / "test.parquet")
    assert list(test) == ["id", "y"]
    assert test["id"].tolist() == [f"t{i}" for i in range(8)]


def test_steps_are_reported_twice_a_second_at_most(monkeypatch):
    now = iter([0.0, 0.1, 0.6, 0.7, 1.2])
    monkeypatch.setattr(task.time, "perf_counter", lambda: next(now))
    reports = []
    report_step = task.seldom(lambda *values: reports.append(values))
    for step in range(4):
        report_step(0, step, 0.5)
    assert reports == [("step", 0, 1, 0.5), ("step", 0, 3, 0.5)]


def test_the_names_and_the_work_of_a_fold_and_of_a_refit():
    recipe = make_recipe(epochs=3, n_seeds=2, refit=True, refit_seeds=5)
    fold = task.FoldTask(store.Run(Path("runs/mlp-1")), recipe, 0, 10, "data", "folds")
    assert (fold.name, fold.n_seeds, fold.n_images) == ("mlp-1 fold 0", 2, 30)
    refit = replace(fold, fold_number=store.REFIT)
    assert (refit.name, refit.n_seeds, refit.n_images) == ("mlp-1 refit", 5, 150)


def test_the_stored_tables_hold_ids_probabilities_and_the_fold():
    ids, p = pd.Series(["a", "b"], index=[7, 3]), np.array([[0.25, 0.75], [1.0, 0.0]])
    table = store.held_out_table(ids, p, ["x", "y"], repeat=1, fold=4)
    assert table.to_dict("list") == {
        "id": ["a", "b"],
        "x": [0.25, 1.0],
        "y": [0.75, 0.0],
        "repeat": [1, 1],
        "fold": [4, 4],
    }
    assert table.dtypes[["repeat", "fold"]].tolist() == [np.int8, np.int8]
    assert store.test_table(ids, p, ["x", "y"]).to_dict("list") == {
        "id": ["a", "b"],
        "x": [0.25, 1.0],
        "y": [0.75, 0.0],
    }
