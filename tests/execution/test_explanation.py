"""Rows are explained by the models of the fit that held them out."""

import numpy as np
import pytest
from helpers.tiny import IDS, make_recipe, train_here, write_data

from foldwise.execution.explanation import ExplanationTask, explain_one

ROWS = (0, 1, 4)  # the folds hold out two rows in turn: 0 has 0, 1, 4, 5, 8, ...


@pytest.mark.parametrize(("model", "options"), [("small_cnn", {"filters": (4,)}), ("mlp", {"hidden": (4,)})])
def test_maps_and_neighbours_are_of_the_rows_that_were_asked_for(model, options, tmp_path):
    data = write_data(tmp_path / "data")
    recipe = make_recipe(model, options, n_seeds=2, epochs=1)
    run = train_here(recipe, data, tmp_path / "runs", [0])
    asked = {"rows": ROWS, "outputs": (0, 0, 0), "signs": (1, -1, 1), "heat": 3, "occlusion": 1, "neighbours": 2}
    result = tmp_path / "result.npz"
    said = []
    task = ExplanationTask(run, recipe, 0, len(IDS), data, data / "folds.parquet", result=result, **asked)
    explain_one(task, lambda *words: said.append(words[0]))
    arrays = np.load(result)
    assert said == ["images", "done"]
    assert arrays.files == (["heat"] if model == "small_cnn" else []) + ["occlusion", "neighbours"]
    assert arrays["occlusion"].shape == (1, 6, 6)
    assert arrays["neighbours"].shape == (3, 2)
    assert not {row for row in arrays["neighbours"].ravel().tolist() if row // 2 % 2 == 0}  # those of fold 0
    if model == "small_cnn":
        assert arrays["heat"].shape == (3, 6, 6)
